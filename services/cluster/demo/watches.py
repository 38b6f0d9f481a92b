"""Watchers, who read on by themselves while the story is told: of one order, and of all orders of a store."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing

from services.cluster.demo.clients import Person, short
from services.cluster.demo.teller import ClaimFailed, Step

HANG_UP_AFTER = 10


class Watch:
    """What one watcher of an order has seen. It reads on by itself, until the order has come to its end."""

    def __init__(self, updates: AsyncIterator[tuple[int, str]]) -> None:
        self.seen: list[tuple[int, str]] = []
        self._moved = asyncio.Event()
        self._task = asyncio.create_task(self._read(updates))

    def __str__(self) -> str:
        return " → ".join(state for _, state in self.seen) or "nothing"

    async def to(self, state: str, step: Step) -> None:
        """Returns when that state has been seen. Raises ClaimFailed when the order ends elsewhere."""
        step.waits = lambda: f"the watch has seen {self}, not {state}"
        while state not in (seen for _, seen in self.seen):
            if self._task.done():
                self._task.result()
                raise ClaimFailed(f"the order ended without {state}: {self}")
            self._moved.clear()
            await self._moved.wait()
        step.waits = None

    async def ended(self, step: Step) -> None:
        """Returns when the server has closed the stream, as it does once the order has ended."""
        step.waits = lambda: f"the stream is still open after {self}"
        await self._task
        step.waits = None

    def stop(self) -> None:
        self._task.cancel()

    async def _read(self, updates: AsyncIterator[tuple[int, str]]) -> None:
        try:
            async for update in updates:
                self.seen.append(update)
                self._moved.set()
        finally:
            self._moved.set()


class Feed:
    """What is told of a store's orders, by server-sent events: by order, each transition's number and state.

    It hangs up after every tenth message, and goes on with that message's token.
    """

    def __init__(self, person: Person, store_id: str) -> None:
        self.seen: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.hung_up = 0
        self._path = f"/v1/stores/{store_id}/orders:watch"
        self._token = ""
        self._moved = asyncio.Event()
        self._task = asyncio.create_task(self._read(person))

    async def opened(self) -> None:
        """Returns when the first message is there: from now on every transition is told."""
        await self._moved.wait()
        self.check()

    def check(self) -> None:
        """Raises what ended the reading."""
        if self._task.done():
            self._task.result()

    def stop(self) -> None:
        self._task.cancel()

    async def _read(self, person: Person) -> None:
        try:
            while True:
                await self._listen(person)
                self.hung_up += 1
        finally:
            self._moved.set()

    async def _listen(self, person: Person) -> None:
        left = HANG_UP_AFTER
        async with aclosing(person.events(f"{self._path}?resumeToken={self._token}")) as updates:
            async for update in updates:
                self._token = update["resumeToken"]
                if not update["bookmark"]:
                    self.seen[update["orderId"]].append((int(update["sequence"]), short(update["state"])))
                self._moved.set()
                left -= 1
                if not left:
                    break
