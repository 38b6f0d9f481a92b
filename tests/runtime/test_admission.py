"""The server refuses early what is too much at once, and says when to come back."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_service_pb2 import WatchOrderRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.admission import Seldom
from tests.runtime.conftest import LIMITS, ask
from tests.shop import refused

CALLS = int(LIMITS["COMMERCE_CALLS_IN_FLIGHT"])
# A store alone may have three quarters.
STREAMS = int(LIMITS["COMMERCE_OPEN_STREAMS"]) * 3 // 4


async def test_one_call_too_many_is_refused_at_once_and_the_others_are_served(toy):
    busy = [asyncio.ensure_future(ask(toy, "sleep 0.7")) for _ in range(CALLS)]
    await asyncio.sleep(0.3)

    with refused(ErrorReason.ERROR_REASON_OVERLOADED) as said:
        async with asyncio.timeout(0.3):
            await ask(toy)

    assert said.retry_seconds is not None and said.retry_seconds > 0
    assert len(await asyncio.gather(*busy)) == CALLS
    await ask(toy)


def test_what_is_said_seldom_says_how_often_it_happened():
    often, seldom = Seldom(seconds=0), Seldom(seconds=3600)
    assert [often.due() for _ in range(3)] == [1, 1, 1]
    assert [seldom.due() for _ in range(3)] == [1, 0, 0]


async def test_health_answers_while_calls_are_refused(toy):
    busy = [asyncio.ensure_future(ask(toy, "sleep 0.5")) for _ in range(CALLS)]
    await asyncio.sleep(0.2)

    health: Any = health_pb2_grpc.HealthStub(toy.clients.channel(toy.clients.cluster.address("toy")))
    reply = await health.Check(health_pb2.HealthCheckRequest())

    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    await asyncio.gather(*busy)


async def test_one_stream_too_many_is_refused_and_a_closed_one_makes_room(toy):
    def watch():
        return toy.orders.WatchOrder(WatchOrderRequest(order_id=str(uuid.uuid4())))

    streams = [watch() for _ in range(STREAMS)]
    for stream in streams:
        await stream.read()
    with refused(ErrorReason.ERROR_REASON_OVERLOADED) as said:
        await watch().read()
    assert said.retry_seconds is not None

    streams.pop().cancel()
    for _ in range(20):
        again = watch()
        try:
            await again.read()
            break
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)
    else:
        pytest.fail("a closed stream made no room")
    for stream in (again, *streams):
        stream.cancel()


async def test_open_streams_hold_no_database_connection(toy):
    """Two connections serve any number of streams that only wait."""
    streams = [
        toy.orders.WatchOrder(WatchOrderRequest(order_id=str(uuid.uuid4()))) for _ in range(STREAMS // 2)
    ]
    for stream in streams:
        await stream.read()

    await ask(toy, "query 0")

    for stream in streams:
        stream.cancel()


async def test_a_message_that_is_too_large_is_refused_before_it_is_read(toy):
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await ask(toy, "x" * 100_000)

    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
