"""Bad input is a 4xx in one shape that names the field and the reason; never a 5xx."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_service_pb2, order_service_pb2_grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from yarl import URL

from services.gateway import hardening
from tests.gateway.backend import Context
from tests.gateway.conftest import OTHER_STORE, STORE, Gateway
from tests.gateway.refusals import detail, grpc_reason, reason, refusal

ORDERS = f"/v1/stores/{STORE}/orders"
ORDER_PATH = "/v1/orders/018f0000-0000-7000-8000-000000000009"

BODIES: dict[str, tuple[str | bytes, str]] = {
    "a string for a number": ('{"lines": [{"quantity": "many"}]}', "lines[0].quantity"),
    "a number for a message": ('{"lines": 7}', "lines"),
    "a string for a message": ('{"deliveryAddress": "here"}', "deliveryAddress"),
    "half a unit": ('{"lines": [{"quantity": 1.5}]}', "lines[0].quantity"),
    "a number out of range": ('{"lines": [{"quantity": 99999999999}]}', "lines[0].quantity"),
    "a field that does not exist": ('{"quantity": 1}', "quantity"),
    "a field that does not exist, deep": (
        '{"deliveryAddress": {"lines": ["a{\\"b"]}, "lines": [{"quantity": 1}, {"productID": "x"}]}',
        "lines[1].productID",
    ),
    "another store than the path": (json.dumps({"store_id": OTHER_STORE}), "storeId"),
    "another store than the path, in its other spelling": (json.dumps({"storeId": OTHER_STORE}), "storeId"),
    "a field twice": ('{"customerId": "a", "customer_id": "b"}', "customerId"),
    "a field twice, deep": ('{"lines": [{}, {"quantity": 1, "quantity": 1}]}', "lines[1].quantity"),
    "a field that does not exist, in disguise": ('{"\\u0071uantity": 1}', "quantity"),
    "an object for a string": ('{"customerId": {}}', "customerId"),
    "a list for a string": ('{"customerId": ["a"]}', "customerId"),
    "an object for a list": ('{"lines": {}}', "lines"),
    "a trailing comma": ('{"customerId": "a",}', ""),
    "single quotes": ("{'customerId': 'a'}", ""),
    "a bare name": ('{customerId: "a"}', ""),
    "a number that begins with 0": ('{"lines": [{"quantity": 01}]}', ""),
    "an escape that is none": ('{"customerId": "\\x41"}', ""),
    "a tab in a string": ('{"customerId": "\t"}', ""),
    "a word that is none": ('{"customerId": nil}', ""),
    "the start of an object": ('{"customerId": ', ""),
    "no closing quote": ('{"customerId": "', ""),
    "an array": ("[1]", ""),
    "null": ("null", ""),
    "two objects": ("{} {}", ""),
    "a comment": ("{/* x */}", ""),
    "bytes that are no UTF-8": (b'{"paymentMethod": "\xff\xfe"}', ""),
    "half a surrogate": ('{"paymentMethod": "\\ud800"}', ""),
    "objects in objects": ('{"a":' * 3000 + "1" + "}" * 3000, "a"),
    "arrays in arrays": ("[" * 100_000, ""),
}


@pytest.mark.parametrize("case", BODIES)
async def test_refuses_a_body_with(gateway: Gateway, http: aiohttp.ClientSession, case: str) -> None:
    body, field = BODIES[case]
    async with http.post(ORDERS, data=body, headers={"content-type": "application/json"}) as reply:
        assert reply.status == 400
        status = await refusal(reply)
    assert (status["code"], reason(status)) == (3, "INVALID_ARGUMENT")
    (violation,) = detail(status, "BadRequest")["fieldViolations"]
    assert violation.get("field", "") == field
    assert violation["description"]
    assert gateway.script.arrivals == []


QUERIES = {
    "state=NO_SUCH_STATE": "state",
    "state=99": "state",
    "pageSize=many": "pageSize",
    "pageSize=-": "pageSize",
    "noSuchField=1": "noSuchField",
    "page_size.x=1": "page_size",
}


@pytest.mark.parametrize("query", QUERIES)
async def test_refuses_a_query(gateway: Gateway, http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"{ORDERS}?{query}") as reply:
        assert reply.status == 400
        status = await refusal(reply)
    assert reason(status) == "INVALID_ARGUMENT"
    assert detail(status, "BadRequest")["fieldViolations"][0].get("field") == QUERIES[query]
    assert gateway.script.arrivals == []


@pytest.mark.parametrize(
    "body",
    [
        '{"customerId": "a", "payment_method": "b"}',
        '{"\\u0063ustomerId" : "\\u00e9\\ud83d\\ude00 \x7f"}',
        '\r\n{ "lines" :[ {"quantity":1e1} , {} ],"requestId": null}\t',
        f'{{"storeId": "{STORE}"}}',
        "{}",
        "",
    ],
)
async def test_takes_json_in_all_its_forms(gateway: Gateway, http: aiohttp.ClientSession, body: str) -> None:
    async with http.post(ORDERS, data=body) as reply:
        assert reply.status == 200


async def test_takes_a_time_a_mask_and_both_spellings(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    body = {"updateMask": "name,price", "request_id": STORE}
    async with http.patch("/v1/products/018f0000-0000-7000-8000-000000000009", json=body) as reply:
        assert reply.status == 200, await reply.text()


@pytest.mark.parametrize(
    ("verb", "path"), [("GET", "/"), ("GET", "/v1/nothing"), ("POST", "/v1/ordersx"), ("OPTIONS", "/nothing")]
)
async def test_answers_404_to_what_is_not_offered(
    anyone: aiohttp.ClientSession, verb: str, path: str
) -> None:
    async with anyone.request(verb, path) as reply:
        assert reply.status == 404
        status = await refusal(reply)
    assert (reason(status), status["message"]) == ("UNIMPLEMENTED", "there is no such path")


async def test_refuses_a_body_that_is_too_large(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    body = json.dumps({"paymentMethod": "x" * hardening.MAX_BODY_BYTES})
    async with http.post(ORDERS, data=body) as reply:
        assert reply.status == 413
        assert reason(await refusal(reply)) == "INVALID_ARGUMENT"
    assert gateway.script.arrivals == []


async def test_refuses_a_grpc_message_that_is_too_large(gateway: Gateway) -> None:
    request = order_service_pb2.GetOrderRequest(order_id="x" * hardening.MAX_BODY_BYTES)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetOrder(request, metadata=(("authorization", f"Bearer {gateway.keys.token()}"),))
    assert grpc_reason(refused.value) == "INVALID_ARGUMENT"
    assert gateway.script.arrivals == []


HEADERS = {
    "too large": {"x-large": "x" * 40_000},
    "too many": {f"x-{number}": "x" for number in range(150)},
    "with an underscore": {"x_y": "1"},
}


@pytest.mark.parametrize("case", HEADERS)
async def test_refuses_headers_that_are(gateway: Gateway, http: aiohttp.ClientSession, case: str) -> None:
    async with http.get(ORDER_PATH, headers=HEADERS[case]) as reply:
        assert reply.status in (400, 431)
        assert reason(await refusal(reply)) == "INVALID_ARGUMENT"
    assert gateway.script.arrivals == []


@pytest.mark.parametrize("path", ["/v1/orders/a%2Fb", "/v1/orders/a%5cb", "/v1/orders/a%00b"])
async def test_refuses_a_path_that_hides_a_slash(
    gateway: Gateway, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.get(URL(gateway.url + path, encoded=True)) as reply:
        assert reply.status == 400
        assert reason(await refusal(reply)) == "INVALID_ARGUMENT"
    assert gateway.script.arrivals == []


async def test_gives_up_a_call_that_takes_too_long_at_the_clients_deadline(gateway: Gateway) -> None:
    async def never(
        request: order_service_pb2.GetOrderRequest, context: Context
    ) -> order_service_pb2.GetOrderResponse:
        await asyncio.sleep(60)
        return order_service_pb2.GetOrderResponse()

    gateway.script.answers["GetOrder"] = never
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            metadata = (("authorization", f"Bearer {gateway.keys.token()}"),)
            await stub.GetOrder(order_service_pb2.GetOrderRequest(), metadata=metadata, timeout=0.3)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_keeps_what_a_service_says_of_its_refusal(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    async def refuse(request: object, context: Context) -> order_service_pb2.GetOrderResponse:
        info = any_pb2.Any()
        info.Pack(
            error_details_pb2.ErrorInfo(
                reason="ORDER_NOT_FOUND", domain="commerce", metadata={"order_id": "x"}
            )
        )
        status = status_pb2.Status(code=5, message="there is no such order", details=[info])
        await context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError

    gateway.script.answers["GetOrder"] = refuse
    async with http.get(ORDER_PATH) as reply:
        assert reply.status == 404
        status = await refusal(reply)
    assert (status["code"], status["message"]) == (5, "there is no such order")
    assert detail(status, "ErrorInfo")["metadata"] == {"order_id": "x"}
