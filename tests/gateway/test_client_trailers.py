"""A client's trailers, whatever is in them, reach no service and touch nobody else: gRPC gives them no meaning."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.catalog.v1.catalog_service_pb2 import ImportProductsResponse
from commerce.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from tests import hostile
from tests.bench.replay import head
from tests.gateway.backend import Context
from tests.gateway.conftest import Gateway
from tests.shop import WAIT_SECONDS

ORDER = "018f0000-0000-7000-8000-000000000009"
WATCHES = 4
DATA = 0
FRAME_BYTES = 16_384
# What they are, and whether the call that has them is answered; else it is cut.
TRAILERS = [
    ([("x-a", "b")], True),
    ([("x-large", 17_000 * "x")], True),
    ([("x-large", 40_000 * "x")], True),
    ([("x-large", 65_000 * "x")], True),
    ([(f"x-{number}", "x") for number in range(90)], True),
    ([("grpc-timeout", "x")], True),
    ([("grpc-status", "x")], True),
    ([("x-bin", "!")], True),
    ([("x-large", 70_000 * "x")], False),
    ([("x-large", 300_000 * "x")], False),
    ([(f"x-{number}", "x") for number in range(5_000)], False),
]
CALL = "commerce.order.v1.OrderService/GetOrder"
STREAM = "commerce.catalog.v1.ImportService/ImportProducts"


@pytest.mark.parametrize("call", [CALL, STREAM])
async def test_nobody_feels_the_trailers_of(gateway: Gateway, call: str) -> None:
    go_on = asyncio.Event()
    imported = 0

    async def updates(
        request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_pb2.OrderUpdate]:
        yield order_pb2.OrderUpdate(sequence=1)
        await go_on.wait()
        yield order_pb2.OrderUpdate(sequence=2)

    async def gather(messages: AsyncIterator[Any], context: Context) -> ImportProductsResponse:
        nonlocal imported
        imported += len([each async for each in messages])
        return ImportProductsResponse()

    gateway.script.streams["WatchOrder"] = updates
    gateway.script.gathers["ImportProducts"] = gather
    metadata = (("authorization", f"Bearer {gateway.keys.token()}"),)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub: Any = order_service_pb2_grpc.OrderServiceStub(channel)
        request = order_service_pb2.WatchOrderRequest(order_id=ORDER)
        watches = [stub.WatchOrder(request, metadata=metadata) for _ in range(WATCHES)]
        for watch in watches:
            assert (await watch.read()).sequence == 1
        for trailers, answered in TRAILERS:
            got = len(gateway.script.arrivals) + imported
            await _send(gateway, call, trailers)
            assert len(gateway.script.arrivals) + imported == got + answered, trailers[0][0]
            await stub.GetOrder(order_service_pb2.GetOrderRequest(), metadata=metadata, timeout=WAIT_SECONDS)
        go_on.set()
        for watch in watches:
            assert (await watch.read()).sequence == 2


async def _send(gateway: Gateway, method: str, trailers: list[tuple[str, str]]) -> None:
    """By hand, until the gateway has answered the call, cut it or hung up: a client's own gRPC sends no trailers."""
    host, _, port = gateway.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    block = head(gateway.address, method, gateway.keys.token())
    # The fields of `head` before its own are those of a request: a block of trailers alone is what follows them.
    fields = head(gateway.address, method, gateway.keys.token(), *trailers)[len(block) :]
    writer.write(hostile.PREFACE + hostile.frame(hostile.SETTINGS, 0, 0))
    writer.write(hostile.frame(hostile.HEADERS, hostile.END_HEADERS, 1, block))
    writer.write(hostile.frame(DATA, 0, 1, b"\0\0\0\0\0"))
    parts = [fields[at : at + FRAME_BYTES] for at in range(0, len(fields), FRAME_BYTES)]
    for number, part in enumerate(parts):
        kind = hostile.CONTINUATION if number else hostile.HEADERS
        flags = (0 if number else hostile.END_STREAM) | (
            hostile.END_HEADERS if number + 1 == len(parts) else 0
        )
        writer.write(hostile.frame(kind, flags, 1, part))
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                frame = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(frame[:3], "big"))
                if int.from_bytes(frame[5:], "big") == 1 and (
                    frame[3] == hostile.RESET or frame[4] & hostile.END_STREAM
                ):
                    break
    writer.close()
