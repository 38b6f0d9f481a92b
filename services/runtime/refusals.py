"""Refusals: values of ErrorReason with metadata, and the one function that turns them into a status.

The error model is google.rpc.Status with details (AIP-193).
"""

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.options.v1 import options_pb2
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "commerce"
DETAILS = "grpc-status-details-bin"
RETRY_AFTER = "retry-after"
# A refusal travels in trailers, the message escaped and the details in base64. Trailers of more than 8 KiB are lost on
# some clients, those of more than 16 KiB tear the connection with all its calls: ours stay below 4 KiB, in JSON too.
# These are for its texts; what is around them comes to it.
STATUS_BYTES, JSON_BYTES = 2_000, 3_300
MESSAGE_BYTES = 600
METADATA_BYTES = 1_024
VALUE_BYTES = 256
# The longest text names each state of an order.
PATH_BYTES, TEXT_BYTES = 150, 400
MOST_VIOLATIONS = 20
# What is around the texts of one violation.
_FRAME_BYTES, _JSON_FRAME_BYTES = 12, 44
_CUT = "…"
_ESCAPED_IN_JSON = re.compile(r'[\x00-\x1f\x7f<>"\\]')
# What gRPC does not escape in a message.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_STATUS = {
    value.number: _CODES[value.GetOptions().Extensions[options_pb2.status]]
    for value in ErrorReason.DESCRIPTOR.values
}
_NAMES = {value.number: value.name.removeprefix("ERROR_REASON_") for value in ErrorReason.DESCRIPTOR.values}


class Refusal(Exception):
    """A call is refused: the reason, what goes with it, and when to come back, if that helps.

    What is sent is bounded; `metadata` tells how many violations there are when not all are sent.
    """

    def __init__(
        self,
        reason: ErrorReason.ValueType,
        message: str = "",
        *,
        violations: Iterable[tuple[str, str]] = (),
        retry_seconds: float | None = None,
        trace_id: str = "",
        **metadata: object,
    ) -> None:
        self.reason = reason
        self.message = _escapable(message or _NAMES[reason].replace("_", " ").capitalize())
        most = min(VALUE_BYTES, METADATA_BYTES // len(metadata)) if metadata else 0
        self.metadata = {key: _short(str(value), most) for key, value in metadata.items()}
        self.violations: list[tuple[str, str]] = []
        if violations:
            self._name(list(violations))
        self.retry_seconds = retry_seconds
        self.trace_id = trace_id
        super().__init__(f"{_NAMES[reason]}: {self.message}")

    def _name(self, violations: list[tuple[str, str]]) -> None:
        """Keep as many violations as there is room for."""
        said = self.message + "".join(f"{key}{value}" for key, value in self.metadata.items())
        room, room_in_json = STATUS_BYTES - len(said.encode()), JSON_BYTES - _bytes_in_json(said)
        for field, text in violations[:MOST_VIOLATIONS]:
            pair = cut(field, PATH_BYTES), cut(text, TEXT_BYTES)
            room -= len("".join(pair).encode()) + _FRAME_BYTES
            room_in_json -= _bytes_in_json("".join(pair)) + _JSON_FRAME_BYTES
            if min(room, room_in_json) < 0:
                break
            self.violations.append(pair)
        if len(self.violations) < len(violations):
            self.metadata["violations"] = str(len(violations))

    @property
    def name(self) -> str:
        """The reason's name as clients see it."""
        return _NAMES[self.reason]

    @property
    def code(self) -> grpc.StatusCode:
        """The status that the contract gives this reason."""
        return _STATUS[self.reason]


def cut(text: str, most: int) -> str:
    """Return a text that has so many bytes at most and can be sent: no half of a surrogate pair."""
    if text.isascii() and len(text) <= most:
        return text
    data = text.encode(errors="replace")
    if len(data) <= most:
        return data.decode()
    return data[: most - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _bytes_in_json(text: str) -> int:
    return len(text.encode()) + 5 * len(_ESCAPED_IN_JSON.findall(text))


def _short(text: str, most: int) -> str:
    text = cut(text, most)
    return text if _bytes_in_json(text) <= most else cut(text, most // 6)


def _escapable(message: str) -> str:
    """Return a message that is short however it is escaped: what is no plain text takes three bytes for one or six."""
    message = cut(message, MESSAGE_BYTES)
    escaped = max(len(quote(message, safe=_PLAIN)), _bytes_in_json(message))
    return message if escaped <= MESSAGE_BYTES else cut(message, MESSAGE_BYTES // 3)


def invalid(field: str, description: str) -> Refusal:
    """Refuse one field of a request, with the reason."""
    return Refusal(
        ErrorReason.ERROR_REASON_INVALID_ARGUMENT,
        f"{field}: {description}",
        violations=[(field, description)],
    )


def status(refusal: Refusal) -> status_pb2.Status:
    """Return the google.rpc.Status of a refusal, with exactly one ErrorInfo."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=refusal.name, domain=DOMAIN, metadata=refusal.metadata)
    ]
    if refusal.violations:
        violation = error_details_pb2.BadRequest.FieldViolation
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    violation(field=field, description=text) for field, text in refusal.violations
                ]
            )
        )
    if refusal.retry_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(refusal.retry_seconds * 1000))
        details.append(retry)
    if refusal.trace_id:
        details.append(error_details_pb2.RequestInfo(request_id=refusal.trace_id))
    packed = []
    for detail in details:
        item = any_pb2.Any()
        item.Pack(detail)
        packed.append(item)
    return status_pb2.Status(code=refusal.code.value[0], message=refusal.message, details=packed)


def details(refusal: Refusal) -> bytes:
    """Return the status as it is sent. One that is the same for every call is made once."""
    if refusal.metadata or refusal.violations or refusal.trace_id:
        return bytes(status(refusal).SerializeToString())
    return _plain(refusal.reason, refusal.message, refusal.retry_seconds)


def trailers(refusal: Refusal) -> tuple[tuple[str, str | bytes], ...]:
    """Return what is sent beside the code and the message: the details, and for HTTP when to come back."""
    if refusal.retry_seconds is None:
        return ((DETAILS, details(refusal)),)
    return (DETAILS, details(refusal)), (RETRY_AFTER, str(max(1, math.ceil(refusal.retry_seconds))))


@lru_cache(maxsize=64)
def _plain(reason: ErrorReason.ValueType, message: str, retry_seconds: float | None) -> bytes:
    return bytes(status(Refusal(reason, message, retry_seconds=retry_seconds)).SerializeToString())


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the reason's name in another service's refusal, or the name of its status when it gives none."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return str(code_pb2.Code.Name(error.code().value[0]))
