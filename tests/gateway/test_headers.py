"""What goes in and out beside the message."""

from __future__ import annotations

import json
import re
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_service_pb2, order_service_pb2_grpc

from tests.gateway.conftest import ORIGIN, STORE, Gateway, own_gateway, until
from tests.gateway.refusals import detail, refusal

ORDER_PATH = "/v1/orders/018f0000-0000-7000-8000-000000000009"
TRACE_ID = re.compile(r"[0-9a-f]{32}")
OUTSIDE = "0af7651916cd43dd8448eb211c80319c"
FORGED = {
    "x-commerce-role": "PLATFORM_ADMIN",
    "x-commerce-client-traceparent": "forged",
    "x-envoy-original-path": "/v1/stores/x",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-retry-on": "5xx",
    "x-envoy-force-trace": "true",
    "x-client-trace-id": "forged",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-host": "forged",
    "x-real-ip": "203.0.113.9",
    "forwarded": "for=203.0.113.9",
    "x-request-id": "forged",
    "x-trace-id": "forged",
    "traceparent": f"00-{OUTSIDE}-b7ad6b7169203331-01",
    "tracestate": "forged=1",
    "baggage": "forged=1",
}


async def test_takes_off_what_only_we_may_say(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.get(ORDER_PATH, headers=FORGED) as reply:
        assert reply.status == 200
        trace_id = reply.headers["x-trace-id"]
    metadata = gateway.script.arrivals[0].metadata
    # A trace that decides nothing, to be linked.
    ours = {key: value for key, value in metadata.items() if key.startswith("x-commerce-")}
    assert ours == {"x-commerce-client-traceparent": FORGED["traceparent"]}
    assert "x-envoy-upstream-rq-timeout-ms" not in metadata
    assert metadata["x-envoy-original-path"] == ORDER_PATH
    assert not [value for value in metadata.values() if "forged" in value or "203.0.113.9" in value]
    assert metadata["traceparent"].split("-")[1] == trace_id != OUTSIDE


async def test_gives_each_call_a_trace_id_that_the_service_sees_too(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    ids = set()
    for _ in range(3):
        async with http.get(ORDER_PATH) as reply:
            ids.add(reply.headers["x-trace-id"])
    assert len(ids) == 3
    assert ids == {arrival.metadata["traceparent"].split("-")[1] for arrival in gateway.script.arrivals}


REPLIES = {
    "200": ("GET", ORDER_PATH, True, None),
    "400": ("GET", f"/v1/stores/{STORE}/orders?pageSize=x", True, None),
    "400 body": ("POST", f"/v1/stores/{STORE}/orders", True, "{"),
    "400 unknown field": ("POST", f"/v1/stores/{STORE}/orders", True, '{"nope": 1}'),
    "401": ("GET", ORDER_PATH, False, None),
    "403": ("GET", "/v1/stores/another/orders", True, None),
    "404": ("GET", "/nothing", True, None),
    "413": ("POST", f"/v1/stores/{STORE}/orders", True, "x" * 2_000_000),
    "health": ("GET", "/healthz", False, None),
}


@pytest.mark.parametrize("case", REPLIES)
async def test_puts_the_trace_id_on_every_reply(
    gateway: Gateway, anyone: aiohttp.ClientSession, case: str
) -> None:
    verb, path, signed, body = REPLIES[case]
    headers = {"authorization": f"Bearer {gateway.keys.token()}"} if signed else {}
    async with anyone.request(verb, path, headers=headers, data=body) as reply:
        assert TRACE_ID.fullmatch(reply.headers["x-trace-id"])


async def test_puts_the_trace_id_on_grpc_replies(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        call = stub.GetOrder(
            order_service_pb2.GetOrderRequest(),
            metadata=(("authorization", f"Bearer {gateway.keys.token()}"),),
        )
        assert TRACE_ID.fullmatch(str(dict(await call.initial_metadata())["x-trace-id"]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetOrder(order_service_pb2.GetOrderRequest())
    assert TRACE_ID.fullmatch(str(dict(refused.value.trailing_metadata())["x-trace-id"]))


async def test_keeps_its_own_headers_to_itself(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    for body in (None, "{", '{"nope": 1}'):
        async with http.post(f"/v1/stores/{STORE}/orders", data=body) as reply:
            assert reply.headers["server"] == "commerce"
            internal = [key for key in reply.headers if key.lower().startswith(("x-envoy-", "x-commerce-"))]
            assert internal == []


ASKED = (
    "authorization, content-type, traceparent, tracestate, baggage, last-event-id, grpc-timeout, x-grpc-web"
)


async def test_answers_a_preflight_of_an_origin_that_it_knows(anyone: aiohttp.ClientSession) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "PATCH"}
    headers |= {"access-control-request-headers": ASKED}
    for path in (ORDER_PATH, "/commerce.order.v1.OrderService/GetOrder"):
        async with anyone.options(path, headers=headers) as reply:
            assert reply.status == 200
            assert reply.headers["access-control-allow-origin"] == ORIGIN
            allowed = reply.headers["access-control-allow-headers"].split(", ")
            assert set(ASKED.split(", ")) <= set(allowed)
            assert "PATCH" in reply.headers["access-control-allow-methods"]


async def test_takes_what_a_page_sends_of_its_trace_and_starts_its_own(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    headers = {"origin": ORIGIN, "traceparent": f"00-{OUTSIDE}-b7ad6b7169203331-01", "baggage": "a=1"}
    async with http.get(ORDER_PATH, headers=headers) as reply:
        assert reply.status == 200
        assert reply.headers["x-trace-id"] != OUTSIDE
    assert "baggage" not in gateway.script.arrivals[0].metadata


LOCAL = [
    "http://localhost:5173",
    "https://localhost",
    "http://127.0.0.1:8000",
    "http://[::1]:3000",
    "http://shop.localhost:80",
]
NOT_LOCAL = [
    "http://localhost.evil.example",
    "http://evil.example:80",
    "http://127.0.0.1.evil.example",
    "null",
    "file://",
]


async def test_lets_localhost_in_while_pages_are_made(
    gateway: Gateway, anyone: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with own_gateway(gateway, tmp_path, development=True, cors_origins=[]) as own:
        assert [origin for origin in LOCAL if await _preflight(anyone, own.url, origin)] == LOCAL
        assert not [origin for origin in NOT_LOCAL if await _preflight(anyone, own.url, origin)]
    assert not [origin for origin in LOCAL if await _preflight(anyone, gateway.url, origin)]


@pytest.mark.parametrize("origins", [[], [ORIGIN]])
async def test_says_that_an_origin_is_not_allowed(
    gateway: Gateway, anyone: aiohttp.ClientSession, tmp_path: Path, origins: list[str]
) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    async with (
        own_gateway(gateway, tmp_path, cors_origins=origins) as own,
        anyone.options(own.url + ORDER_PATH, headers=headers) as reply,
    ):
        assert reply.status == 403
        status = await refusal(reply)
    assert detail(status, "ErrorInfo")["metadata"] == {"cause": "another origin"}
    assert "COMMERCE_CORS_ORIGINS" in status["message"]


async def _preflight(session: aiohttp.ClientSession, url: str, origin: str) -> bool:
    headers = {"origin": origin, "access-control-request-method": "GET"}
    async with session.options(url + ORDER_PATH, headers=headers) as reply:
        return reply.headers.get("access-control-allow-origin") == origin


async def test_lets_pages_of_a_known_origin_read_the_reply(http: aiohttp.ClientSession) -> None:
    async with http.get(ORDER_PATH, headers={"origin": ORIGIN}) as reply:
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert "x-trace-id" in reply.headers["access-control-expose-headers"]


async def test_lets_no_other_origin_in(anyone: aiohttp.ClientSession, http: aiohttp.ClientSession) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    async with anyone.options(ORDER_PATH, headers=headers) as reply:
        assert "access-control-allow-origin" not in reply.headers
    async with http.get(ORDER_PATH, headers={"origin": "https://evil.example"}) as reply:
        assert "access-control-allow-origin" not in reply.headers


# What is logged of a path ("-": nothing, for it might be a card's number, a person's or a secret).
LOGGED = {
    ORDER_PATH: ORDER_PATH,
    f"{ORDER_PATH}:watch?x=4111111111111111": f"{ORDER_PATH}:watch",
    "/commerce.order.v1.OrderService/GetOrder": "/commerce.order.v1.OrderService/GetOrder",
    "/v1/order-settings/": "/v1/order-settings/",
    "/v1/orders/4111111111111111": "-",
    "/v1/orders/4111-1111-1111-1111": "-",
    "/v1/orders/4111%201111%201111%201111": "-",
    "/v1/orders/%34%31%31%31": "-",
    "/v1/orders/..%2f4111": "-",
    "/v1/jane.doe@example.org": "-",
}


async def test_logs_a_path_of_words_and_ids_and_no_other(gateway: Gateway, tmp_path: Path) -> None:
    async with own_gateway(gateway, tmp_path) as own, aiohttp.ClientSession() as session:
        for path in LOGGED:
            async with session.get(URL(own.url + path, encoded=True)):
                pass
        async with session.request("4111111111111111", own.url + ORDER_PATH):
            pass
    lines = [json.loads(line) for line in own.log.read_text().splitlines()]
    assert [line["path"] for line in lines if line["event"] == "call"] == [*LOGGED.values(), "-"]
    # A trace id may hold any digits.
    assert "4111" not in re.sub(TRACE_ID, "", own.log.read_text())


async def test_logs_a_call_as_one_json_line_without_token_or_query(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"/v1/stores/{STORE}/customers?query=jane.doe") as reply:
        trace_id = reply.headers["x-trace-id"]

    async def logged() -> bool:
        return trace_id in gateway.log.read_text()

    await until(logged, "the call was never logged")
    (line,) = [line for line in gateway.log.read_text().splitlines() if trace_id in line]
    entry = json.loads(line)
    assert entry["path"] == f"/v1/stores/{STORE}/customers"
    assert entry["rpc"] == "/commerce.customer.v1.CustomerService/ListCustomers"
    assert (entry["status"], entry["grpc_status"]) == (200, "OK")
    assert "jane" not in line
    assert gateway.keys.token()[:20] not in gateway.log.read_text()
