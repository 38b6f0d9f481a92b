"""Ends what takes longer than it may.

A look at everything that runs, a few times a second, costs less than a timer for each call: most end at once.
"""

import asyncio
import time
from types import TracebackType

_LOOK_SECONDS = 0.05


class Deadlines:
    """`with deadlines.limit(end)` raises TimeoutError in a block that is not done by then, a moment late at most."""

    def __init__(self) -> None:
        self.open: dict[_Limit, None] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.looking = False

    def limit(self, end: float) -> "_Limit":
        """Limit a block to a moment of time.monotonic()."""
        return _Limit(self, end)

    def bind(self) -> asyncio.AbstractEventLoop:
        """Return the loop that runs; asked once only, for it is a system call."""
        self.loop, self.looking = asyncio.get_running_loop(), False
        return self.loop

    def look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look, until nothing is open any more."""
        self.looking = True
        loop.call_later(_LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for limit in self.open:
            if limit.end <= now:
                limit.expire()
        self.looking = False
        if self.open:
            self.look_soon(loop)


class _Limit:
    __slots__ = ("_at", "_expired", "_task", "end")

    def __init__(self, at: Deadlines, end: float) -> None:
        self._at, self.end = at, end
        self._expired = False

    def __enter__(self) -> None:
        at, loop = self._at, self._at.loop
        if loop is None or loop.is_closed():
            loop = at.bind()
        at.open[self] = None
        if not at.looking:
            at.look_soon(loop)
        self._task = asyncio.current_task(loop)

    def expire(self) -> None:
        """Interrupt the block, once."""
        if not self._expired and self._task is not None:
            self._expired = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        del self._at.open[self]
        if not self._expired or self._task is None or self._task.uncancel() > 0:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error
