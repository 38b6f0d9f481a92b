"""`commerce settlements` and `commerce discrepancies`: providers' reports, through the gateway's gRPC."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
from commerce.payment.v1 import settlement_service_pb2 as rpc
from commerce.payment.v1.settlement_service_pb2_grpc import SettlementServiceStub
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from services.cluster import settlement_csv
from services.cluster.follow import CALL_SECONDS, gateway
from services.cluster.home import Home, HomeError
from services.cluster.importing import BROKEN_OFF, TRIES
from services.cluster.processes import backoff_seconds
from services.runtime.times import timestamp

BATCH = 1000
LISTED = 500
FETCH_SECONDS = 600.0


@asynccontextmanager
async def _settlements(home: Home) -> AsyncIterator[tuple[Any, Any]]:
    """A stub, and the metadata of each call of it. A refusal becomes a HomeError."""
    async with gateway(home) as (channel, metadata):
        try:
            yield SettlementServiceStub(channel), metadata
        except grpc.aio.AioRpcError as error:
            raise HomeError(f"{error.code().name}: {error.details()}") from None


async def fetch(home: Home, code: str, day: str, console: Console) -> bool:
    """Have a day's report fetched, yesterday's unless one is named. Return whether all agrees."""
    begin, end = _day(_date(day) if day else datetime.now(UTC).date() - timedelta(days=1))
    request = rpc.FetchSettlementRequest(
        gateway=code, begin_time=begin, end_time=end, request_id=str(uuid.uuid4())
    )
    async with _settlements(home) as (settlements, metadata):
        reply = await settlements.FetchSettlement(request, metadata=metadata, timeout=FETCH_SECONDS)
    return _told(reply.settlement, console)


async def bring(home: Home, code: str, file: Path, day: str, settlement_id: str, console: Console) -> bool:
    """Import a report from a file. Return whether all agrees.

    Raises ValueError for a file that cannot be read, or has no line and no day is named.
    """
    lines = list(settlement_csv.read(file))
    begin, end = _period(lines, day)
    whole = rpc.ImportSettlementRequest(
        gateway=code, begin_time=begin, end_time=end, request_id=settlement_id or str(uuid.uuid4())
    )
    console.print(f"settlement {whole.request_id}: {len(lines):,} lines", highlight=False, soft_wrap=True)
    async with _settlements(home) as (settlements, metadata):
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            settlement = await _send(settlements, metadata, whole, lines, bar)
    return _told(settlement, console)


async def show(home: Home, console: Console) -> None:
    """Prints a table of the reports taken in, the newest first."""
    async with _settlements(home) as (settlements, metadata):
        request = rpc.ListSettlementsRequest(page_size=LISTED)
        reply = await settlements.ListSettlements(request, metadata=metadata, timeout=CALL_SECONDS)
    if not reply.settlements:
        console.print("no report was taken in")
        return
    table = Table("settlement", "gateway", "from (UTC)", "until", "lines", "agree", "differ", "net", "fees")
    for each in reply.settlements:
        table.add_row(
            each.settlement_id if each.complete else f"{each.settlement_id}\n[red]broke off[/]",
            escape(each.gateway),
            _minute(each.begin_time),
            _minute(each.end_time),
            *(f"{count:,}" for count in (each.lines, each.matched, each.discrepancies)),
            _sums(each.net),
            _sums(each.fees),
        )
    console.print(table)


async def differences(home: Home, store_id: str, console: Console) -> bool:
    """Prints what differs and nobody has dealt with: of a store, or of all. Return whether that is nothing."""
    request = rpc.ListDiscrepanciesRequest(store_id=store_id and _uuid(store_id), page_size=LISTED)
    async with _settlements(home) as (settlements, metadata):
        reply = await settlements.ListDiscrepancies(request, metadata=metadata, timeout=CALL_SECONDS)
    if not reply.discrepancies:
        console.print("no differences are open")
        return True
    for each in reply.discrepancies:
        reason = rpc.DiscrepancyReason.Name(each.reason).removeprefix("DISCREPANCY_REASON_")
        ours = _money(each.ours) if each.HasField("ours") else "nothing"
        theirs = _money(each.theirs) if each.HasField("theirs") else "nothing"
        rows = {
            f"{reason}": f"ours {ours}, theirs {theirs}",
            "id": each.discrepancy_id,
            "found": f"{_minute(each.create_time)} UTC in {each.gateway}'s {each.settlement_id}",
            "line": each.line_id,
            "charge": each.charge_reference,
            "payment": each.payment_id,
            "store": each.store_id,
        }
        for name, text in rows.items():
            if text:
                console.print(f"{name:<14}{text}", highlight=False, soft_wrap=True, markup=False)
    if reply.next_page_token:
        console.print(f"and older ones: these are the newest {LISTED}")
    return False


async def _send(
    settlements: Any,
    metadata: Any,
    whole: rpc.ImportSettlementRequest,
    lines: Sequence[rpc.SettlementLine],
    bar: Progress,
) -> rpc.Settlement:
    """Send a report, again from its start after a break: what is known changes nothing."""
    task = bar.add_task("sent", total=len(lines))
    tries = 0
    while True:
        try:
            batches = _batches(whole, lines, lambda sent: bar.update(task, completed=sent))
            reply = await settlements.ImportSettlement(batches, metadata=metadata)
            settlement: rpc.Settlement = reply.settlement
            return settlement
        except grpc.aio.AioRpcError as error:
            tries += 1
            if error.code() not in BROKEN_OFF or tries == TRIES:
                raise
            await asyncio.sleep(backoff_seconds(tries))


def _batches(
    whole: rpc.ImportSettlementRequest, lines: Sequence[rpc.SettlementLine], sent: Any
) -> Iterator[rpc.ImportSettlementRequest]:
    for number, first in enumerate(range(0, max(len(lines), 1), BATCH), 1):
        sent(first)
        batch = rpc.ImportSettlementRequest(batch=number, lines=lines[first : first + BATCH])
        batch.MergeFrom(whole)
        yield batch


def _told(settlement: rpc.Settlement, console: Console) -> bool:
    counts = (
        f"{settlement.lines:,} lines: {settlement.matched:,} agree, {settlement.discrepancies:,} differences"
    )
    net = f"net {_sums(settlement.net) or 'nothing'}, fees {_sums(settlement.fees) or 'none'}"
    console.print(f"{counts}\n{net}", highlight=False, soft_wrap=True)
    if settlement.discrepancies:
        console.print("next     commerce discrepancies", highlight=False)
    return not settlement.discrepancies


def _period(lines: Sequence[rpc.SettlementLine], day: str) -> tuple[Timestamp, Timestamp]:
    """The time that a report is of: a day that is named, else all days that it has lines of."""
    if day:
        return _day(_date(day))
    if not lines:
        raise ValueError("the file has no line: say which day it is of with --day")
    times = [line.time.ToDatetime(UTC) for line in lines]
    return _day(min(times).date())[0], _day(max(times).date())[1]


def _day(day: date) -> tuple[Timestamp, Timestamp]:
    begin = datetime.combine(day, time(), UTC)
    return timestamp(begin), timestamp(begin + timedelta(days=1))


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"a day is written as 2026-11-30, not {text}") from None


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueError(f"a store's id is a UUID, not {text}") from None


def _minute(stamp: Any) -> str:
    return f"{stamp.ToDatetime(UTC):%Y-%m-%d %H:%M}"


def _sums(sums: Sequence[Any]) -> str:
    return ", ".join(_money(each) for each in sums)


def _money(money: Any) -> str:
    return f"{money.minor_units} {money.currency_code}"
