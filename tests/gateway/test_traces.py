"""A trace begins here."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio

from tests.gateway.collector import Collector
from tests.gateway.conftest import STORE, Gateway, free_address, start, until

CUSTOMERS = f"/v1/stores/{STORE}/customers?query=jane.doe"


@pytest_asyncio.fixture(loop_scope="session")
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    await collector.start()
    yield collector
    await collector.stop()


async def test_sends_a_span_of_the_call_to_the_collector(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    trace_id = await call(gateway, collector, tmp_path, sampling=1.0)

    async def told() -> bool:
        return bool(collector.spans)

    await until(told, "no span arrived")
    (span,) = collector.spans
    assert collector.services == {"gateway"}
    assert span.name == "commerce.customer.v1.CustomerService/ListCustomers"
    assert span.trace_id.hex() == trace_id
    assert "jane" not in str(span)
    arrived = gateway.script.arrivals[0].metadata["traceparent"]
    assert arrived == f"00-{trace_id}-{span.span_id.hex()}-01"


async def test_tells_services_not_to_record_what_it_does_not(
    gateway: Gateway, collector: Collector, tmp_path: Path
) -> None:
    trace_id = await call(gateway, collector, tmp_path, sampling=0.0)
    version, seen, _, flags = gateway.script.arrivals[0].metadata["traceparent"].split("-")
    assert (version, seen, flags) == ("00", trace_id, "00")
    assert collector.spans == []


async def call(gateway: Gateway, collector: Collector, directory: Path, sampling: float) -> str:
    """One call through a gateway of its own; its trace id."""
    own = dataclasses.replace(gateway, address=free_address(), admin=free_address(), log=directory / "envoy.log")
    process = await start(own, directory, otlp=collector.address, sampling=sampling)
    try:
        headers = {"authorization": f"Bearer {gateway.keys.token()}"}
        async with aiohttp.ClientSession(own.url, headers=headers) as session, session.get(CUSTOMERS) as reply:
            assert reply.status == 200
            return reply.headers["x-trace-id"]
    finally:
        process.terminate()
        await process.wait()
