"""Spans and metrics arrive at any collector: by gRPC or HTTP, plain or by TLS, and after it was away."""

import asyncio
import time

import pytest

from services.runtime import metrics, telemetry
from tests.collector import GRPC, HTTP, Certificate, Collector
from tests.shop import eventually

PROTOCOLS = (GRPC, HTTP)
BACK_SECONDS = 10


@pytest.fixture(params=["plain", "tls"])
def certificate(request, tmp_path):
    return Certificate.made(tmp_path) if request.param == "tls" else None


@pytest.fixture(params=PROTOCOLS)
async def collector(request, certificate, monkeypatch):
    collector = Collector(request.param, certificate)
    await collector.start()
    for name, value in collector.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret,x-team=shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=trial,service.version=9")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
    monkeypatch.setattr(metrics, "_counted", {})
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)  # What the SDK sends HTTP with lets these go first.
    yield collector
    await asyncio.to_thread(telemetry.stop)
    await collector.stop()


def traced(name):
    with telemetry.span(name, parent=telemetry.Trace.root()):
        pass


async def arrived(collector, name):
    await eventually(lambda: _named(collector, name), 30)


async def _named(collector, name):
    return any(span.name == name for span in collector.spans)


async def test_what_an_operator_sets_is_what_arrives(collector):
    telemetry.start("order", "1.2.3", "order-1")
    traced("first")
    metrics.count("commerce.trial")

    await arrived(collector, "first")
    await eventually(lambda: asyncio.sleep(0, "commerce.trial" in collector.metrics), 30)

    assert collector.senders[0] == {
        "service.name": "order",
        "service.instance.id": "order-1",
        "service.version": "9",
        "deployment.environment.name": "trial",
        **{name: value for name, value in collector.senders[0].items() if name.startswith("telemetry.sdk.")},
    }
    headers = collector.headers[0]
    assert (headers["authorization"], headers["x-team"]) == ("Bearer secret", "shop")


@pytest.mark.parametrize("certificate", ["plain"], indirect=True)
async def test_a_collector_that_was_away_is_told_again_soon_after_it_is_back(collector):
    telemetry.start("order", "1")
    traced("before")
    await arrived(collector, "before")

    await collector.stop()
    for number in range(8):
        traced(f"away {number}")
        await asyncio.sleep(0.5)
    await collector.start()
    back = time.monotonic()
    traced("back")
    await arrived(collector, "back")

    assert time.monotonic() - back < BACK_SECONDS
