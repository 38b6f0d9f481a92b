"""The server refuses early what is too much at once, and says when to come back."""

from typing import Any

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.admission import Seldom
from tests.runtime.conftest import LIMITS, ask, filled, held_up, opened, outcomes, watch
from tests.shop import eventually, refused

CALLS = int(LIMITS["COMMERCE_CALLS_IN_FLIGHT"])
# A store alone may have three quarters.
STREAMS = int(LIMITS["COMMERCE_OPEN_STREAMS"]) * 3 // 4


async def test_one_call_too_many_is_refused_at_once_and_the_others_are_served(toy):
    async with held_up(toy, 1):
        busy = await filled((ask(toy, "wait 1") for _ in range(CALLS + 1)), CALLS)

        with refused(ErrorReason.ERROR_REASON_OVERLOADED) as said:
            await ask(toy)

    assert said.retry_seconds is not None and said.retry_seconds > 0
    assert await outcomes(busy) == (CALLS, 1)
    await ask(toy)


def test_what_is_said_seldom_says_how_often_it_happened():
    often, seldom = Seldom(seconds=0), Seldom(seconds=3600)
    assert [often.due() for _ in range(3)] == [1, 1, 1]
    assert [seldom.due() for _ in range(3)] == [1, 0, 0]


async def test_health_answers_while_calls_are_refused(toy):
    health: Any = health_pb2_grpc.HealthStub(toy.clients.channel(toy.clients.cluster.address("toy")))
    async with held_up(toy, 1):
        busy = await filled((ask(toy, "wait 1") for _ in range(CALLS + 1)), CALLS)

        reply = await health.Check(health_pb2.HealthCheckRequest())

    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    assert await outcomes(busy) == (CALLS, 1)


async def test_one_stream_too_many_is_refused_and_a_closed_one_makes_room(toy):
    streams = [watch(toy) for _ in range(STREAMS)]
    for stream in streams:
        await stream.read()
    with refused(ErrorReason.ERROR_REASON_OVERLOADED) as said:
        await watch(toy).read()
    assert said.retry_seconds is not None

    streams.pop().cancel()
    again = await eventually(lambda: opened(toy))
    for stream in (again, *streams):
        stream.cancel()


async def test_open_streams_hold_no_database_connection(toy):
    """Two connections serve any number of streams that only wait."""
    streams = [watch(toy) for _ in range(STREAMS // 2)]
    for stream in streams:
        await stream.read()

    await ask(toy, "query 0")

    for stream in streams:
        stream.cancel()


async def test_a_message_that_is_too_large_is_refused_before_it_is_read(toy):
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await ask(toy, "x" * 100_000)

    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
