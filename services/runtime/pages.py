"""Page tokens: where a list goes on, signed and bound to its query (AIP-158)."""

import base64
import hashlib
import hmac
import json

from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.message import Message

from services.runtime.refusals import Refusal

DEFAULT_SIZE = 50
_SIGNATURE_BYTES = 16


class Pages:
    """Makes and reads page tokens. The key is the same for all replicas of a service."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def size(self, request: Message) -> int:
        """How many rows a page of this request has."""
        return int(getattr(request, "page_size", 0)) or DEFAULT_SIZE

    def token(self, request: Message, position: list[str]) -> str:
        """Return the token of the page after this position."""
        body = json.dumps(position).encode()
        return base64.urlsafe_b64encode(self._signature(request, body) + body).decode()

    def position(self, request: Message) -> list[str] | None:
        """Return where the request goes on; None at the start. Refused with PAGE_TOKEN_INVALID."""
        token: str = getattr(request, "page_token", "")
        if not token:
            return None
        try:
            raw = base64.b64decode(token.encode(), b"-_", validate=True)
        except ValueError:
            raise _bad() from None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(request, body)):
            raise _bad()
        position: list[str] = json.loads(body)
        return position

    def _signature(self, request: Message, body: bytes) -> bytes:
        """Sign the position together with everything of the request but the page itself."""
        query = type(request)()
        query.CopyFrom(request)
        query.ClearField("page_token")
        query.ClearField("page_size")
        bound = query.DESCRIPTOR.full_name.encode() + query.SerializeToString(deterministic=True)
        return hmac.new(self._key, bound + b"\0" + body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _bad() -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID,
        "page_token: is not one of ours for this query; start again without it",
        violations=[("page_token", "is not one of ours for this query; start again without it")],
    )
