"""The hub: what live updates lose, repeat or disorder, the source makes good; no watcher sees it."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import nats
import pytest

from services.runtime.hub import MAILBOX, Hub, Update
from tests.shop import WAIT_SECONDS, eventually

NEVER = 3600.0


@dataclass
class Timeline:
    """What is on record of one order, and how often it was read."""

    updates: list[Update] = field(default_factory=list)
    reads: int = 0

    def record(self, count: int = 1, final: bool = False) -> list[Update]:
        """Put so many updates on record, the last of them perhaps the final one."""
        begin = len(self.updates) + 1
        end = begin + count
        self.updates += [Update(each, b"%d" % each, final and each == end - 1) for each in range(begin, end)]
        return self.updates[-count:]

    async def source(self, _: str, after: int) -> list[Update]:
        self.reads += 1
        return self.updates[after:]

    async def latest(self, keys: list[str]) -> dict[str, int]:
        return dict.fromkeys(keys, len(self.updates))


@pytest.fixture
def timeline():
    return Timeline()


@asynccontextmanager
async def listening(toy, timeline, recheck=NEVER):
    """A hub, and a task that collects what a watcher of the order is told to its end."""
    client = await nats.connect(toy.clients.cluster.nats_url, no_echo=True)
    hub = Hub("order", client, timeline.source, timeline.latest, NEVER, recheck)
    running = asyncio.create_task(hub.run())

    async def collected():
        return [update.sequence async for update in hub.follow(toy.store_id, 0) if update is not None]

    watching = asyncio.create_task(collected())
    try:
        await eventually(lambda: _begun(timeline, client))
        yield hub, watching
    finally:
        for task in (running, watching):
            task.cancel()
        await asyncio.wait([running, watching])
        await client.close()


async def _begun(timeline, client):
    await client.flush()
    return timeline.reads and client._subs


async def test_live_updates_reach_a_watcher_without_a_look_at_the_source(toy, timeline):
    async with listening(toy, timeline) as (hub, watching):
        for update in timeline.record(3, final=True):
            hub.announce(toy.store_id, update)
        assert await asyncio.wait_for(watching, WAIT_SECONDS) == [1, 2, 3]
    assert timeline.reads == 1


async def test_an_update_that_is_lost_is_told_before_the_one_that_shows_the_gap(toy, timeline):
    async with listening(toy, timeline) as (hub, watching):
        first, _, last = timeline.record(3, final=True)
        for update in (first, last):
            hub.announce(toy.store_id, update)
        assert await asyncio.wait_for(watching, WAIT_SECONDS) == [1, 2, 3]


async def test_updates_that_come_twice_and_in_disorder_are_told_once_and_in_order(toy, timeline):
    async with listening(toy, timeline) as (hub, watching):
        first, second, last = timeline.record(3, final=True)
        for update in (second, first, first, second, last, last):
            hub.announce(toy.store_id, update)
            await asyncio.sleep(0.02)
        assert await asyncio.wait_for(watching, WAIT_SECONDS) == [1, 2, 3]


async def test_a_final_update_that_is_lost_is_found_by_looking_now_and_then(toy, timeline):
    async with listening(toy, timeline, recheck=0.2) as (_, watching):
        timeline.record(2, final=True)
        assert await asyncio.wait_for(watching, WAIT_SECONDS) == [1, 2]


async def test_a_watcher_that_is_slow_misses_nothing(toy, timeline):
    """More come at once than its mailbox holds: it is sent to the source."""
    async with listening(toy, timeline) as (hub, watching):
        for update in timeline.record(3 * MAILBOX, final=True):
            hub.announce(toy.store_id, update)
        assert await asyncio.wait_for(watching, WAIT_SECONDS) == list(range(1, 3 * MAILBOX + 1))
