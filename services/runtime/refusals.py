"""Refusals: values of ErrorReason with metadata, and the one function that turns them into a status.

The error model is google.rpc.Status with details (AIP-193).
"""

from collections.abc import Iterable
from functools import lru_cache

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.options.v1 import options_pb2
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "commerce"
DETAILS = "grpc-status-details-bin"

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_STATUS = {
    value.number: _CODES[value.GetOptions().Extensions[options_pb2.status]]
    for value in ErrorReason.DESCRIPTOR.values
}
_NAMES = {value.number: value.name.removeprefix("ERROR_REASON_") for value in ErrorReason.DESCRIPTOR.values}


class Refusal(Exception):
    """A call is refused: the reason, what goes with it, and when to come back, if that helps."""

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
        self.message = message or _NAMES[reason].replace("_", " ").capitalize()
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.violations = list(violations)
        self.retry_seconds = retry_seconds
        self.trace_id = trace_id
        super().__init__(f"{_NAMES[reason]}: {self.message}")

    @property
    def name(self) -> str:
        """The reason's name as clients see it."""
        return _NAMES[self.reason]

    @property
    def code(self) -> grpc.StatusCode:
        """The status that the contract gives this reason."""
        return _STATUS[self.reason]


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
