"""Card numbers that nobody has, and a search for them through everything that a cluster keeps."""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, cycle

import asyncpg

from services.cluster.cluster import Cluster
from tests.shop import Clients

# How an issuer's numbers begin, how many digits they have, and how people group them.
ISSUERS = {
    "Visa": ("4", 16, (4, 4, 4, 4)),
    "Mastercard": ("53", 16, (4, 4, 4, 4)),
    "Mastercard of the second range": ("2345", 16, (4, 4, 4, 4)),
    "American Express": ("37", 15, (4, 6, 5)),
    "Discover": ("6011", 16, (4, 4, 4, 4)),
    "JCB": ("3550", 16, (4, 4, 4, 4)),
    "Diners Club": ("36", 14, (4, 6, 4)),
    "UnionPay": ("62", 19, (6, 13)),
    "Visa of 19 digits": ("4", 19, (4, 4, 4, 4, 3)),
    "Visa of 13 digits": ("4", 13, (4, 3, 3, 3)),
}
BETWEEN = ("", " ", "-")
# What may stand between digits, also in URLs and in bytes written as escapes.
_BETWEEN = re.compile(rb"%20|%2[dD]|[ +-]")
_DIGITS = re.compile(rb"[0-9]{13,}")
_HEX = re.compile(rb"\\x((?:[0-9a-f]{2}){13,})")
_PIECE = 1 << 24
_OVERLAP = 100


class Numbers:
    """Makes card numbers, each once, and knows them again in whatever form they are kept."""

    def __init__(self, seed: int = 1) -> None:
        self.made: set[bytes] = set()
        self._integers: set[bytes] = set()
        # File systems may round the time.
        self.since = time.time() - 2
        self._chance = random.Random(seed)
        self._kinds = cycle([(issuer, between) for between in BETWEEN for issuer in ISSUERS])

    def __call__(self) -> str:
        """The next: another issuer's, another way to write it."""
        issuer, between = next(self._kinds)
        return self.of(issuer, between)

    def of(self, issuer: str, between: str = "") -> str:
        prefix, length, groups = ISSUERS[issuer]
        while True:
            body = prefix + "".join(self._chance.choices("0123456789", k=length - len(prefix) - 1))
            digits = body + _check(body)
            if digits.encode() not in self.made and not (length == 13 and _is_barcode(digits)):
                break
        self.made.add(digits.encode())
        ends = [sum(groups[: place + 1]) for place in range(len(groups))]
        return between.join(digits[end - size : end] for end, size in zip(ends, groups, strict=True))

    def integer(self) -> int:
        """One for a field that is an integer."""
        number = self.of("American Express")
        self._integers.add(number.encode())
        return int(number)

    def among(self, kept: bytes) -> set[bytes]:
        """Those of ours that are in there: as text, as a database writes bytes, or as an integer of a message."""
        found = set()
        for text in (kept, *(bytes.fromhex(each[1].decode()) for each in _HEX.finditer(kept))):
            for run in _DIGITS.finditer(_BETWEEN.sub(b"", text)):
                windows = (
                    run[0][start : start + size] for size in range(13, 20) for start in range(len(run[0]))
                )
                found |= self.made.intersection(windows)
        return found | {number for number in self._integers if _varint(number) in kept}


async def rows(clients: Clients) -> list[tuple[str, bytes]]:
    """Every row of every table, as text, with the table's name."""
    tables = await clients.rows(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    found = []
    for table in tables:
        try:
            held = await clients.rows(f"SELECT string_agg(t::text, chr(10)) AS text FROM {table['name']} t")
        except asyncpg.UndefinedTableError:
            continue  # A partition that has had its day.
        found.append((table["name"], (held[0]["text"] or "").encode()))
    return found


def files(cluster: Cluster, since: float) -> Iterator[tuple[str, bytes]]:
    """All that was written since then, in pieces: logs, streams, the database with its journal. Not the spans."""
    for path in sorted(cluster.home.path.rglob("*")):
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_mtime < since:
                continue
            if path.name.startswith(cluster.spans_file.name):
                continue
            with path.open("rb") as file:
                before = b""
                while piece := file.read(_PIECE):
                    yield str(path.relative_to(cluster.home.path)), before + piece
                    before = piece[-_OVERLAP:]
        except FileNotFoundError:
            continue  # Others tidy up meanwhile.


async def places(numbers: Numbers, clients: Clients) -> dict[str, set[bytes]]:
    """Where any of the numbers is kept, and which."""
    found: defaultdict[str, set[bytes]] = defaultdict(set)
    spans = ("spans", clients.spans_kept())
    for place, held in chain(await rows(clients), files(clients.cluster, numbers.since), [spans]):
        if some := numbers.among(held):
            found[place] |= some
    return dict(found)


def _check(body: str) -> str:
    """The digit that makes a number pass Luhn's test."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _is_barcode(digits: str) -> bool:
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0


def _varint(number: bytes) -> bytes:
    value, found = int(number), bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
