"""The cluster's own place for spans: an OTLP collector over gRPC that keeps them in a bounded SQLite file.

The file is written in WAL mode by one thread, so that it can be read while the cluster runs and after it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import services.runtime  # noqa: F401  It sets what gRPC reads when it is imported.

# isort: split
import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2 as wire

PREFIX = "opentelemetry.proto.collector"
SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT NOT NULL,
    service TEXT NOT NULL, instance TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, error TEXT, attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace_id);
CREATE TABLE IF NOT EXISTS links (
    row INTEGER NOT NULL, trace_id TEXT NOT NULL, span_id TEXT NOT NULL,
    to_trace_id TEXT NOT NULL, to_span_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS links_by_row ON links (row);
CREATE INDEX IF NOT EXISTS links_by_trace ON links (trace_id);
CREATE INDEX IF NOT EXISTS links_by_target ON links (to_trace_id);
"""
COLUMNS = "trace_id, span_id, parent_id, service, instance, name, kind, start_ns, end_ns, error, attributes"
INSERT = f"INSERT INTO spans ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
WAITING_LIMIT = 1000
READ_LIMIT = 5000
LINKED_LIMIT = 20
WRITE_EVERY_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span as received. Ids are hexadecimal, times nanoseconds since 1970; a root has no parent_id.

    `linked` spans belong to another trace that a link joins to the one asked for.
    """

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    instance: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    error: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    linked: bool = False

    @property
    def duration_ms(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


class Collector:
    """Receives OTLP over gRPC and keeps the newest `limit` spans. Metrics and logs are taken and dropped.

    `rejected` counts requests that were not kept: malformed, or more than the disk could take.
    """

    def __init__(self, path: Path, limit: int = 200_000) -> None:
        self.rejected = 0
        self._path = path
        self._limit = limit
        self._waiting: queue.Queue[bytes | None] = queue.Queue(WAITING_LIMIT)
        self._server: grpc.aio.Server | None = None
        self._writer: threading.Thread | None = None

    async def start(self, listen: str = "127.0.0.1:0") -> str:
        """Listens, and returns the address with its port. Raises OSError or RuntimeError when it cannot."""
        store = _open(self._path)
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers(
            (
                _service("trace.v1.TraceService", self._take),
                _service("metrics.v1.MetricsService", _drop),
                _service("logs.v1.LogsService", _drop),
            )
        )
        port = server.add_insecure_port(listen)
        await server.start()
        self._server = server
        self._writer = threading.Thread(target=self._write, args=(store,), name="spans", daemon=True)
        self._writer.start()
        return f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self) -> None:
        """Ends listening; what was received is in the file afterwards."""
        if self._server is not None and self._writer is not None:
            await self._server.stop(grace=0.5)
            self._waiting.put(None)
            self._writer.join()
            self._server = self._writer = None

    async def _take(self, request: bytes, _: object) -> bytes:
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            self.rejected += 1
            refused = ExportTracePartialSuccess(error_message="the store of spans is behind")
            return ExportTraceServiceResponse(partial_success=refused).SerializeToString()
        return b""

    def _write(self, store: sqlite3.Connection) -> None:
        with contextlib.closing(store):
            going = True
            while going:
                requests = [self._waiting.get()]
                if requests[0] is not None:
                    time.sleep(WRITE_EVERY_SECONDS)
                while not self._waiting.empty():
                    requests.append(self._waiting.get())
                going = None not in requests
                self._keep(store, [request for request in requests if request is not None])

    def _keep(self, store: sqlite3.Connection, requests: list[bytes]) -> None:
        try:
            with store:
                for request in requests:
                    try:
                        _insert(store, list(_received(request)))
                    except (DecodeError, OverflowError):
                        self.rejected += 1
                _trim(store, self._limit)
        except sqlite3.Error:
            self.rejected += len(requests)


class Spans:
    """Reads the collector's file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def trace(self, trace_id: str) -> list[Span]:
        """A trace's spans by start, then those of other traces that links join to it, with all below them."""
        if not self._path.exists():
            return []
        with contextlib.closing(sqlite3.connect(self._path, timeout=5)) as store:
            own = _spans_of(store, trace_id)
            joined = [
                replace(span, linked=True)
                for other, span_ids in _joined_to(store, trace_id).items()
                for span in _below(_spans_of(store, other), span_ids)
            ]
        return own + joined


