"""The histogram of RPC durations, received as OTLP."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from services.runtime import metrics, telemetry

EXPORT = "opentelemetry.proto.collector.metrics.v1.MetricsService"


async def test_exports_rate_errors_and_duration_by_method(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportMetricsServiceRequest] = []

    async def export(request: ExportMetricsServiceRequest, _: object) -> ExportMetricsServiceResponse:
        received.append(request)
        return ExportMetricsServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export, ExportMetricsServiceRequest.FromString, ExportMetricsServiceResponse.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EXPORT, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    monkeypatch.setattr(metrics, "_seen", {})
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"http://127.0.0.1:{port}")
    telemetry.start("order", "1", "order-1")
    for seconds in (0.001, 0.005, 0.3, 60.0):
        metrics.observe_rpc("a.B/C", "OK", seconds)
    metrics.observe_rpc("a.B/C", "INTERNAL", 0.02)
    await asyncio.to_thread(telemetry.stop)
    await server.stop(None)

    (request,) = received
    (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("rpc.server.call.duration", "s")
    points = {point.attributes[2].value.string_value: point for point in metric.histogram.data_points}
    assert list(points["OK"].bucket_counts) == [2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert (points["OK"].count, points["OK"].min, points["OK"].max) == (4, 0.001, 60.0)
    assert (points["INTERNAL"].count, points["INTERNAL"].sum) == (1, 0.02)
