"""Ends what takes longer than it may.

One timer for everything that runs, set to what may end first, costs less than one for each call: most end at once, and
a process that has little to do is not woken to see that they did.
"""

import asyncio
import math
import time
from types import TracebackType

# Where much is late at once, it is ended together.
_APART_SECONDS = 0.05


class Deadlines:
    """`with deadlines.limit(end)` raises TimeoutError in a block that is not done by then, a moment late at most."""

    def __init__(self) -> None:
        self.open: dict[_Limit, None] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        # When the next look is due, by time.monotonic().
        self.next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, end: float) -> "_Limit":
        """Limit a block to a moment of time.monotonic()."""
        return _Limit(self, end)

    def bind(self) -> asyncio.AbstractEventLoop:
        """Return the loop that runs; asked once only, for it is a system call."""
        self.loop, self.next, self._timer = asyncio.get_running_loop(), math.inf, None
        return self.loop

    def look_at(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        """Look at a moment, in place of a later one."""
        if self._timer is not None:
            self._timer.cancel()
        self.next = end
        self._timer = loop.call_later(max(_APART_SECONDS, end - time.monotonic()), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        later = math.inf
        for limit in self.open:
            if limit.end <= now:
                limit.expire()
            else:
                later = min(later, limit.end)
        self.next, self._timer = math.inf, None
        if later < math.inf:
            self.look_at(loop, later)


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
        if self.end < at.next:
            at.look_at(loop, self.end)
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
