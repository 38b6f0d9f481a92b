"""REST and server-sent events in front of gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import grpc
import pytest
from commerce.order.v1 import order_pb2, order_service_pb2
from commerce.payment.v1 import payment_service_pb2

from services.gateway.contract import Rpc, rpcs
from tests.gateway.backend import Context
from tests.gateway.conftest import DESCRIPTORS, STORE, Gateway, contract_definitions
from tests.shop import WAIT_SECONDS

ORDER = "018f0000-0000-7000-8000-000000000009"
BODY = json.dumps({"lines": [{"productId": ORDER, "quantity": 2}], "requestId": ORDER})
ALL = rpcs(DESCRIPTORS, [name for definition in contract_definitions() for name in definition.proto_services])
REST = [(rpc, binding) for rpc in ALL for binding in rpc.bindings if not rpc.streams]


async def test_makes_a_message_of_path_query_and_body(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.post(f"/v1/stores/{STORE}/orders", data=BODY) as reply:
        assert reply.status == 200
    async with http.get(f"/v1/stores/{STORE}/orders?pageSize=3&state=ORDER_STATE_PENDING") as reply:
        assert reply.status == 200

    created, listed = gateway.script.arrivals
    line = order_service_pb2.CreateOrderLine(product_id=ORDER, quantity=2)
    assert created.request == order_service_pb2.CreateOrderRequest(
        store_id=STORE, lines=[line], request_id=ORDER
    )
    state = order_pb2.OrderState.ORDER_STATE_PENDING
    assert listed.request == order_service_pb2.ListOrdersRequest(store_id=STORE, page_size=3, state=state)


async def test_answers_json_with_every_field(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async def order(
        request: order_service_pb2.GetOrderRequest, context: Context
    ) -> order_service_pb2.GetOrderResponse:
        return order_service_pb2.GetOrderResponse(order=order_pb2.Order(order_id=request.order_id))

    gateway.script.answers["GetOrder"] = order
    async with http.get(f"/v1/orders/{ORDER}") as reply:
        assert reply.content_type == "application/json"
        assert reply.headers["cache-control"] == "no-store"
        found = (await reply.json())["order"]
    assert found["orderId"] == ORDER
    assert found["storeId"] == "" and found["lines"] == [] and found["sequence"] == "0"


async def test_carries_a_large_page(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async def page(request: object, context: Context) -> order_service_pb2.ListOrdersResponse:
        line = order_pb2.OrderLine(product_id=ORDER, sku="x" * 60, name="y" * 200)
        return order_service_pb2.ListOrdersResponse(orders=[order_pb2.Order(lines=[line] * 20)] * 500)

    gateway.script.answers["ListOrders"] = page
    async with http.get(f"/v1/stores/{STORE}/orders?pageSize=500") as reply:
        assert reply.status == 200
        assert len((await reply.json())["orders"]) == 500
        length = reply.headers["content-length"]
    async with http.head(f"/v1/stores/{STORE}/orders?pageSize=500") as reply:
        assert (reply.status, reply.headers["content-length"]) == (200, length)


@pytest.mark.parametrize(("rpc", "binding"), REST, ids=[rpc.path for rpc, _ in REST])
async def test_leads_every_rest_path_of_the_contract_to_its_rpc(
    gateway: Gateway, http: aiohttp.ClientSession, rpc: Rpc, binding: object
) -> None:
    for one in rpc.bindings:
        path = one.template.replace("{store_id}", STORE)
        while "{" in path:
            path = path[: path.index("{")] + ORDER + path[path.index("}") + 1 :]
        async with http.request(one.verb, path, data="{}" if one.body else None) as reply:
            assert reply.status == 200, await reply.text()
    assert {arrival.rpc for arrival in gateway.script.arrivals} == {rpc.name}


async def test_sends_a_stream_as_events_while_they_happen(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    go_on = asyncio.Event()

    async def updates(
        request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_pb2.OrderUpdate]:
        yield order_pb2.OrderUpdate(order_id=request.order_id, sequence=request.after_sequence + 1)
        await go_on.wait()
        yield order_pb2.OrderUpdate(order_id=request.order_id, sequence=request.after_sequence + 2)

    gateway.script.streams["WatchOrder"] = updates
    async with http.get(f"/v1/orders/{ORDER}:watch?afterSequence=4") as reply:
        assert reply.content_type == "text/event-stream"
        assert reply.headers["cache-control"] == "no-cache"
        assert (await _event(reply))["sequence"] == "5"
        go_on.set()
        assert (await _event(reply))["sequence"] == "6"
        assert await reply.content.read() == b""


async def test_refuses_a_stream_with_a_status_and_json(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async def refuse(
        request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_pb2.OrderUpdate]:
        await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such order")
        yield order_pb2.OrderUpdate()

    gateway.script.streams["WatchOrder"] = refuse
    async with http.get(f"/v1/orders/{ORDER}:watch") as reply:
        assert reply.status == 404
        assert reply.content_type == "application/json"
        assert (await reply.json())["message"] == "there is no such order"


async def test_gives_up_the_call_when_the_client_goes(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    ended = asyncio.Event()

    async def updates(
        request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_pb2.OrderUpdate]:
        yield order_pb2.OrderUpdate(sequence=1)
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    gateway.script.streams["WatchOrder"] = updates
    async with http.get(f"/v1/orders/{ORDER}:watch") as reply:
        await _event(reply)
    await asyncio.wait_for(ended.wait(), WAIT_SECONDS)


async def test_passes_a_webhook_on_byte_for_byte_with_its_signature(
    gateway: Gateway, anyone: aiohttp.ClientSession
) -> None:
    body = b'{ "id" : "evt_1",\r\n "x": "\xc3\xa9 \x00\xff" }\n'
    headers = {"sandbox-signature": "t=1,v1=ab", "content-type": "application/json"}
    async with anyone.post("/v1/webhooks/sandbox", data=body, headers=headers) as reply:
        assert reply.status == 200
        assert await reply.json() == {}

    (arrival,) = gateway.script.arrivals
    assert isinstance(arrival.request, payment_service_pb2.IngestWebhookRequest)
    assert arrival.request.gateway == "sandbox"
    assert arrival.request.payload.data == body
    assert arrival.metadata["sandbox-signature"] == "t=1,v1=ab"


async def test_tells_a_load_balancer_that_it_is_well(anyone: aiohttp.ClientSession) -> None:
    async with anyone.get("/healthz") as reply:
        assert reply.status == 200


async def _event(reply: aiohttp.ClientResponse) -> dict[str, str]:
    line = await reply.content.readline()
    assert line.startswith(b"data: "), line
    while await reply.content.readline() != b"\n":
        pass
    event: dict[str, str] = json.loads(line[6:])
    return event
