"""Admission control: a bounded number at once; more are told at once to come back."""

from types import TracebackType

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.refusals import Refusal


class Admission:
    """Counts what is going on. `with admission.admit()` refuses with OVERLOADED, or UNAVAILABLE when closed."""

    def __init__(self, limit: int, what: str) -> None:
        self.limit, self.what = limit, what
        self.open = 0
        self.closed = False

    def admit(self) -> "Admission":
        """Let one more in, or refuse it."""
        self.go_on()
        if self.open >= self.limit:
            raise Refusal(
                ErrorReason.ERROR_REASON_OVERLOADED, f"Too many {self.what} at once", retry_seconds=1
            )
        return self

    def go_on(self) -> None:
        """Refuse with UNAVAILABLE when closed: what is in goes no further."""
        if self.closed:
            raise Refusal(ErrorReason.ERROR_REASON_UNAVAILABLE, "The server is stopping", retry_seconds=1)

    def __enter__(self) -> None:
        self.open += 1

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        self.open -= 1
