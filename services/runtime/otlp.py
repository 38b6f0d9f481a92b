"""The way of ended spans out of the process: a bounded queue, one thread, the SDK's OTLP exporter.

The SDK reads endpoint, headers, credentials, compression, deadline and retries from `OTEL_EXPORTER_OTLP_*`.
Read here: OTEL_EXPORTER_OTLP_PROTOCOL (grpc or http/protobuf), OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
OTEL_BSP_SCHEDULE_DELAY (milliseconds).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as Attributed
from opentelemetry.proto.trace.v1 import trace_pb2 as wire
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AttributeValue

from services.runtime.cards import masked

if TYPE_CHECKING:
    from services.runtime.telemetry import Recorded

KINDS: dict[str, wire.Span.SpanKind.ValueType] = {
    "internal": wire.Span.SPAN_KIND_INTERNAL,
    "server": wire.Span.SPAN_KIND_SERVER,
    "client": wire.Span.SPAN_KIND_CLIENT,
    "producer": wire.Span.SPAN_KIND_PRODUCER,
    "consumer": wire.Span.SPAN_KIND_CONSUMER,
}
FAULT = wire.Status.STATUS_CODE_ERROR
ENCODED_AT_ONCE = 32
# As many statements, methods and routes as there are, and some.
WRITTEN = 2048
_written: dict[int, tuple[Mapping[str, AttributeValue], tuple[common.KeyValue, ...]]] = {}

log = logging.getLogger("commerce.telemetry")


def number(variable: str, default: float) -> float:
    """A number from the environment; the default, with a warning, when it is none."""
    text = os.environ.get(variable, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        log.warning("%s=%s is not a number; using %g", variable, text, default)
        return default


class Exporter:
    """A bounded queue of ended spans and the thread that exports them. When it is full the oldest is lost."""

    def __init__(self, resource: Resource) -> None:
        self.dropped = 0
        self._limit = max(1, int(number("OTEL_BSP_MAX_QUEUE_SIZE", 8192)))
        self._batch = min(max(1, int(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512))), self._limit)
        self._delay_seconds = number("OTEL_BSP_SCHEDULE_DELAY", 500) / 1000
        self._queue: deque[Recorded] = deque(maxlen=self._limit)
        self._wake = threading.Event()
        self._stopping = False
        self._otlp = sender(resource)
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self.start: Callable[[], None] = self._thread.start

    def offer(self, span: Recorded) -> None:
        queue = self._queue
        if len(queue) == self._limit:
            self.dropped += 1
        queue.append(span)
        if len(queue) == self._batch:
            self._wake.set()

    def stop(self, timeout_seconds: float) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_seconds)
        self._otlp.shutdown()
        self._thread.join(0.5)

    def _run(self) -> None:
        told = 0
        while not self._stopping:
            self._wake.wait(self._delay_seconds)
            self._wake.clear()
            self._drain()
            if self.dropped > told:
                log.warning("%d spans dropped since start, queue of %d", self.dropped, self._limit)
                told = self.dropped
        self._drain()

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            batch = [queue.popleft() for _ in range(min(len(queue), self._batch))]
            try:
                self._otlp.deliver(batch)
            except Exception:
                log.exception("a batch of %d spans was not exported", len(batch))


class Encoder:
    """Writes spans as an OTLP message."""

    def __init__(self, resource: Resource) -> None:
        self._resource = Attributed(attributes=_pairs(resource.attributes.items()))
        self._scope = common.InstrumentationScope(name="commerce.runtime")

    def encode(self, spans: Sequence[Recorded]) -> ExportTraceServiceRequest:
        scope_spans = wire.ScopeSpans(scope=self._scope)
        for first in range(0, len(spans), ENCODED_AT_ONCE):
            scope_spans.spans.extend([_encode(span) for span in spans[first : first + ENCODED_AT_ONCE]])
            # Lets the event loop's thread in: a whole batch would hold it up for milliseconds.
            time.sleep(0)
        one = wire.ResourceSpans(resource=self._resource, scope_spans=[scope_spans])
        return ExportTraceServiceRequest(resource_spans=[one])


class Sender(Protocol):
    """The SDK's exporter, with its settings, retries and deadlines, fed with our records."""

    def deliver(self, spans: Sequence[Recorded]) -> None:
        """Send a batch. What the collector does not take in its time is lost, and a line in the log."""

    def shutdown(self) -> None:
        """Wait for no answer any more."""


