"""Ends what takes longer than it may.

A look at everything that runs, a few times a second, costs less than a timer for each call: most end at once.
"""

import asyncio
import time
from types import TracebackType
from typing import Any

_LOOK_SECONDS = 0.05


class Deadlines:
    """`with deadlines.limit(seconds)` raises TimeoutError in a block that takes longer, a moment late at most."""

    def __init__(self) -> None:
        self.open: dict[_Limit, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking = False

    def limit(self, end: float) -> "_Limit":
        """Limit a block to a moment of time.monotonic()."""
        return _Limit(self, end)

    def watch(self, limit: "_Limit") -> "asyncio.Task[Any] | None":
        """Look after a limit from now on; return the task that it is for."""
        loop = self._loop
        if loop is None or loop.is_closed():
            # Asked once only: it is a system call.
            loop = self._loop = asyncio.get_running_loop()
        self.open[limit] = None
        if not self._looking:
            self._looking = True
            loop.call_later(_LOOK_SECONDS, self._look)
        return asyncio.current_task(loop)

    def _look(self) -> None:
        now = time.monotonic()
        for limit in self.open:
            if limit.end <= now:
                limit.expire()
        self._looking = bool(self.open)
        if self._looking and self._loop is not None:
            self._loop.call_later(_LOOK_SECONDS, self._look)


class _Limit:
    __slots__ = ("_at", "_expired", "_task", "end")

    def __init__(self, at: Deadlines, end: float) -> None:
        self._at, self.end = at, end
        self._expired = False

    def __enter__(self) -> None:
        self._task = self._at.watch(self)

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
