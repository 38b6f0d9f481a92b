"""A service's trailers, however large, end one call: nobody else's, and the call is not repeated for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from tests.gateway.backend import Context
from tests.gateway.conftest import Gateway
from tests.shop import WAIT_SECONDS

ORDER = "018f0000-0000-7000-8000-000000000009"
WATCHES = 4


@pytest.mark.parametrize(("fields", "kilobytes"), [(1, 17), (1, 64), (64, 1), (150, 1), (50, 20)])
async def test_a_refusal_ends_one_call(gateway: Gateway, fields: int, kilobytes: int) -> None:
    go_on = asyncio.Event()

    async def updates(
        request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_pb2.OrderUpdate]:
        yield order_pb2.OrderUpdate(sequence=1)
        await go_on.wait()
        yield order_pb2.OrderUpdate(sequence=2)

    async def refuse(
        request: order_service_pb2.GetOrderRequest, context: Context
    ) -> order_service_pb2.GetOrderResponse:
        context.set_trailing_metadata(
            tuple((f"x-large-{number}", "x" * 1000 * kilobytes) for number in range(fields))
        )
        await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such order")

    gateway.script.streams["WatchOrder"] = updates
    gateway.script.answers["GetOrder"] = refuse
    metadata = (("authorization", f"Bearer {gateway.keys.token()}"),)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub: Any = order_service_pb2_grpc.OrderServiceStub(channel)
        request = order_service_pb2.WatchOrderRequest(order_id=ORDER)
        watches = [stub.WatchOrder(request, metadata=metadata) for _ in range(WATCHES)]
        for watch in watches:
            assert (await watch.read()).sequence == 1
        for _ in range(2):
            assert await _status(gateway) == 404
        go_on.set()
        for watch in watches:
            assert (await watch.read()).sequence == 2
    assert len([arrival for arrival in gateway.script.arrivals if arrival.rpc == "GetOrder"]) == 2


async def _status(gateway: Gateway) -> int:
    """Of a call by hand, for clients have limits of their own."""
    host, _, port = gateway.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"GET /v1/orders/{ORDER} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {gateway.keys.token()}\r\n\r\n"
    )
    writer.write(head.encode())
    line = await asyncio.wait_for(reader.readline(), WAIT_SECONDS)
    writer.close()
    return int(line.split()[1])
