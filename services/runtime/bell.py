"""Wakes a worker that waits for something to do; ringing twice before it wakes is one call."""

import asyncio


class Bell:
    """`ring` wakes whoever waits; `wait` returns at a ring or, at the latest, after some seconds."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Say that there is something to do."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring, at most so long. Return whether it rang."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
