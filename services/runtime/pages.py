"""Page tokens: where a list goes on, signed and bound to its query (AIP-158)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import TypeVar

from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.message import Message

from services.runtime.refusals import Refusal

DEFAULT_SIZE = 50
_SIGNATURE_BYTES = 16

Found = TypeVar("Found")


class Seals:
    """Signs what is given to clients to bring back. The key is the same for all replicas of a service."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def seal(self, bound: bytes, body: bytes) -> str:
        """Return a text that holds the body, good only together with what it is bound to."""
        return base64.urlsafe_b64encode(self._signature(bound, body) + body).decode()

    def body(self, bound: bytes, sealed: str) -> bytes | None:
        """Return what a text of ours holds; None when it is none, or is bound to something else."""
        try:
            raw = base64.b64decode(sealed.encode(), b"-_", validate=True)
        except ValueError:
            return None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        return body if hmac.compare_digest(signature, self._signature(bound, body)) else None

    def _signature(self, bound: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, bound + b"\0" + body, hashlib.sha256)[:_SIGNATURE_BYTES]


class Pages(Seals):
    """Makes and reads page tokens."""

    def size(self, request: Message) -> int:
        """How many rows a page of this request has."""
        return int(getattr(request, "page_size", 0)) or DEFAULT_SIZE

    def cut(
        self, request: Message, found: list[Found], position_of: Callable[[Found], list[str]]
    ) -> tuple[list[Found], str]:
        """Return a page's rows and the token of the next page, out of one row more than a page has; "" at the end."""
        size = self.size(request)
        page = found[:size]
        return page, self.token(request, position_of(page[-1])) if len(found) > size else ""

    def token(self, request: Message, position: list[str]) -> str:
        """Return the token of the page after this position."""
        return self.seal(_query(request), json.dumps(position).encode())

    def position(self, request: Message) -> list[str] | None:
        """Return where the request goes on; None at the start. Refused with PAGE_TOKEN_INVALID."""
        token: str = getattr(request, "page_token", "")
        if not token:
            return None
        body = self.body(_query(request), token)
        if body is None:
            raise _bad()
        position: list[str] = json.loads(body)
        return position


def _query(request: Message) -> bytes:
    """Return what a page token is bound to: everything of the request but the page itself."""
    query = type(request)()
    query.CopyFrom(request)
    query.ClearField("page_token")
    query.ClearField("page_size")
    return query.DESCRIPTOR.full_name.encode() + query.SerializeToString(deterministic=True)


def _bad() -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID,
        "page_token: is not one of ours for this query; start again without it",
        violations=[("page_token", "is not one of ours for this query; start again without it")],
    )
