"""A trace begins here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.gateway import collector as collectors
from tests.collector import GRPC, HTTP, Certificate, Collector, attributes_of
from tests.gateway.conftest import STORE, Gateway, own_gateway, until

CUSTOMERS = f"/v1/stores/{STORE}/customers?query=jane.doe"


CALL = {
    "http.method": "GET",
    "http.response.status_code": "200",
    "http.route": "/v1/stores/{store_id}/customers",
    "rpc.method": "commerce.customer.v1.CustomerService/ListCustomers",
    "rpc.response.status_code": "OK",
    "rpc.system.name": "grpc",
}
CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def told(collector: Collector, **more: str) -> collectors.Collector:
    """What the gateway makes of what an operator sets."""
    found = collectors.from_environment(collector.environment | more)
    assert found is not None
    return found


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    await collector.start()
    yield collector
    await collector.stop()


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("protocol", [GRPC, HTTP])
async def test_reaches_any_collector_and_one_that_was_away(
    gateway: Gateway, tmp_path: Path, protocol: str, is_secure: bool
) -> None:
    collector = Collector(protocol, Certificate.made(tmp_path) if is_secure else None)
    await collector.start()
    to = told(collector, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20secret,x-team=shop")
    resource = {
        "service.version": "9",
        "service.instance.id": "gateway-1",
        "deployment.environment.name": "x",
    }
    async with own_gateway(gateway, tmp_path, collector=to, resource=resource, sampling=1.0) as own:
        await call(own)
        await until(lambda: _has(collector, 1), "no span arrived")
        await collector.stop()
        await call(own)
        await collector.start()
        before = len(_calls(collector))
        await call(own)
        await until(lambda: _has(collector, before + 1), "no span arrived after the collector was back")
    await collector.stop()
    assert resource.items() <= collector.senders[0].items()
    assert collector.senders[0]["service.name"] == "gateway"
    assert collector.headers[0]["authorization"] == "Bearer secret"
    assert collector.headers[0]["x-team"] == "shop"


async def test_a_clients_own_trace_is_handed_on_to_be_linked_and_decides_nothing(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    async with own_gateway(gateway, tmp_path, collector=told(collector), sampling=0.0) as own:
        trace_id = await call(own, traceparent=CLIENT)
        await call(own)
    first, second = (arrival.metadata for arrival in gateway.script.arrivals)
    assert first["traceparent"].split("-")[1] == trace_id != CLIENT.split("-")[1]
    assert first["traceparent"].endswith("-00")
    assert first["x-commerce-client-traceparent"] == CLIENT
    assert "x-commerce-client-traceparent" not in second


async def test_sends_a_span_of_the_call_to_the_collector(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    async with own_gateway(gateway, tmp_path, collector=told(collector), sampling=1.0) as own:
        trace_id = await call(own)

        await until(lambda: _has(collector, 1), "no span arrived")
    (span,) = _calls(collector)
    assert {sender["service.name"] for sender in collector.senders} == {"gateway"}
    assert span.name == "commerce.customer.v1.CustomerService/ListCustomers"
    assert span.trace_id.hex() == trace_id
    assert "jane" not in str(span)
    attributes = attributes_of(span)
    assert {name: attributes[name] for name in CALL} == CALL
    arrived = gateway.script.arrivals[0].metadata["traceparent"]
    assert arrived == f"00-{trace_id}-{span.span_id.hex()}-01"


async def test_no_span_says_what_a_client_wrote(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    number = "4111111111111111"
    headers = dict.fromkeys(("host", "user-agent", "grpc-timeout", "x-request-id", "cookie"), number)
    calls: list[tuple[str, str, dict[str, str]]] = [
        ("GET", f"/v1/orders/{number}", {}),
        ("GET", f"/{number}", {}),
        ("GET", f"/v1/orders?{number}=1", {}),
    ]
    calls += [("POST", f"/commerce.{number}/Call", {"content-type": f"application/grpc+{number}"})]
    calls += [
        ("POST", "/commerce.order.v1.OrderService/GetOrder", {"content-type": f"application/grpc+{number}"})
    ]
    async with own_gateway(gateway, tmp_path, collector=told(collector), sampling=1.0) as own:
        headers |= {"authorization": f"Bearer {gateway.keys.token()}"}
        async with aiohttp.ClientSession(own.url, headers=headers) as session:
            # Envoy reads no such method, and has no span of it.
            for verb, path, more in [(f"GET{number}", "/v1/orders", {}), *calls]:
                async with session.request(verb, path, headers=more):
                    pass

        await until(lambda: _has(collector, len(calls)), "not every span arrived")
    assert not [span for span in collector.spans if number in str(span)]


async def test_tells_services_not_to_record_what_it_does_not(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    async with own_gateway(gateway, tmp_path, collector=told(collector), sampling=0.0) as own:
        trace_id = await call(own)
    version, seen, _, flags = gateway.script.arrivals[0].metadata["traceparent"].split("-")
    assert (version, seen, flags) == ("00", trace_id, "00")
    assert collector.spans == []


async def call(gateway: Gateway, **headers: str) -> str:
    """The trace id of one call."""
    headers |= {"authorization": f"Bearer {gateway.keys.token()}"}
    async with (
        aiohttp.ClientSession(gateway.url, headers=headers) as session,
        session.get(CUSTOMERS) as reply,
    ):
        assert reply.status == 200
        return reply.headers["x-trace-id"]


async def _has(collector: Collector, number: int) -> bool:
    return len(_calls(collector)) >= number


def _calls(collector: Collector) -> list[Any]:
    """Spans of calls; Envoy tells of its fetching of keys, too."""
    return [span for span in collector.spans if span.name != "JWT Remote PubKey Fetch"]
