"""The chain of hashes over a store's books: what each transaction's hash is, and where a chain is broken. Pure.

A transaction's digest is the SHA-256 of its entries, a JSON array each, in their order (sealing.py); its hash is the
SHA-256 of the hash before it, then its digest. The first one has nothing before it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

NOTHING = b""


class Link(NamedTuple):
    """A transaction in the chain of its store: the first one is number 1."""

    store_id: str
    number: int
    transaction_id: str
    hash: bytes


class Recorded(NamedTuple):
    """A link as it was recorded, beside the digest of what the books hold now; None when they do not hold it."""

    number: int
    hash: bytes
    digest: bytes | None


@dataclass(slots=True)
class Chains:
    """The chains of some stores; `ends` has each one's last number and hash."""

    ends: Mapping[str, tuple[int, bytes]]
    _now: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def add(self, store_id: str, transaction_id: str, digest: bytes) -> Link:
        """Return the next link of a store's chain."""
        number, before = self._now.get(store_id) or self.ends.get(store_id, (0, NOTHING))
        link = Link(store_id, number + 1, transaction_id, following(before, digest))
        self._now[store_id] = link.number, link.hash
        return link


def following(before: bytes, digest: bytes) -> bytes:
    """Return the hash of a transaction that follows one with the hash before."""
    return sha256(before + digest).digest()


def held(number: int, before: bytes, links: Iterable[Recorded]) -> tuple[int, bytes, int]:
    """Return how far a chain holds after a link, its hash there, and the first number that does not fit, or 0."""
    for link in links:
        fits = link.number == number + 1 and link.digest and link.hash == following(before, link.digest)
        if not fits:
            return number, before, number + 1
        number, before = link.number, link.hash
    return number, before, 0