def _service(name: str, export: Any) -> grpc.GenericRpcHandler:
    # No serializer: bytes go in and out, and the event loop's thread parses nothing.
    return grpc.method_handlers_generic_handler(
        f"{PREFIX}.{name}", {"Export": grpc.unary_unary_rpc_method_handler(export)}
    )


async def _drop(request: bytes, _: object) -> bytes:
    return b""


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _prepared(path)
    except sqlite3.DatabaseError:
        # Spans are worth less than a start that works: a file broken by a full disk is made anew.
        for broken in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            broken.unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, timeout=5, check_same_thread=False)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=OFF")
    store.execute("PRAGMA journal_size_limit=16000000")
    store.executescript(SCHEMA)
    return store


def _received(request: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
        identity = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(span, identity)


def _span(span: wire.Span, identity: Mapping[str, Any]) -> Span:
    failed = span.status.code == wire.Status.STATUS_CODE_ERROR
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=str(identity.get("service.name", "unknown")),
        instance=str(identity.get("service.instance.id", "")),
        name=span.name,
        kind=wire.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        error=(span.status.message or "error") if failed else None,
        attributes=_values(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _values(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return None if kind is None else getattr(value, kind)


def _insert(store: sqlite3.Connection, spans: Iterable[Span]) -> None:
    for span in spans:
        identity = (span.trace_id, span.span_id)
        rest = (span.parent_id, span.service, span.instance, span.name, span.kind, span.start_ns, span.end_ns)
        row = store.execute(INSERT, (*identity, *rest, span.error, json.dumps(span.attributes))).lastrowid
        for target in span.links:
            store.execute("INSERT INTO links VALUES (?, ?, ?, ?, ?)", (row, *identity, *target))


def _trim(store: sqlite3.Connection, limit: int) -> None:
    for table in ("links", "spans"):
        store.execute(f"DELETE FROM {table} WHERE row <= (SELECT max(row) FROM spans) - ?", (limit,))


def _spans_of(store: sqlite3.Connection, trace_id: str) -> list[Span]:
    links: dict[str, list[tuple[str, str]]] = {}
    found = store.execute(
        "SELECT span_id, to_trace_id, to_span_id FROM links WHERE trace_id = ?", (trace_id,)
    )
    for span_id, *target in found:
        links.setdefault(span_id, []).append((target[0], target[1]))
    rows = store.execute(
        f"SELECT {COLUMNS} FROM spans WHERE trace_id = ? ORDER BY start_ns, row LIMIT ?",
        (trace_id, READ_LIMIT),
    )
    names = COLUMNS.split(", ")
    found_spans: dict[str, Span] = {}
    for row in rows:
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        values["attributes"] = json.loads(values["attributes"])
        # An exporter that missed our answer sends a span twice.
        found_spans[row[1]] = Span(**values, links=tuple(links.get(row[1], ())))
    return list(found_spans.values())


def _joined_to(store: sqlite3.Connection, trace_id: str) -> dict[str, set[str]]:
    """Span ids by trace: the spans that link into this trace, and those that this trace links to."""
    rows = store.execute(
        "SELECT trace_id, span_id FROM links WHERE to_trace_id = :own AND trace_id <> :own"
        " UNION SELECT to_trace_id, to_span_id FROM links WHERE trace_id = :own AND to_trace_id <> :own"
        " LIMIT :limit",
        {"own": trace_id, "limit": LINKED_LIMIT},
    )
    joined: dict[str, set[str]] = {}
    for other, span_id in rows:
        joined.setdefault(other, set()).add(span_id)
    return joined


def _below(spans: list[Span], span_ids: set[str]) -> list[Span]:
    """The named spans and everything under them."""
    inside = set(span_ids)
    grown = True
    while grown:
        more = {span.span_id for span in spans if span.parent_id in inside} - inside
        inside |= more
        grown = bool(more)
    return [span for span in spans if span.span_id in inside]
