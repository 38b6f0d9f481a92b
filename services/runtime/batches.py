"""Group commit: what is asked for while a statement runs waits for it, and then goes together in the next one.

Nobody waits for company: what comes when nothing runs goes at once, by itself.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

from services.runtime import failpoints, logs, telemetry
from services.runtime.database import AWAY
from services.runtime.tasks import Tasks

# What takes longer than commits do, for it waits for somebody's lock, is not waited for by the others.
PATIENCE_SECONDS = 0.1

Item = TypeVar("Item")
Result = TypeVar("Result")


class LeftOut(Exception):
    """One that a batch did not do: it is done by itself."""


class _Waiting(Generic[Item, Result]):
    """Who waits: what they ask for, in which trace, and where they are told."""

    __slots__ = ("_told", "item", "trace")

    def __init__(self, item: Item) -> None:
        self.item, self.trace = item, telemetry.current()
        self._told: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @property
    def left(self) -> bool:
        """Whether nobody waits any more."""
        return self._told.done()

    async def wait(self) -> Result:
        return await self._told

    def tell(self, result: Result | Exception) -> None:
        if self.left:
            return
        if isinstance(result, Exception):
            self._told.set_exception(result)
        else:
            self._told.set_result(result)


class Batches(Generic[Item, Result]):
    """Does what is asked for one by one, or up to `most` at once. `name` is what failpoints and traces call it.

    `together` returns what became of each, in their order: an exception is that one's own, and LeftOut has it done by
    itself. When it raises, each is done by itself, so that who is at fault is alone; unless the database went away,
    which may have done all of it.
    """

    def __init__(
        self,
        name: str,
        alone: Callable[[Item], Awaitable[Result]],
        together: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        most: int,
    ) -> None:
        self._name, self._alone, self._together, self._most = name, alone, together, most
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._turn: asyncio.TimerHandle | None = None
        self._tasks = Tasks()

    async def do(self, item: Item) -> Result:
        """Have one thing done, and return or raise what became of it."""
        if self._turn is not None:
            waiting: _Waiting[Item, Result] = _Waiting(item)
            self._waiting.append(waiting)
            return await waiting.wait()
        turn = self._begin()
        try:
            return await self._alone(item)
        finally:
            self._end(turn)

    def _begin(self) -> asyncio.TimerHandle:
        turn = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._pass_on)
        self._turn = turn
        return turn

    def _end(self, turn: asyncio.TimerHandle) -> None:
        turn.cancel()
        if self._turn is turn:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give those who wait their turn, in a task of their own: who leaves must not take them along."""
        self._turn = None
        if self._waiting:
            self._tasks.start(self._take(self._begin()))

    async def _take(self, turn: asyncio.TimerHandle) -> None:
        try:
            if failpoints.ARMED and len(self._waiting) > 1:
                await failpoints.reach(f"before batch {self._name}")
            batch = self._next()
            if len(batch) == 1:
                await self._do_alone(batch[0])
            elif batch:
                await self._do_together(batch)
        finally:
            self._end(turn)

    def _next(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        while self._waiting and len(batch) < self._most:
            each = self._waiting.popleft()
            if not each.left:
                batch.append(each)
        return batch

    async def _do_alone(self, one: _Waiting[Item, Result]) -> None:
        if one.left:
            return  # With them went what their work was to publish.
        try:
            with _within([one.trace], self._name):
                one.tell(await self._alone(one.item))
        except Exception as error:
            one.tell(error)

    async def _do_together(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        try:
            with _within([each.trace for each in batch], self._name):
                results = await self._together([each.item for each in batch])
                if failpoints.ARMED:
                    await failpoints.reach(f"after batch {self._name}")
        except Exception as error:
            if _may_be_done(error):
                for each in batch:
                    each.tell(error)
                return
            logs.log.warning("done one by one", batch=self._name, size=len(batch), error=str(error))
            results = [LeftOut()] * len(batch)
        for each, result in zip(batch, results, strict=True):
            if isinstance(result, LeftOut):
                self._tasks.start(self._do_alone(each))
            else:
                each.tell(result)


def _may_be_done(error: Exception) -> bool:
    """Tell whether the database went away. asyncpg says the same of a value that fits no parameter."""
    return isinstance(error, AWAY) and not isinstance(error, ValueError)


def _within(traces: Sequence[telemetry.Trace | None], name: str) -> AbstractContextManager[Any]:
    """A batch is part of one of its traces, a recorded one if there is any, and linked to the others."""
    known = sorted((trace for trace in traces if trace), key=lambda trace: not trace.sampled)
    if not known:
        return nullcontext()
    links = [trace for trace in known[1:] if trace.sampled]
    return telemetry.span(f"batch {name}", parent=known[0], links=links)
