"""Every call ends in time, and one that was broken off leaves nothing behind: no row, no lock, no connection."""

import asyncio
import time

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.deadlines import Deadlines
from tests.runtime.conftest import LIMITS, ask, write
from tests.shop import WAIT_SECONDS, eventually, refused

CONNECTIONS = int(LIMITS["COMMERCE_DATABASE_CONNECTIONS"])


async def sleeps(deadlines, seconds):
    """Return whether a block that may take so long was ended."""
    try:
        with deadlines.limit(time.monotonic() + seconds):
            await asyncio.sleep(WAIT_SECONDS)
    except TimeoutError:
        return True
    return False


async def test_each_of_many_blocks_ends_when_its_own_time_is_over():
    deadlines = Deadlines()
    begun = time.monotonic()
    longest = asyncio.create_task(sleeps(deadlines, 60))

    ended = await asyncio.gather(*(sleeps(deadlines, seconds) for seconds in (0.4, 0.1, 0.3, 0.2, 0.1)))

    assert ended == [True] * 5
    assert time.monotonic() - begun >= 0.4
    assert not longest.done()
    longest.cancel()


async def test_what_ends_in_time_wakes_nobody(monkeypatch):
    looks = []
    monkeypatch.setattr(Deadlines, "_look", lambda *_: looks.append(_))
    deadlines = Deadlines()

    for _ in range(5):
        with deadlines.limit(time.monotonic() + 60):
            await asyncio.sleep(0.03)
    await asyncio.sleep(0.1)

    assert looks == []


async def connections(toy, where="true"):
    """What the toy's role holds open in PostgreSQL."""
    return await toy.clients.rows(
        f"SELECT state, query FROM pg_stat_activity WHERE usename = 'toy' AND {where}"
    )


@pytest.mark.parametrize("words", ["sleep 5", "query 5"])
async def test_a_call_without_a_deadline_gets_one(toy, words):
    begun = time.monotonic()

    with refused(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED):
        await ask(toy, words, timeout=None)

    assert time.monotonic() - begun > 1.9


async def test_a_client_may_give_a_call_more_time_than_the_default(toy):
    await ask(toy, "sleep 2.5", timeout=60)


async def test_a_client_may_give_a_call_less_time(toy):
    more, less = ask(toy, "sleep 60"), ask(toy, "sleep 60", timeout=0.2)

    assert await less.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not more.done()
    more.cancel()


async def test_a_write_that_ran_out_of_time_changed_nothing(toy):
    with refused(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED):
        await write(toy, "query 5", timeout=None)

    assert await toy.published() == []


async def test_calls_that_were_broken_off_leave_no_connection_and_no_transaction_behind(toy):
    for words in ("query 3", "sleep 3"):
        calls = [write(toy, words) for _ in range(3)] + [ask(toy, words) for _ in range(3)]
        waiting = [asyncio.ensure_future(call.code()) for call in calls]
        await asyncio.sleep(0.3)
        for call in calls:
            call.cancel()
        assert await asyncio.gather(*waiting) == [grpc.StatusCode.CANCELLED] * len(calls)

    async def idle():
        return not await connections(toy, "state LIKE 'idle in transaction%'")

    await eventually(idle)
    await asyncio.gather(*(ask(toy, "query 0.05") for _ in range(6)))

    async def few():
        return (
            len(await connections(toy, "query NOT LIKE '%pg_sleep(3%' AND state <> 'active'")) <= CONNECTIONS
        )

    await eventually(few)


async def test_more_calls_than_connections_wait_for_one(toy):
    replies = await asyncio.gather(*(write(toy, "query 0.05") for _ in range(6)))

    assert len(replies) == 6


async def test_a_connection_that_the_database_broke_is_replaced(toy):
    await ask(toy, "query 0")
    await toy.clients.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'toy'")

    async def answered():
        try:
            await ask(toy, "query 0")
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE, error
            return False
        return True

    await eventually(answered)
