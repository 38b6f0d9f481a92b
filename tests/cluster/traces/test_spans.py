"""The cluster's collector, filled by the real exporter from another process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from services.cluster.traces.spans import Collector, Span, Spans
from tests.shop import eventually

import grpc  # isort: skip

Export = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
SQL = {"rows": 3, "error.type": "UNAVAILABLE"}
NOTHING: Mapping[str, str] = MappingProxyType({})
PROCESS = """
from services.runtime import telemetry
telemetry.start("order", "1.2.3", "order-1")
with telemetry.span("create", kind="server", attributes={"rpc.method": "a.B/C", "tries": 2}) as root:
    print(root.trace.trace_id)
    with telemetry.span("SQL order", kind="client") as sql:
        sql.set("rows", 3)
        sql.fail("UNAVAILABLE")
    order = root.trace
with telemetry.span("reserve batch", links=[order], parent=telemetry.Trace.root()):
    with telemetry.span("ReserveStock"):
        pass
with telemetry.span("unrelated", parent=telemetry.Trace.root()):
    pass
for number in range(COUNT):
    with telemetry.span(f"many {number}", parent=telemetry.Trace.root()):
        pass
telemetry.stop()
"""


@contextlib.asynccontextmanager
async def collector(path: Path, limit: int = 1000) -> AsyncIterator[str]:
    one = Collector(path, limit)
    address = await one.start()
    try:
        yield address
    finally:
        await one.stop()


async def run(address: str, environment: Mapping[str, str] = NOTHING, count: int = 0) -> str:
    """Runs PROCESS; returns the id of its first trace."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROCESS.replace("COUNT", str(count)),
        env={**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0 and not errors, errors.decode()
    return out.decode().strip()


async def kept(path: Path, trace_id: str, count: int) -> list[Span]:
    """The trace's spans once there are as many."""

    async def all_there() -> list[Span] | None:
        found = Spans(path).trace(trace_id)
        return found if len(found) >= count else None

    spans: list[Span] = await eventually(all_there)
    return spans


async def test_keeps_what_a_process_exports_and_is_read_while_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    async with collector(path) as address:
        trace_id = await run(address)
        spans = await kept(path, trace_id, 4)

    create, sql, batch, call = spans
    assert (create.name, create.service, create.instance, create.kind) == (
        "create",
        "order",
        "order-1",
        "server",
    )
    assert (create.parent_id, create.error, create.attributes) == (
        "",
        None,
        {"rpc.method": "a.B/C", "tries": 2},
    )
    assert (sql.parent_id, sql.error, sql.attributes) == (create.span_id, "UNAVAILABLE", SQL)
    assert create.start_ns <= sql.start_ns <= sql.end_ns <= create.end_ns
    assert (batch.name, batch.linked, batch.links) == ("reserve batch", True, ((trace_id, create.span_id),))
    assert (call.name, call.linked, call.parent_id) == ("ReserveStock", True, batch.span_id)
    assert (create.linked, sql.linked) == (False, False)


async def test_follows_a_link_from_its_own_end_too(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    async with collector(path) as address:
        trace_id = await run(address)
    batch = Spans(path).trace(trace_id)[2]

    assert [span.name for span in Spans(path).trace(batch.trace_id)] == [
        "reserve batch",
        "ReserveStock",
        "create",
        "SQL order",
    ]


async def test_has_everything_after_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    async with collector(path) as address:
        trace_id = await run(address)

    assert len(Spans(path).trace(trace_id)) == 4


async def test_goes_on_with_the_file_of_the_last_start(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    async with collector(path) as address:
        first = await run(address)
    async with collector(path) as address:
        second = await run(address)

    assert len(Spans(path).trace(first)) == len(Spans(path).trace(second)) == 4


async def test_keeps_the_newest_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    async with collector(path, limit=20) as address:
        trace_id = await run(address, count=700)

    with contextlib.closing(sqlite3.connect(path)) as store:
        names = [row[0] for row in store.execute("SELECT name FROM spans ORDER BY row")]
        assert names == [f"many {number}" for number in range(680, 700)]
        assert store.execute("SELECT count(*) FROM links").fetchone() == (0,)
    assert Spans(path).trace(trace_id) == []


async def test_knows_nothing_before_its_first_start(tmp_path: Path) -> None:
    assert Spans(tmp_path / "none.db").trace("0" * 32) == []


async def test_makes_a_broken_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    path.write_bytes(b"not a database" * 1000)
    async with collector(path) as address:
        trace_id = await run(address)

    assert len(Spans(path).trace(trace_id)) == 4


@pytest.mark.parametrize(
    "signal", ["metrics.v1.MetricsService", "logs.v1.LogsService", "trace.v1.TraceService"]
)
async def test_answers_every_signal_and_survives_a_malformed_one(tmp_path: Path, signal: str) -> None:
    path = tmp_path / "spans.db"
    async with collector(path) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            export: Export = channel.unary_unary(f"/opentelemetry.proto.collector.{signal}/Export")
            assert await export(b"\xff\xff malformed") == b""
        trace_id = await run(address)

    assert len(Spans(path).trace(trace_id)) == 4


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
    ],
)
async def test_gets_nothing_when_the_environment_says_so(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "spans.db"
    async with collector(path) as address:
        trace_id = await run(address, environment)

    assert len(trace_id) == 32
    assert Spans(path).trace(trace_id) == []


async def test_shows_what_the_environment_says_of_the_service(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    async with collector(path) as address:
        trace_id = await run(
            address,
            {"OTEL_SERVICE_NAME": "other", "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=seven"},
        )

    spans = Spans(path).trace(trace_id)
    assert {(span.service, span.instance) for span in spans} == {("other", "seven")}
