"""Rate, errors and duration of every RPC: one histogram, counted by hand, exported by the OpenTelemetry SDK.

The metric is rpc.server.call.duration of the RPC semantic conventions, in seconds, by method and status.
"""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_left

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from services.runtime.otlp import number, protocol

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Durations:
    """Calls of one method that ended with one status."""

    __slots__ = ("buckets", "highest", "lowest", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = self.highest = 0.0
        self.lowest = float("inf")


_seen: dict[tuple[str, str], Durations] = {}
_counted: dict[str, int] = {}


def count(name: str) -> None:
    """Counts something that people are to be told of, by a dotted name."""
    _counted[name] = _counted.get(name, 0) + 1


def observe_rpc(method: str, code: str, seconds: float) -> None:
    """Counts a call that was served. `method` is "pkg.Service/Method", `code` a status by name."""
    durations = _seen.get((method, code))
    if durations is None:
        durations = _seen[method, code] = Durations()
    durations.buckets[bisect_left(BOUNDS, seconds)] += 1
    durations.seconds += seconds
    if seconds > durations.highest:
        durations.highest = seconds
    if seconds < durations.lowest:
        durations.lowest = seconds


class Reporter:
    """Exports what was counted since the start, every OTEL_METRIC_EXPORT_INTERVAL milliseconds and at the end."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._begin_ns = time.time_ns()
        self._interval_seconds = number("OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000
        self._otlp = _exporter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        self._stopping.set()
        self._thread.join(timeout_seconds)
        self._otlp.shutdown()

    def _run(self) -> None:
        while True:
            last = self._stopping.wait(self._interval_seconds)
            if _seen or _counted:
                with contextlib.suppress(Exception):
                    self._otlp.export(reported(self._resource, self._begin_ns, time.time_ns()))
            if last:
                return


def _exporter() -> MetricExporter:
    if protocol("METRICS") == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHttp

        return OverHttp()
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc

    return OverGrpc()


def reported(resource: Resource, begin_ns: int, now_ns: int) -> MetricsData:
    """What was counted, as the SDK's exporters take it."""
    points = [
        HistogramDataPoint(
            attributes={
                "rpc.system.name": "grpc",
                "rpc.method": method,
                "rpc.response.status_code": code,
            },
            start_time_unix_nano=begin_ns,
            time_unix_nano=now_ns,
            count=sum(buckets := list(durations.buckets)),
            sum=durations.seconds,
            bucket_counts=buckets,
            explicit_bounds=BOUNDS,
            min=durations.lowest,
            max=durations.highest,
        )
        for (method, code), durations in list(_seen.items())
    ]
    data = Histogram(data_points=points, aggregation_temporality=AggregationTemporality.CUMULATIVE)
    metric = Metric("rpc.server.call.duration", "Duration of the calls that were served.", "s", data)
    counts = [_sum(name, total, begin_ns, now_ns) for name, total in list(_counted.items())]
    scope = ScopeMetrics(InstrumentationScope("commerce.runtime"), [metric, *counts], "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _sum(name: str, total: int, begin_ns: int, now_ns: int) -> Metric:
    point = NumberDataPoint(attributes={}, start_time_unix_nano=begin_ns, time_unix_nano=now_ns, value=total)
    return Metric(name, "", "1", Sum([point], AggregationTemporality.CUMULATIVE, is_monotonic=True))
