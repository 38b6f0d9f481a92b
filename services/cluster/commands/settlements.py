"""`commerce settlements` and `commerce discrepancies`: providers' reports, through the gateway's gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from commerce.payment.v1 import settlement_service_pb2 as rpc
from commerce.payment.v1.settlement_service_pb2_grpc import SettlementServiceStub
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.progress import Progress

from services.cluster.commands import settlement_csv
from services.cluster.commands.gateway import LISTED, Options, again_after_breaks, check_gateway, gateway
from services.cluster.home import Home
from services.cluster.output import Output, checked_id, counted, print_json, print_list, print_next
from services.runtime.currencies import format_money
from services.runtime.times import timestamp

BATCH = 1000
FETCH_SECONDS = 600.0


async def fetch(home: Home, code: str, day: str, output: Output, console: Console) -> bool:
    """Have a day's report fetched, yesterday's unless one is named. Return whether all agrees."""
    begin, end = _day(_date(day) if day else datetime.now(UTC).date() - timedelta(days=1))
    request = rpc.FetchSettlementRequest(
        gateway=code, begin_time=begin, end_time=end, request_id=str(uuid.uuid4())
    )
    async with gateway(home) as (channel, options):
        await check_gateway(channel, options, code)
        settlements = SettlementServiceStub(channel)
        reply = await settlements.FetchSettlement(request, **options | {"timeout": FETCH_SECONDS})
    _print(reply.settlement, output, console)
    return not reply.settlement.discrepancies


async def bring(
    home: Home,
    code: str,
    file: Path,
    day: str,
    settlement_id: str,
    output: Output,
    console: Console,
    encoding: str = "",
) -> bool:
    """Import a report from a file. Return whether all agrees.

    Raises ValueError for a file that cannot be read, or has no line and no day is named.
    """
    lines = list(settlement_csv.read(file, encoding))
    begin, end = _period(lines, day)
    whole = rpc.ImportSettlementRequest(
        gateway=code,
        begin_time=begin,
        end_time=end,
        request_id=checked_id(settlement_id, "a settlement's id") if settlement_id else str(uuid.uuid4()),
    )
    if output is Output.TEXT:
        console.print(
            f"settlement {whole.request_id}: {counted(len(lines), 'line')}", highlight=False, soft_wrap=True
        )
    async with gateway(home) as (channel, options):
        await check_gateway(channel, options, code)
        with Progress(
            console=console, transient=True, disable=output is Output.JSON or not console.is_terminal
        ) as bar:
            settlement = await _send(SettlementServiceStub(channel), options, whole, lines, bar)
    _print(settlement, output, console)
    return not settlement.discrepancies


async def show(home: Home, output: Output, console: Console) -> None:
    """Prints the reports taken in, the newest first."""
    async with gateway(home) as (channel, options):
        request = rpc.ListSettlementsRequest(page_size=LISTED)
        reply = await SettlementServiceStub(channel).ListSettlements(request, **options)
    records = [*map(_settlement_record, reply.settlements)]
    print_list(console, output, reply, records, "no report was taken in")


async def differences(home: Home, store_id: str, output: Output, console: Console) -> bool:
    """Prints what differs and nobody has dealt with: of a store, or of all. Return whether that is nothing."""
    store_id = checked_id(store_id, "a store's id") if store_id else ""
    request = rpc.ListDiscrepanciesRequest(store_id=store_id, page_size=LISTED)
    async with gateway(home) as (channel, options):
        reply = await SettlementServiceStub(channel).ListDiscrepancies(request, **options)
    records = [*map(_difference_record, reply.discrepancies)]
    more = f"and older ones: these are the newest {LISTED}" if reply.next_page_token else ""
    print_list(console, output, reply, records, "no differences are open", more=more)
    return not reply.discrepancies


def _settlement_record(each: rpc.Settlement) -> dict[str, str]:
    return {
        "settlement": each.settlement_id + ("" if each.complete else "  broke off"),
        "of": f"{each.gateway}, {_minute(each.begin_time)} until {_minute(each.end_time)} UTC",
        "lines": f"{each.lines:,}: {each.matched:,} in agreement, {counted(each.discrepancies, 'difference')}",
        "net": _sums(each.net),
        "fees": _sums(each.fees),
    }


def _difference_record(each: rpc.Discrepancy) -> dict[str, str]:
    reason = rpc.DiscrepancyReason.Name(each.reason).removeprefix("DISCREPANCY_REASON_")
    ours = format_money(each.ours) if each.HasField("ours") else "nothing"
    theirs = format_money(each.theirs) if each.HasField("theirs") else "nothing"
    return {
        f"{reason:<13}": f"ours {ours}, theirs {theirs}",
        "id": each.discrepancy_id,
        "found": f"{_minute(each.create_time)} UTC in {each.gateway}'s {each.settlement_id}",
        "line": each.line_id,
        "charge": each.charge_reference,
        "payment": each.payment_id,
        "store": each.store_id,
    }


async def _send(
    settlements: Any,
    options: Options,
    whole: rpc.ImportSettlementRequest,
    lines: Sequence[rpc.SettlementLine],
    bar: Progress,
) -> rpc.Settlement:
    """Send a report, again from its start after a break: what is known changes nothing."""
    task = bar.add_task("sent", total=len(lines))

    async def send() -> rpc.Settlement:
        batches = _batches(whole, lines, lambda sent: bar.update(task, completed=sent))
        reply = await settlements.ImportSettlement(batches, metadata=options["metadata"])
        settlement: rpc.Settlement = reply.settlement
        return settlement

    return await again_after_breaks(send)


def _batches(
    whole: rpc.ImportSettlementRequest, lines: Sequence[rpc.SettlementLine], sent: Any
) -> Iterator[rpc.ImportSettlementRequest]:
    for number, first in enumerate(range(0, max(len(lines), 1), BATCH), 1):
        sent(first)
        batch = rpc.ImportSettlementRequest(batch=number, lines=lines[first : first + BATCH])
        batch.MergeFrom(whole)
        yield batch


def _print(settlement: rpc.Settlement, output: Output, console: Console) -> None:
    if output is Output.JSON:
        print_json(settlement)
        return
    counts = (
        f"{counted(settlement.lines, 'line')}: {settlement.matched:,} in agreement, "
        f"{counted(settlement.discrepancies, 'difference')}"
    )
    net = f"net {_sums(settlement.net) or 'nothing'}, fees {_sums(settlement.fees) or 'none'}"
    console.print(f"{counts}\n{net}", highlight=False, soft_wrap=True)
    if settlement.discrepancies:
        print_next(console, "discrepancies")


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
    today = datetime.now(UTC).date()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"a day is written as 2026-11-30, not {text}") from None
    if day > today:
        raise ValueError(f"a report is of a day that has begun: {today} (UTC) or before, not {text}")
    return day


def _minute(stamp: Any) -> str:
    return f"{stamp.ToDatetime(UTC):%Y-%m-%d %H:%M}"


def _sums(sums: Sequence[Any]) -> str:
    return ", ".join(map(format_money, sums))
