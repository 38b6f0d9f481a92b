"""Row of settlement: a provider's report of a busy day, beside its lines written to a bare table."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.settlement_service_pb2 import (
    ImportSettlementRequest,
    SettlementLine,
    SettlementLineKind,
)

from services.runtime.times import timestamp
from tests.bench import costs
from tests.bench.captures import captured
from tests.bench.figures import Figure, Limit, number
from tests.bench.house import House
from tests.bench.till import PRICE, Till, till
from tests.shop import Clients, Shop

LINES, BATCH = 100_000, 1_000
FEE = 88
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
NOON, END = BEGIN + timedelta(hours=12), BEGIN + timedelta(days=1)
_BARE = """
CREATE TABLE IF NOT EXISTS bench.lines
    (line_id text PRIMARY KEY, charge text, operation text, gross bigint, fee bigint);
TRUNCATE bench.lines
"""
_WRITE = """
INSERT INTO bench.lines SELECT *, $4, $5 FROM unnest($1::text[], $2::text[], $3::text[]) AS line
"""


async def settlement(house: House) -> list[Figure]:
    """ImportSettlement of a report that agrees with our books, and the same report again."""
    stand = await till(house)
    lines = [_line(*charge) for charge in await captured(stand, LINES, NOON.isoformat())]
    batches = [lines[first : first + BATCH] for first in range(0, LINES, BATCH)]
    request_id = str(uuid.uuid4())

    bare = [await _write(stand.database, batches)]
    before = costs.seconds_by_process(stand.cluster)
    taken = await _import(stand, batches, request_id)
    cost = costs.each_ms(before, costs.seconds_by_process(stand.cluster), len(batches))
    bare.append(await _write(stand.database, batches))
    again = await _import(stand, batches, request_id)

    detail = f"each agrees and has a fee to post; sent again {number(again)} s; CPU of a batch of {BATCH:,} in ms: "
    beside = [number(LINES / seconds) for seconds in (taken, max(bare), min(bare))]
    return [
        Figure(
            "settlement",
            f"ImportSettlement of {LINES:,} lines",
            taken,
            "s",
            Limit(60, 30, at_most=True),
            detail + costs.parts(cost),
        ),
        Figure(
            "settlement",
            "lines of a report taken in / into a bare table",
            sum(bare) / len(bare) / taken,
            detail="{} beside {} to {} lines/s".format(*beside),
        ),
    ]


async def _import(stand: Till, batches: Sequence[Sequence[SettlementLine]], request_id: str) -> float:
    """Send a report, and return how many seconds it took."""
    report = [
        ImportSettlementRequest(
            gateway="sandbox",
            begin_time=timestamp(BEGIN),
            end_time=timestamp(END),
            batch=place,
            lines=lines,
            request_id=request_id,
        )
        for place, lines in enumerate(batches, 1)
    ]
    clients = Clients(stand.cluster)
    began = time.monotonic()
    reply = await Shop(clients).as_("platform_admin").settlements.ImportSettlement(iter(report))
    taken = time.monotonic() - began
    await clients.close()
    found = reply.settlement
    if (found.lines, found.matched, found.discrepancies) != (LINES, LINES, 0):
        raise RuntimeError(f"{found.matched:,} of {found.lines:,} lines agree")
    return taken


async def _write(database: asyncpg.Connection, batches: Sequence[Sequence[SettlementLine]]) -> float:
    """Write a report's lines as they are, a batch a transaction, and return how many seconds it took."""
    await database.execute(_BARE)
    began = time.monotonic()
    for lines in batches:
        names = [[line.line_id for line in lines], [line.charge_reference for line in lines]]
        names.append([line.operation_reference for line in lines])
        await database.execute(_WRITE, *names, PRICE, FEE)
    return time.monotonic() - began


def _line(charge: str, capture: str) -> SettlementLine:
    return SettlementLine(
        line_id=f"txn_{capture}",
        kind=SettlementLineKind.SETTLEMENT_LINE_KIND_CAPTURE,
        charge_reference=charge,
        operation_reference=capture,
        gross=Money(currency_code="EUR", minor_units=PRICE),
        fee=Money(currency_code="EUR", minor_units=FEE),
        time=timestamp(NOON),
    )