def protocol(signal: Literal["TRACES", "METRICS"]) -> Literal["grpc", "http/protobuf"]:
    """How a signal is sent, as the environment has it."""
    names = (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    named = next(filter(None, (os.environ.get(name, "").strip().lower() for name in names)), "grpc")
    if named == "http/protobuf":
        return "http/protobuf"
    if named != "grpc":
        log.warning("%s=%s is not supported; using grpc", names[1], named)
    return "grpc"


def sender(resource: Resource) -> Sender:
    """What sends spans by the protocol that the environment names."""
    return (
        _over_http(Encoder(resource))
        if protocol("TRACES") == "http/protobuf"
        else OverGrpc(Encoder(resource))
    )


class OverGrpc(OTLPSpanExporter):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self._encoder = encoder

    def deliver(self, spans: Sequence[Recorded]) -> None:
        self._export(spans)  # type: ignore[arg-type]

    def _translate_data(self, data: Sequence[Recorded]) -> ExportTraceServiceRequest:  # type: ignore[override]
        return self._encoder.encode(data)


def _over_http(encoder: Encoder) -> Sender:
    # What it stands on takes a tenth of a second to load, and most do without.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    class OverHttp(HttpExporter):
        def deliver(self, spans: Sequence[Recorded]) -> None:
            self._client.export(encoder.encode(spans).SerializeToString())

    return OverHttp()


def _encode(span: Recorded) -> wire.Span:
    attributes = () if span.given is None else _given(span.given)
    if span.attributes is not None:
        attributes = (*attributes, *_pairs(span.attributes.items()))
    return wire.Span(
        trace_id=bytes.fromhex(span.trace.trace_id),
        span_id=bytes.fromhex(span.trace.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=KINDS[span.kind],
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=attributes,
        links=[
            wire.Span.Link(trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id))
            for link in span.links
        ],
        status=None if span.error is None else wire.Status(code=FAULT, message=masked(span.error)),
    )


def _given(attributes: Mapping[str, AttributeValue]) -> tuple[common.KeyValue, ...]:
    """Write attributes that were made once, once."""
    known = _written.get(id(attributes))
    if known is None:
        if len(_written) >= WRITTEN:
            _written.clear()
        # Held with what it is of, whose id is nobody else's so long.
        known = _written[id(attributes)] = (attributes, tuple(_pairs(attributes.items())))
    return known[1]


def _pairs(items: Iterable[tuple[str, AttributeValue]]) -> list[common.KeyValue]:
    return [
        _text(key, value) if type(value) is str else common.KeyValue(key=key, value=_value(value))
        for key, value in items
    ]


@lru_cache(maxsize=2048)
def _text(key: str, value: str) -> common.KeyValue:
    # Most attributes say the same on every span of their kind.
    return common.KeyValue(key=key, value=_value(value))


def _value(value: AttributeValue) -> common.AnyValue:
    if isinstance(value, str):
        return common.AnyValue(string_value=masked(value))
    if isinstance(value, bool):
        return common.AnyValue(bool_value=value)
    if isinstance(value, int):
        return common.AnyValue(int_value=value)
    if isinstance(value, float):
        return common.AnyValue(double_value=value)
    if isinstance(value, list | tuple):
        return common.AnyValue(array_value=common.ArrayValue(values=[_value(item) for item in value]))
    return common.AnyValue(string_value=masked(str(value)))
