"""`commerce trace`: which traces an id is of, their spans as waterfalls, and what the logs say of them.

From the database, the logs and the collector's file: it also works while services do not answer.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from rich.markup import escape

from services.cluster.home import Home, HomeError
from services.cluster.output import Output, checked_id, print_json
from services.cluster.traces import waterfall
from services.cluster.traces.spans import Span, Spans

TRACE_ID = re.compile(r"[0-9a-f]{32}")
UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Of an id that is in everything, such as a store's, the newest are enough; and of a trace, the first lines.
TRACES = 20
LINES = 50
SETTLE_TRIES = 6
SETTLE_SECONDS = 0.7
# Where ids stand, and in which traces what they name was done: a table, and rows of trace and what was done.
SOURCES = (
    ('"order".order_events', "SELECT trace_id, step FROM {table} WHERE order_id = $1 ORDER BY sequence"),
    (
        '"payment".operations',
        "SELECT traceparent, kind FROM {table} WHERE payment_id = $1 OR operation_id = $1 ORDER BY create_time",
    ),
)
OF_EVENT = (
    "SELECT traceparent, type FROM {table} WHERE event_id = $1"
    f" OR position(convert_to($1::text, 'UTF8') IN payload) > 0 ORDER BY create_time DESC LIMIT {TRACES}"
)


@dataclass
class Traced:
    """A trace, what was done in it, its spans and its lines in the logs."""

    trace_id: str
    steps: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)


async def show(home: Home, wanted: str, output: Output, console: Console) -> None:
    """Print each trace of an id, or the one with this id. Raises HomeError when nothing knows it."""
    status = home.state()
    steps = {wanted: []} if TRACE_ID.fullmatch(wanted) else await _traces(status, home, _checked(wanted))
    found = [await _traced(status, home, trace_id, done) for trace_id, done in steps.items()]
    found = [trace for trace in found if trace.spans or trace.lines or trace.steps]
    if not found:
        raise HomeError(f"neither the database nor spans nor logs know {wanted}")
    if output is Output.JSON:
        print_json([asdict(trace) for trace in found])
        return
    for trace in found:
        _print(trace, status, console)


def by_trace(timeline: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The steps of a timeline, given with their traces, by trace; the first one first."""
    steps: dict[str, list[str]] = {}
    for trace_id, step in timeline:
        if trace_id:
            steps.setdefault(trace_id, []).extend([step] if step else [])
    return steps


async def _traces(status: dict[str, Any], home: Home, wanted: str) -> dict[str, list[str]]:
    """What was done in each trace of an id: an order's or payment's own, else those of events and logs that name it."""
    database = await asyncpg.connect(status["database"], timeout=5, command_timeout=30)
    try:
        timeline = await _own(database, wanted) or await _events(database, status["services"], wanted)
        if not timeline and (reply := await _first_reply(database, status["services"], wanted)):
            return await _traces(status, home, reply)
    finally:
        await database.close()
    return by_trace([*timeline, *((line["trace_id"], "") for line in _lines(home, wanted))])


async def _own(database: asyncpg.Connection, wanted: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for table, sql in SOURCES:
        if await _exists(database, table):
            rows = await database.fetch(sql.format(table=table), wanted)
            found += [(_trace_id(row[0]), row[1]) for row in rows]
    return found


async def _events(database: asyncpg.Connection, codes: Iterable[str], wanted: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for code in codes:
        for name in ("outbox", "dead_letters"):
            if await _exists(database, table := f'"{code}".{name}'):
                rows = await database.fetch(OF_EVENT.format(table=table), wanted)
                found += [(_trace_id(row[0]), row[1].rpartition(".")[2]) for row in reversed(rows)]
    return found


async def _first_reply(database: asyncpg.Connection, codes: Iterable[str], wanted: str) -> str | None:
    """What a request made or changed: the first id in its reply."""
    for code in codes:
        if await _exists(database, table := f'"{code}".first_replies'):
            reply = await database.fetchval(f"SELECT reply FROM {table} WHERE request_id = $1", wanted)
            if match := UUID.search(reply or b""):
                return match.group().decode()
    return None


async def _exists(database: asyncpg.Connection, table: str) -> bool:
    return await database.fetchval("SELECT to_regclass($1)", table) is not None


async def _traced(status: dict[str, Any], home: Home, trace_id: str, steps: list[str]) -> Traced:
    spans = await _settled(Spans(Path(status["spans"])), trace_id) if status["spans"] else []
    return Traced(trace_id, steps, spans, list(_lines(home, trace_id))[:LINES])


async def _settled(store: Spans, trace_id: str) -> list[Span]:
    """A trace's spans, once no more of them arrive: processes send theirs every half second."""
    spans = store.trace(trace_id)
    for _ in range(SETTLE_TRIES):
        await asyncio.sleep(SETTLE_SECONDS)
        before, spans = spans, store.trace(trace_id)
        if len(spans) == len(before):
            break
    return spans


def _lines(home: Home, words: str) -> Iterator[dict[str, Any]]:
    """The lines of all logs that hold these words and belong to a trace, by time."""
    found: list[dict[str, Any]] = []
    for log in home.logs.glob("*.log*"):
        with log.open(errors="replace") as lines:
            found.extend(read for line in lines if words in line and (read := _read(line)))
    yield from sorted(found, key=lambda line: str(line.get("ts", "")))


def _read(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if not isinstance(content, dict) or not TRACE_ID.fullmatch(str(content.get("trace_id", ""))):
        return None
    # The gateway calls its time otherwise.
    return {"ts": content.pop("time", "")} | content


def _print(trace: Traced, status: dict[str, Any], console: Console) -> None:
    steps = f"[bold]{escape(', '.join(trace.steps))}[/]   " if trace.steps else ""
    console.print(f"{steps}trace {trace.trace_id}", markup=True, highlight=False, soft_wrap=True)
    if trace.spans:
        waterfall.render(trace.spans, console)
    elif not status["spans"]:
        console.print(f"its spans are at {status['otlp']}", highlight=False, soft_wrap=True)
    for line in trace.lines:
        text = " ".join(
            f"{name}={value}" for name, value in line.items() if name not in SHOWN and value != ""
        )
        said = f"log {line['ts']} {line.get('service', '')} {line.get('level', '')} {line.get('event', '')}  {text}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)


SHOWN = {"ts", "service", "level", "event", "trace_id"}


def _trace_id(text: str) -> str:
    """The trace of a traceparent, or the trace id that it already is."""
    return text.split("-")[1] if "-" in text else text


def _checked(wanted: str) -> str:
    return checked_id(wanted, "a reply's x-trace-id has 32 digits, and any other id")
