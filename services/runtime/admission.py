"""Admission control: a bounded number at once; more are told at once to come back."""

import time
from types import TracebackType

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.refusals import Refusal


class Seldom:
    """Counts what comes too often under overload to be logged each time."""

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._next, self._count = 0.0, 0

    def due(self) -> int:
        """Count once more, and return how many a line stands for that is written now; 0 when it is too soon for one."""
        self._count += 1
        now = time.monotonic()
        if now < self._next:
            return 0
        self._next = now + self._seconds
        count, self._count = self._count, 0
        return count


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
