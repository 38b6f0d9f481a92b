"""Reports and differences as messages, by page."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1 import settlement_service_pb2 as rpc

from services.payment.settlement import queries
from services.runtime.database import Row, Runs
from services.runtime.ids import LAST_ID
from services.runtime.refusals import Refusal
from services.runtime.times import timestamp

_LAST = (datetime(9999, 12, 31, tzinfo=UTC).isoformat(), LAST_ID)


async def settlement(db: Runs, settlement_id: str) -> rpc.Settlement:
    """Return a report that was taken in."""
    (found,) = await _told(db, await db.rows(queries.SETTLEMENT, settlement_id=settlement_id))
    return found


async def settlements(
    db: Runs, gateway: str, position: Sequence[str] | None, size: int
) -> list[rpc.Settlement]:
    """Return up to `size` reports of a gateway, or of all, after a position."""
    before, before_id = position or _LAST
    rows = await db.rows(
        queries.SETTLEMENTS,
        gateway=gateway,
        before=datetime.fromisoformat(before),
        before_id=before_id,
        size=size,
    )
    return await _told(db, rows)


def position_of(last: rpc.Settlement) -> list[str]:
    """Return where the page after a report begins."""
    return [last.create_time.ToDatetime(UTC).isoformat(), last.settlement_id]


async def discrepancies(
    db: Runs, request: rpc.ListDiscrepanciesRequest, before: str, size: int
) -> list[rpc.Discrepancy]:
    """Return up to `size` differences that a request asks for, older than one."""
    rows = await db.rows(
        queries.DISCREPANCIES,
        store_id=request.store_id or None,
        settlement_id=request.settlement_id or None,
        reason=request.reason,
        resolved=request.resolved,
        before=before,
        size=size,
    )
    return [_discrepancy(row) for row in rows]


async def resolved(db: Runs, request: rpc.ResolveDiscrepancyRequest, store_id: str) -> rpc.Discrepancy:
    """Note how a difference was dealt with: of a store, or of any. Refused with DISCREPANCY_NOT_FOUND."""
    own = str(UUID(request.discrepancy_id))
    row = await db.row(
        queries.RESOLVE, discrepancy_id=own, store_id=store_id or None, resolution=request.resolution
    )
    if row is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_DISCREPANCY_NOT_FOUND,
            "There is no such discrepancy",
            discrepancy_id=request.discrepancy_id,
        )
    return _discrepancy(row)


async def _told(db: Runs, rows: Sequence[Row]) -> list[rpc.Settlement]:
    settlement_ids = [row["settlement_id"] for row in rows]
    sums: defaultdict[Any, list[Row]] = defaultdict(list)
    for each in await db.rows(queries.SUMS, settlement_ids=settlement_ids):
        sums[each["settlement_id"]].append(each)
    counts = {
        row["settlement_id"]: row["discrepancies"]
        for row in await db.rows(queries.DIFFERENCES, settlement_ids=settlement_ids)
    }
    return [_settlement(row, sums[row["settlement_id"]], counts.get(row["settlement_id"], 0)) for row in rows]


def _settlement(row: Row, sums: Sequence[Row], discrepancies: int) -> rpc.Settlement:
    return rpc.Settlement(
        settlement_id=str(row["settlement_id"]),
        gateway=row["gateway"],
        begin_time=timestamp(row["begin_time"]),
        end_time=timestamp(row["end_time"]),
        lines=sum(each["lines"] for each in sums),
        matched=sum(each["matched"] for each in sums),
        discrepancies=discrepancies,
        complete=row["complete"],
        net=[_money(each["currency_code"], each["net"]) for each in sums],
        fees=[_money(each["currency_code"], each["fees"]) for each in sums],
        create_time=timestamp(row["create_time"]),
    )


def _discrepancy(row: Row) -> rpc.Discrepancy:
    found = rpc.Discrepancy(
        discrepancy_id=str(row["discrepancy_id"]),
        settlement_id=str(row["settlement_id"]),
        gateway=row["gateway"],
        store_id=str(row["store_id"] or ""),
        payment_id=str(row["payment_id"] or ""),
        reason=row["reason"],
        line_id=row["line_id"],
        charge_reference=row["charge_reference"],
        create_time=timestamp(row["create_time"]),
        resolution=row["resolution"],
    )
    for side, column in (("ours", "our"), ("theirs", "their")):
        if row[f"{column}_minor_units"] is not None:
            money = _money(row[f"{column}_currency_code"], row[f"{column}_minor_units"])
            getattr(found, side).CopyFrom(money)
    if row["resolve_time"]:
        found.resolve_time.CopyFrom(timestamp(row["resolve_time"]))
    return found


def _money(currency_code: str, minor_units: Any) -> Money:
    return Money(currency_code=currency_code, minor_units=int(minor_units))
