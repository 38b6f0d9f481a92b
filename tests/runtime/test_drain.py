"""A server that stops finishes what it has begun, sends streams elsewhere, and takes nothing new."""

import asyncio
import signal
import uuid
from typing import Any

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_service_pb2 import WatchOrderRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.runtime.conftest import ask, write
from tests.shop import refused


async def test_calls_in_flight_finish(toy):
    busy = [asyncio.ensure_future(ask(toy, "sleep 0.6")), asyncio.ensure_future(write(toy, "query 0.6"))]
    await asyncio.sleep(0.2)

    toy.clients.cluster.kill("toy", signal.SIGTERM)

    await asyncio.gather(*busy)
    await toy.clients.cluster.wait_ready("toy", 60)
    assert len(await toy.published()) >= 1


async def test_an_open_stream_is_told_to_come_back(toy):
    stream = toy.orders.WatchOrder(WatchOrderRequest(order_id=str(uuid.uuid4())))
    await stream.read()

    toy.clients.cluster.kill("toy", signal.SIGTERM)

    with refused(ErrorReason.ERROR_REASON_UNAVAILABLE) as said:
        async with asyncio.timeout(3):
            await stream.read()
    assert said.retry_seconds is not None


async def test_health_says_that_a_server_stops_while_it_finishes(toy):
    """Whoever balances the load sends nothing more here, before the port is closed."""
    busy = asyncio.ensure_future(ask(toy, "sleep 0.6"))
    async with grpc.aio.insecure_channel(toy.clients.cluster.address("toy")) as channel:
        watch: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

        toy.clients.cluster.kill("toy", signal.SIGTERM)

        async with asyncio.timeout(3):
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    await busy


async def test_a_stopping_server_takes_nothing_new(toy):
    busy = asyncio.ensure_future(ask(toy, "sleep 0.8"))
    await asyncio.sleep(0.2)
    toy.clients.cluster.kill("toy", signal.SIGTERM)
    await asyncio.sleep(0.2)

    async with grpc.aio.insecure_channel(toy.clients.cluster.address("toy")) as channel:
        call: Any = channel.unary_unary("/commerce.customer.v1.CustomerService/ListCustomers")
        try:
            await call(b"", timeout=0.3)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        else:
            raise AssertionError("it took a new call")
    await busy
