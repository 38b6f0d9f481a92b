"""Waiting for a time or a bell, whichever comes first."""

import asyncio
import time
from contextlib import suppress


async def until(bell: asyncio.Event, due: float | None) -> None:
    """Returns when the bell rings or the clock (Unix seconds) reaches `due`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None if due is None else max(0.0, due - time.time())):
            await bell.wait()
    bell.clear()


class Alarm:
    """Wakes its one waiter early when something is due before what it waits for.

    Most charges expire in a week: that one more does is no reason to wake anybody.
    """

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._awaited: float | None = None

    def due(self, at: float | None) -> None:
        if at is not None and (self._awaited is None or at < self._awaited):
            self._bell.set()

    async def wait(self, due: float | None) -> None:
        self._awaited = due
        await until(self._bell, due)
