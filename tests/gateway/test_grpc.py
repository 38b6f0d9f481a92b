"""Plain gRPC and grpc-web on the port that serves REST."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.catalog.v1.catalog_pb2 import Import
from commerce.catalog.v1.catalog_service_pb2 import ImportProductsRequest, ImportProductsResponse, ImportRow
from commerce.catalog.v1.catalog_service_pb2_grpc import ImportServiceStub
from commerce.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from google.rpc import status_pb2

from services.gateway import hardening
from tests.gateway.backend import Context
from tests.gateway.conftest import Gateway, own_gateway
from tests.gateway.refusals import grpc_reason
from tests.shop import WAIT_SECONDS

ORDER = "018f0000-0000-7000-8000-000000000009"
WEB = "application/grpc-web+proto"
GET_ORDER = "/commerce.order.v1.OrderService/GetOrder"


async def order(
    request: order_service_pb2.GetOrderRequest, context: Context
) -> order_service_pb2.GetOrderResponse:
    return order_service_pb2.GetOrderResponse(order=order_pb2.Order(order_id=request.order_id))


async def updates(
    request: order_service_pb2.WatchOrderRequest, context: Context
) -> AsyncIterator[order_pb2.OrderUpdate]:
    for sequence in (1, 2, 3):
        yield order_pb2.OrderUpdate(sequence=sequence)


async def test_serves_plain_grpc(gateway: Gateway) -> None:
    gateway.script.answers["GetOrder"] = order
    gateway.script.streams["WatchOrder"] = updates
    metadata = (("authorization", f"Bearer {gateway.keys.token()}"),)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        reply = await stub.GetOrder(order_service_pb2.GetOrderRequest(order_id=ORDER), metadata=metadata)
        watch = stub.WatchOrder(order_service_pb2.WatchOrderRequest(order_id=ORDER), metadata=metadata)
        assert [update.sequence async for update in watch] == [1, 2, 3]
    assert reply.order.order_id == ORDER


@pytest.mark.parametrize("path", ["/commerce.order.v1.OrderService/NoSuchRpc", "/no.such.Service/Rpc"])
async def test_answers_unimplemented_to_an_rpc_that_is_not_offered(gateway: Gateway, path: str) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"", metadata=(("authorization", f"Bearer {gateway.keys.token()}"),))
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert grpc_reason(refused.value) == "UNIMPLEMENTED"


async def test_passes_a_stream_of_requests_on_as_it_comes(gateway: Gateway) -> None:
    """Each message reaches the service before the next is sent; together they are larger than any body may be."""
    arrived: asyncio.Queue[int] = asyncio.Queue()

    async def gather(messages: AsyncIterator[Any], context: Context) -> ImportProductsResponse:
        count = 0
        async for message in messages:
            count += 1
            await arrived.put(message.batch)
        return ImportProductsResponse(product_import=Import(batches=count))

    gateway.script.gathers["ImportProducts"] = gather
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        call = _import(gateway, channel)
        for batch in range(1, 6):
            await call.write(ImportProductsRequest(batch=batch, rows=[ImportRow(name="x" * 500_000)]))
            assert await asyncio.wait_for(arrived.get(), WAIT_SECONDS) == batch
        await call.done_writing()
        assert (await call).product_import.batches == 5


async def test_a_stream_of_requests_that_its_service_answers_to_may_last(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request has to be complete in time, but for one that the service has begun to answer."""
    monkeypatch.setattr(hardening, "REQUEST_SECONDS", 3)

    async def gather(messages: AsyncIterator[Any], context: Context) -> ImportProductsResponse:
        await context.send_initial_metadata(())
        return ImportProductsResponse(product_import=Import(batches=len([each async for each in messages])))

    gateway.script.gathers["ImportProducts"] = gather
    async with (
        own_gateway(gateway, tmp_path) as own,
        grpc.aio.insecure_channel(own.address) as channel,
    ):
        call = _import(own, channel)
        await call.write(ImportProductsRequest(batch=1))
        await asyncio.sleep(3.5)
        await call.write(ImportProductsRequest(batch=2))
        await call.done_writing()
        assert (await call).product_import.batches == 2


async def test_refuses_a_stream_of_requests_without_a_token(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        call = ImportServiceStub(channel).ImportProducts(iter([ImportProductsRequest(batch=1)]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
    assert grpc_reason(refused.value) == "UNAUTHENTICATED"


def _import(gateway: Gateway, channel: grpc.aio.Channel) -> Any:
    metadata = (("authorization", f"Bearer {gateway.keys.token()}"),)
    return ImportServiceStub(channel).ImportProducts(metadata=metadata)


async def test_serves_grpc_web(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    gateway.script.answers["GetOrder"] = order
    async with http.post(
        GET_ORDER, data=_web_request(), headers={"content-type": WEB, "x-grpc-web": "1"}
    ) as reply:
        assert reply.status == 200
        assert reply.content_type == WEB
        (flags, message), (trailer_flags, trailers) = _frames(await reply.read())
    assert (flags, trailer_flags) == (0, 0x80)
    assert order_service_pb2.GetOrderResponse.FromString(message).order.order_id == ORDER
    assert b"grpc-status:0" in trailers


async def test_serves_grpc_web_as_text(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    gateway.script.answers["GetOrder"] = order
    headers = {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text"}
    async with http.post(GET_ORDER, data=base64.b64encode(_web_request()), headers=headers) as reply:
        frames = _frames(base64.b64decode(await reply.read()))
    assert order_service_pb2.GetOrderResponse.FromString(frames[0][1]).order.order_id == ORDER


async def test_refuses_grpc_web_with_a_grpc_status(gateway: Gateway, anyone: aiohttp.ClientSession) -> None:
    async with anyone.post(
        GET_ORDER, data=_web_request(), headers={"content-type": WEB, "x-grpc-web": "1"}
    ) as reply:
        assert (reply.status, reply.content_type) == (200, WEB)
        assert await reply.read() == b""
        assert reply.headers["grpc-status"] == "16"
        assert reply.headers["grpc-message"] == "a bearer token is missing"
        status = status_pb2.Status.FromString(
            base64.b64decode(reply.headers["grpc-status-details-bin"] + "==")
        )
    assert (status.code, status.message) == (16, "a bearer token is missing")


async def test_takes_no_json_on_a_grpc_path(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.post(GET_ORDER, json={}) as reply:
        assert reply.status == 415
    assert gateway.script.arrivals == []


def _web_request() -> bytes:
    message = order_service_pb2.GetOrderRequest(order_id=ORDER).SerializeToString()
    return struct.pack(">BI", 0, len(message)) + message


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        flags, size = struct.unpack(">BI", data[:5])
        found.append((flags, data[5 : 5 + size]))
        data = data[5 + size :]
    return found
