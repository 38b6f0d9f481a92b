"""A trace begins here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway.collector import Collector
from tests.gateway.conftest import STORE, Gateway, own_gateway, until

CUSTOMERS = f"/v1/stores/{STORE}/customers?query=jane.doe"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    await collector.start()
    yield collector
    await collector.stop()


async def test_sends_a_span_of_the_call_to_the_collector(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    async with own_gateway(gateway, tmp_path, otlp=collector.address, sampling=1.0) as own:
        trace_id = await call(own)

        async def told() -> bool:
            return bool(_calls(collector))

        await until(told, "no span arrived")
    (span,) = _calls(collector)
    assert collector.services == {"gateway"}
    assert span.name == "commerce.customer.v1.CustomerService/ListCustomers"
    assert span.trace_id.hex() == trace_id
    assert "jane" not in str(span)
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
    async with own_gateway(gateway, tmp_path, otlp=collector.address, sampling=1.0) as own:
        headers |= {"authorization": f"Bearer {gateway.keys.token()}"}
        async with aiohttp.ClientSession(own.url, headers=headers) as session:
            for verb, path, more in calls:
                async with session.request(verb, path, headers=more):
                    pass

        async def told() -> bool:
            return len(_calls(collector)) == len(calls)

        await until(told, "not every span arrived")
    assert not [span for span in collector.spans if number in str(span)]


async def test_tells_services_not_to_record_what_it_does_not(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    async with own_gateway(gateway, tmp_path, otlp=collector.address, sampling=0.0) as own:
        trace_id = await call(own)
    version, seen, _, flags = gateway.script.arrivals[0].metadata["traceparent"].split("-")
    assert (version, seen, flags) == ("00", trace_id, "00")
    assert collector.spans == []


async def call(gateway: Gateway) -> str:
    """The trace id of one call."""
    headers = {"authorization": f"Bearer {gateway.keys.token()}"}
    async with (
        aiohttp.ClientSession(gateway.url, headers=headers) as session,
        session.get(CUSTOMERS) as reply,
    ):
        assert reply.status == 200
        return reply.headers["x-trace-id"]


def _calls(collector: Collector) -> list[Any]:
    """Spans of calls; Envoy tells of its fetching of keys, too."""
    return [span for span in collector.spans if span.name != "JWT Remote PubKey Fetch"]
