"""A server that stops finishes what it has begun, sends streams elsewhere, and takes nothing new."""

import asyncio
import signal
import uuid
from contextlib import asynccontextmanager
from typing import Any

import grpc
import nats
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.msg import Msg

from services.runtime.jetstream import STREAM, Pull
from services.runtime.service import CANCELLED_AGAIN_SECONDS, end
from tests.runtime.conftest import HELD_UP, ask, held_up, watch, write
from tests.shop import eventually, refused

PATIENCE_SECONDS = 30


async def at_work(toy, calls):
    """Return when so many calls are at work: each is held up in the database."""

    async def wait():
        return len(await toy.clients.rows(HELD_UP, 1)) == calls

    await eventually(wait)


async def test_an_open_stream_is_told_to_come_back(toy):
    stream = watch(toy)
    await stream.read()

    toy.clients.cluster.kill("toy", signal.SIGTERM)

    with refused(ErrorReason.ERROR_REASON_UNAVAILABLE) as said:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await stream.read()
    assert said.retry_seconds is not None


@asynccontextmanager
async def stopping(toy):
    """While this block lasts the server, which has been told to stop and says so, has a read and a write to finish."""
    async with (
        grpc.aio.insecure_channel(toy.clients.cluster.address("toy")) as channel,
        held_up(toy, 1),
    ):
        busy = [asyncio.ensure_future(call(toy, "wait 1")) for call in (ask, write)]
        health: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        await at_work(toy, 2)

        toy.clients.cluster.kill("toy", signal.SIGTERM)

        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        yield
    await asyncio.gather(*busy)


async def test_calls_in_flight_finish(toy):
    async with stopping(toy):
        pass

    await toy.clients.cluster.wait_ready("toy")
    assert len(await toy.published()) >= 1


async def test_health_says_that_a_server_stops_while_it_finishes(toy):
    """Whoever balances the load sends nothing more here, before the port is closed."""
    async with stopping(toy):
        pass


async def test_a_stopping_server_takes_nothing_new(toy):
    async with (
        stopping(toy),
        # A channel that is open already would hear by itself that the server goes.
        grpc.aio.insecure_channel(toy.clients.cluster.address("toy")) as channel,
    ):
        call: Any = channel.unary_unary("/commerce.customer.v1.CustomerService/ListCustomers")
        try:
            await call(b"", timeout=0.3)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        else:
            raise AssertionError("it took a new call")


@pytest.mark.parametrize("turns", range(8))
async def test_whoever_waits_for_events_stops_though_one_comes_at_that_moment(toy, turns):
    """So many turns of the loop before it is told to stop. Python 3.11's `wait_for` forgets the stop in one of them."""
    client = await nats.connect(toy.clients.cluster.nats_url)
    durable = f"stops-{uuid.uuid4()}"
    await client.jetstream().add_consumer(STREAM, durable_name=durable, filter_subject=f"commerce.{durable}")
    try:
        async with Pull(client, durable, 10) as pull:

            async def forever() -> None:
                while True:
                    await pull.next()

            waiting = asyncio.ensure_future(forever())
            await eventually(lambda: _waits(pull))
            await _comes(pull, client)
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()

            done, _ = await asyncio.wait({waiting}, timeout=PATIENCE_SECONDS)
            assert done
    finally:
        await client.jetstream().delete_consumer(STREAM, durable)
        await client.close()


async def _waits(pull):
    return pull._subscription._pending_queue._getters


async def _comes(pull, client):
    subject = pull._subscription.subject
    message = Msg(_client=client, subject=subject, reply="an.ack", data=b"")
    pull._subscription._pending_queue.put_nowait(message)


async def test_a_worker_that_lost_a_cancellation_is_told_again():
    async def deaf() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    worker = asyncio.ensure_future(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(3 * CANCELLED_AGAIN_SECONDS):
        await end([worker])
    assert worker.cancelled()
