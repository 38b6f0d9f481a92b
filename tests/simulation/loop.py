"""An event loop whose clock is a number and whose order is drawn from a seed; and processes that can die in it.

Whatever is ready runs in an order that the seed draws, one step at a time, and time passes only when nothing is
ready. A process is a name in the context of its tasks: once it is dead none of its steps runs any more, wherever it
stood.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any


class Process:
    """A process of the simulated cluster; `on_death` is what others notice."""

    def __init__(self, name: str) -> None:
        self.name, self.alive = name, True
        self.on_death: list[Callable[[], None]] = []

    def die(self) -> None:
        """End it where it stands."""
        self.alive = False
        for notice in self.on_death:
            notice()


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs steps in an order of the seed's. Raises RuntimeError when nothing would ever happen again."""

    def __init__(self, seed: random.Random) -> None:
        super().__init__()
        self._seed = seed
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._tasks: list[asyncio.Task[Any]] = []
        self._dead_steps: list[asyncio.Handle] = []
        self.steps = 0

    def time(self) -> float:
        """Seconds since the beginning of the world."""
        return self._now

    def spawn(self, work: Coroutine[Any, Any, Any], process: Process | None = None) -> asyncio.Task[Any]:
        """Begin a task in a process; nobody's lives for ever."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(work, context=context)

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """Create a task and keep it: what a dead process left must not be cleaned up behind our back."""
        task: asyncio.Task[Any] = super().create_task(*args, **kwargs)
        self._tasks.append(task)
        return task

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise RuntimeError("nothing will ever happen again")
            self._now = max(self._now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        chosen = self._seed.randrange(len(ready))
        ready.rotate(-chosen)
        handle = ready.popleft()
        ready.rotate(chosen)
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None and not process.alive:
            self._dead_steps.append(handle)
        else:
            self.steps += 1
            handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    async def end(self, processes: list[Process]) -> None:
        """Wind everything up, the dead included: nothing is left for the garbage collector to run."""
        for process in processes:
            process.alive = True
        own = asyncio.current_task()
        while left := [task for task in self._tasks if task is not own and not task.done()]:
            for task in left:
                task.cancel()
            self._ready.extend(self._dead_steps)  # type: ignore[attr-defined]
            self._dead_steps.clear()
            await asyncio.wait(left, timeout=1)
        self._tasks.clear()


def run(seed: random.Random, main: Callable[[SimulatedLoop], Coroutine[Any, Any, Any]]) -> Any:
    """Run a world to its end and return what `main` does."""
    loop = SimulatedLoop(seed)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()
