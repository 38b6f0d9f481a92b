"""What one caller or one store may have open: past it they are refused, and nobody else notices."""

import asyncio
import uuid

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.callers import ANYONE, Caller
from services.runtime.refusals import Refusal
from services.runtime.settings import Settings
from services.runtime.shares import READ, SEARCH, STREAM, WRITE, Shares
from tests.runtime.conftest import (
    HELD_UP,
    all_begun,
    ask,
    filled,
    held_up,
    opened,
    outcomes,
    toy_cluster,
    watch,
    write,
)
from tests.shop import Shop, eventually, refused

OVERLOADED = ErrorReason.ERROR_REASON_OVERLOADED
CONNECTIONS_OF_SEARCHES = 3
SEARCHES, STREAMS, PERSON_STREAMS, WRITES, BURST = 6, 9, 3, 12, 20
SMALL = {
    "COMMERCE_CALLS_IN_FLIGHT": "256",
    "COMMERCE_CALL_SECONDS": "60",
    # A store alone may have three quarters.
    "COMMERCE_SEARCHES_IN_FLIGHT": str(SEARCHES * 4 // 3),
    "COMMERCE_WRITES_IN_FLIGHT": str(WRITES * 4 // 3),
    "COMMERCE_OPEN_STREAMS": "400",
    "COMMERCE_CALLER_STREAMS": str(STREAMS),
    "COMMERCE_PERSON_STREAMS": str(PERSON_STREAMS),
    "COMMERCE_PERSON_CALLS_A_SECOND": str(BURST / 4),
    "COMMERCE_STORE_CALLS_A_SECOND": "400",
    "COMMERCE_DATABASE_CONNECTIONS": "4",
}


@pytest.fixture(scope="module")
async def small_clients(tmp_path_factory):
    async with toy_cluster(tmp_path_factory.mktemp("small"), **SMALL) as clients:
        yield clients


@pytest.fixture
def small(small_clients):
    """A new store's administrator before a toy with small shares."""
    return Shop(small_clients)


def buyer(shop):
    return shop.as_("customer", str(uuid.uuid4()))


async def open_streams(shop, number):
    streams = [watch(shop) for _ in range(number)]
    for stream in streams:
        await stream.read()
    return streams


async def test_searches_past_a_stores_share_are_refused_and_another_store_searches_on(small):
    other = small.another()
    async with held_up(small, 1):
        busy = await filled((ask(small, "wait 1") for _ in range(SEARCHES + 1)), SEARCHES)

        with refused(OVERLOADED) as said:
            await ask(small)
        assert said.retry_seconds
        await ask(other)
        await write(small)

    assert await outcomes(busy) == (SEARCHES, 1)
    await ask(small)


async def test_a_flood_of_searches_has_nobody_else_refused(small):
    other = small.another()
    async with held_up(small, 1):
        flood = all_begun(ask(small, "wait 1") for _ in range(100))
        for _ in range(10):
            await ask(other)
            await write(other)
        flood = await filled(flood, SEARCHES)

    assert await outcomes(flood) == (SEARCHES, 100 - SEARCHES)


async def test_searches_never_take_all_connections(small):
    """Three of four at most: what is no search finds the fourth."""
    async with held_up(small, 1):
        flood = await filled((ask(small, "wait 1") for _ in range(SEARCHES + 1)), SEARCHES)
        await write(small.another(), "query 0")

    assert await outcomes(flood) == (SEARCHES, 1)


async def test_a_search_that_waits_for_a_connection_gives_way_to_another_store(small):
    other = small.another()

    async def at_work():
        return len(await small.clients.rows(HELD_UP, 1)) == CONNECTIONS_OF_SEARCHES

    async with held_up(small, 2):
        async with held_up(small, 1):
            first = all_begun(ask(small, "wait 1") for _ in range(CONNECTIONS_OF_SEARCHES))
            await eventually(at_work)
            behind = (ask(small, "wait 2") for _ in range(SEARCHES - CONNECTIONS_OF_SEARCHES + 1))
            second = await filled(behind, SEARCHES - CONNECTIONS_OF_SEARCHES)
            (others,) = all_begun([ask(other, "query 0")])
            # Once what was sent after it is answered, it stands in the queue.
            await ask(other)
            await ask(other)
        await others
    assert await outcomes([*first, *second]) == (SEARCHES, 1)


async def test_writes_past_a_stores_share_are_refused_and_reads_go_on(small):
    async with held_up(small, 1):
        busy = await filled((write(small, "wait 1") for _ in range(3 * WRITES)), WRITES)
        await ask(small)
    assert await outcomes(busy) == (WRITES, 2 * WRITES)


async def test_a_customers_streams_past_a_persons_share_are_refused_and_others_are_not(small):
    mine, other = buyer(small), buyer(small)
    streams = await open_streams(mine, PERSON_STREAMS)
    with refused(OVERLOADED) as said:
        await watch(mine).read()
    assert said.retry_seconds
    streams += await open_streams(other, PERSON_STREAMS)

    streams.pop(0).cancel()
    streams.append(await eventually(lambda: opened(mine)))
    for stream in streams:
        stream.cancel()


async def test_one_token_opens_so_many_streams_and_no_more(small):
    streams = await open_streams(small, STREAMS)
    for _ in range(5):
        with refused(OVERLOADED):
            await watch(small).read()
    another_of_the_store = small.as_("store_manager")
    streams += await open_streams(another_of_the_store, 1)
    for stream in streams:
        stream.cancel()


async def test_whoever_calls_too_often_is_told_when_to_come_back_and_others_are_served(small):
    mine, other = buyer(small), buyer(small)

    async def one(shop):
        stream = watch(shop)
        await stream.read()
        stream.cancel()
        await asyncio.sleep(0.01)

    for _ in range(BURST):
        await one(mine)
    with refused(OVERLOADED) as said:
        # Some come again while the others are asked for.
        for _ in range(10 * BURST):
            await one(mine)
    assert said.retry_seconds
    assert said.retry_seconds >= 1
    await one(other)
    await asyncio.sleep(said.retry_seconds)
    await one(mine)


async def test_places_are_given_back_however_a_call_ends(small):
    async def ended(words, call=ask, **options):
        try:
            await call(small, words, **options)
        except grpc.aio.AioRpcError as error:
            assert error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED

    for _ in range(2 * SEARCHES):
        await ended("fail oh")
        await ended("sleep 5", timeout=0.02)
        await ended("x" * 300)
        await ended("fail oh", write)
        gone = asyncio.ensure_future(ask(small, "sleep 5"))
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.sleep(0.02)

    async def all_there():
        return await outcomes(ask(small, "query 0.1") for _ in range(SEARCHES)) == (SEARCHES, 0)

    await eventually(all_there)


# Whose share it is.

STORE, OTHER = str(uuid.uuid4()), str(uuid.uuid4())


def shares(**limits):
    told = {name: field.default for name, field in Settings.model_fields.items()}
    return Shares(Settings.model_construct(**(told | limits)))


def held(shares, kind, caller, store=""):
    """How many places somebody gets who takes as many as there are."""
    count = 0
    while count < 100_000:
        try:
            shares.of(kind, caller, store or caller.store_id).__enter__()
        except Refusal as refusal:
            assert refusal.reason == OVERLOADED
            break
        count += 1
    return count


def caller(role, store="", customer=""):
    return Caller(str(uuid.uuid4()), role, store, customer)


def test_a_person_has_few_places_and_their_store_many():
    of = shares(person_calls_a_second=1e6, store_calls_a_second=1e6)
    for role in ("CUSTOMER", "COURIER"):
        who = caller(role, STORE, str(uuid.uuid4()) if role == "CUSTOMER" else "")
        assert [held(of, kind, who) for kind in (READ, SEARCH, WRITE, STREAM)] == [32, 4, 16, 32]
    assert held(of, SEARCH, caller("STORE_ADMIN", STORE)) == 24 - 8
    assert held(of, SEARCH, caller("STORE_ADMIN", OTHER)) >= 2


def test_two_tokens_of_a_customer_are_one_customer():
    of, customer = shares(), str(uuid.uuid4())
    assert held(of, SEARCH, caller("CUSTOMER", STORE, customer)) == 4
    assert held(of, SEARCH, caller("CUSTOMER", STORE, customer)) == 0


def test_a_service_is_counted_as_the_store_it_acts_for_and_is_never_too_fast():
    of, service = shares(writes_in_flight=64), caller("SERVICE")
    assert held(of, WRITE, service, STORE) == 48
    assert held(of, WRITE, service, OTHER) > 0
    for _ in range(10_000):
        with of.of(WRITE, service, ""), of.of(READ, service, OTHER):
            pass
    # A store's own people find what its orders left.
    assert held(of, WRITE, caller("STORE_ADMIN", STORE)) == 0


def test_a_platform_admin_and_whoever_has_no_token_take_nothing_from_a_store():
    of = shares(person_calls_a_second=1e6, store_calls_a_second=1e6)
    assert held(of, WRITE, caller("PLATFORM_ADMIN")) == 192
    assert held(of, WRITE, ANYONE) > 0
    assert held(of, WRITE, caller("STORE_ADMIN", STORE)) >= 16
