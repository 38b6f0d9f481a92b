"""Traces: W3C context, sampling decided first, and span records light enough to keep on in production.

A span that is not sampled carries its context and nothing else. A sampled one is a small record that goes
to the OpenTelemetry SDK's OTLP exporter (otlp.py). The SDK reads `OTEL_*` for resource and exporter; read
here, with the SDK's meaning: OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_TRACES_SAMPLER
and its _ARG.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from random import getrandbits
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from services.runtime.metrics import Reporter
from services.runtime.otlp import Exporter, number

if TYPE_CHECKING:
    import grpc

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | bool | int | float | Sequence[str]

# RPC semantic conventions: the other codes are refusals, which are the caller's business.
RPC_FAULTS = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
NO_ERROR = (asyncio.CancelledError, GeneratorExit)
SAMPLERS = ("always_on", "always_off", "traceidratio")
TRACEPARENT = re.compile(
    "(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
EVERY_TRACE = 1 << 64
_SPAN_BITS = EVERY_TRACE - 1

log = logging.getLogger("commerce.telemetry")


class Trace(NamedTuple):
    """A W3C trace context: the ids of the trace and of a span, and whether the trace is recorded."""

    # 128 bits and 64: most are never written down, and to write them takes as long as the rest of a span.
    ids: int
    sampled: bool
    # Made here, not received: spans under it have no parent.
    fresh: bool = False

    @property
    def trace_id(self) -> str:
        return f"{self.ids >> 64:032x}"

    @property
    def span_id(self) -> str:
        return f"{self.ids & _SPAN_BITS:016x}"

    @property
    def traceparent(self) -> str:
        digits = f"{self.ids:048x}"
        return f"00-{digits[:32]}-{digits[32:]}-{'01' if self.sampled else '00'}"

    @staticmethod
    def parse(header: str | None) -> Trace | None:
        """The context of a `traceparent` header; None when it is missing or malformed."""
        if header is None or (match := TRACEPARENT.fullmatch(header)) is None:
            return None
        if len(header) != 55 and header.startswith("00"):
            return None
        trace_id, span_id, flags = match.groups()
        return Trace(int(trace_id + span_id, 16), int(flags, 16) & 1 == 1)

    @staticmethod
    def root() -> Trace:
        """A new trace, its sampling decided."""
        ids = getrandbits(192)
        return Trace(ids, _is_sampled(ids), True)


def _is_sampled(ids: int) -> bool:
    """The last 64 bits of the trace's id decide, as they do in every process that samples by ratio."""
    return (ids >> 64) % EVERY_TRACE < _bound


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)
_bound = EVERY_TRACE
_parent_based = True
_exporter: Exporter | None = None
_reporter: Reporter | None = None


def current() -> Trace | None:
    """The context of the span that this code runs in."""
    return _current.get()


class Span:
    """A part of a trace, as a context manager. This one only carries the context; see Recorded."""

    __slots__ = ("_carry", "_token", "trace")

    recorded = False

    def __init__(self, trace: Trace, carry: bool) -> None:
        self.trace = trace
        self._carry = carry
        self._token: Token[Trace | None] | None = None

    def set(self, key: str, value: Value) -> None:
        """Adds an attribute. Never pass personal or payment data."""

    def fail(self, kind: str) -> None:
        """Marks the span as an error of a kind: a status, or an exception's type."""

    def __enter__(self) -> Span:
        if self._carry:
            self._token = _current.set(self.trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _leave(self._token)


class Recorded(Span):
    """A span that is exported when its block ends."""

    __slots__ = (
        "attributes",
        "end",
        "error",
        "given",
        "has_status",
        "kind",
        "links",
        "name",
        "parent_id",
        "start",
    )

    recorded = True

    def __init__(
        self,
        trace: Trace,
        parent_id: str,
        name: str,
        kind: Kind,
        links: Sequence[Trace],
        given: Mapping[str, Value] | None,
    ) -> None:
        self.trace = trace
        self.parent_id = parent_id
        self.name = name
        self.kind = kind
        self.links = links
        self.given = given
        self.attributes: dict[str, Value] | None = None
        self.error: str | None = None
        self.has_status = False
        self.start = self.end = 0

    def set(self, key: str, value: Value) -> None:
        if self.attributes is None:
            self.attributes = {key: value}
        else:
            self.attributes[key] = value

    def fail(self, kind: str) -> None:
        self.error = kind
        self.set("error.type", kind)

    def __enter__(self) -> Span:
        self._token = _current.set(self.trace)
        self.start = time.time_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end = time.time_ns()
        if self._token is not None:
            _leave(self._token)
        is_told = self.has_status or self.error is not None
        if kind is not None and not is_told and not issubclass(kind, NO_ERROR):
            # The type only: an exception's text may hold what a caller sent.
            self.fail(kind.__qualname__)
        if _exporter is not None:
            _exporter.offer(self)


def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: Trace | None = None,
    links: Sequence[Trace] = (),
    attributes: Mapping[str, Value] | None = None,
) -> Span:
    """A span under `parent`, else under the current one, else a new root. Does not copy `attributes`."""
    above = parent if parent is not None else _current.get()
    if above is None:
        above = parent = Trace.root()
    sampled = above.sampled if _parent_based else _is_sampled(above.ids)
    if sampled and _exporter is not None:
        own = Trace(above.ids & ~_SPAN_BITS | (getrandbits(64) or 1), True)
        return Recorded(own, "" if above.fresh else above.span_id, name, kind, links, attributes)
    if sampled is not above.sampled:
        above = above._replace(sampled=sampled)
    return Span(above, parent is not None)


