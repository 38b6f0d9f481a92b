"""Work that is started and not waited for: asyncio itself keeps no hold of a task."""

import asyncio
from collections.abc import Coroutine


class Tasks:
    """Keeps what it starts until that ends. What fails says so by asyncio's own handler."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside everything else."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        """Have all that still runs end."""
        for task in self._running:
            task.cancel()