def _leave(token: Token[Trace | None]) -> None:
    # An asynchronous generator that another task closes leaves in that task's context: ValueError.
    try:  # noqa: SIM105 (a context manager here costs a tenth of the span)
        _current.reset(token)
    except ValueError:
        pass


def end_rpc(span: Span, code: grpc.StatusCode | str) -> None:
    """Gives the span the status of its RPC. An exception that leaves the span later changes nothing."""
    if isinstance(span, Recorded):
        name = code if isinstance(code, str) else code.name
        span.set("rpc.response.status_code", name)
        span.has_status = True
        if name in RPC_FAULTS:
            span.fail(name)


def start(service: str, version: str, instance: str = "") -> None:
    """Reads `OTEL_*` and begins to export where an OTLP endpoint is given. Call it after any fork."""
    global _bound, _parent_based, _exporter, _reporter
    stop()
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    _bound, _parent_based = (0, True) if disabled else _sampler()
    if disabled:
        return
    identity = {
        "service.name": service,
        "service.version": version,
        "service.instance.id": instance or f"{socket.gethostname()}:{os.getpid()}",
    }
    # Resource.create lets its argument win over the environment; an operator's word should.
    resource = Resource.create({**identity, **OTELResourceDetector().detect().attributes})
    if _wants_export("TRACES"):
        _exporter = Exporter(resource)
        _exporter.start()
    if _wants_export("METRICS"):
        _reporter = Reporter(resource)
        _reporter.start()


def stop(timeout_seconds: float = 1.5) -> None:
    """Exports what is waiting, for at most the given time each for traces and metrics, and ends exporting."""
    global _exporter, _reporter
    exporter, _exporter = _exporter, None
    reporter, _reporter = _reporter, None
    if exporter is not None:
        exporter.stop(timeout_seconds)
    if reporter is not None:
        reporter.stop(timeout_seconds)


def _wants_export(signal: Literal["TRACES", "METRICS"]) -> bool:
    named = os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower() or "otlp"
    if named not in ("otlp", "none"):
        log.warning("OTEL_%s_EXPORTER=%s is not supported; nothing is exported", signal, named)
    endpoints = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return named == "otlp" and any(os.environ.get(endpoint) for endpoint in endpoints)


def _sampler() -> tuple[int, bool]:
    """The bound below which a trace id's last 64 bits are sampled, and whether a parent decides instead."""
    named = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    kind = named.removeprefix("parentbased_")
    if kind not in SAMPLERS:
        log.warning("OTEL_TRACES_SAMPLER=%s is not known; using parentbased_always_on", named)
        return EVERY_TRACE, True
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind)
    if ratio is None:
        ratio = number("OTEL_TRACES_SAMPLER_ARG", 1.0)
    return round(min(max(ratio, 0.0), 1.0) * EVERY_TRACE), named != kind
