"""Providers' reports, short to write, and what they find."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1 import settlement_service_pb2 as rpc
from commerce.payment.v1.ledger_service_pb2 import GetTrialBalanceRequest

from tests.payment.till import Till
from tests.shop import Shop, new_id


def now() -> datetime:
    return datetime.now(UTC)


def line(kind: str, gross: int = 0, fee: int = 0, currency: str = "EUR", **given: Any) -> rpc.SettlementLine:
    """A line; `charge` and `reference` are the provider's ids."""
    values: dict[str, Any] = {
        "line_id": given.get("line_id") or f"txn_{new_id()}",
        "kind": f"SETTLEMENT_LINE_KIND_{kind}",
        "charge_reference": given.get("charge", ""),
        "operation_reference": given.get("reference", ""),
        "gross": Money(currency_code=currency, minor_units=gross),
        "fee": Money(currency_code=currency, minor_units=fee),
        "time": now(),
    }
    return rpc.SettlementLine(**values)


def line_of(
    payment: Any, kind: str = "capture", off: int = 0, fee: int = 88, **given: Any
) -> rpc.SettlementLine:
    """A line of a payment's last operation of a kind, `off` by so much."""
    operation = [each for each in payment.operations if each.kind == kind][-1]
    amount = operation.amount.minor_units if kind == "capture" else -operation.amount.minor_units
    values: dict[str, Any] = {
        "charge": payment.provider_reference,
        "reference": operation.provider_reference,
        "currency": operation.amount.currency_code,
    }
    return line(kind.upper(), amount + off, fee, **(values | given))


async def captured(till: Till, minor_units: int = 1999) -> Any:
    return await till.capture(await till.authorize(minor_units=minor_units))


def report(
    *groups: Sequence[rpc.SettlementLine], since: datetime | None = None, **given: Any
) -> list[rpc.ImportSettlementRequest]:
    """One batch of a report for each group of lines: of the time since then, or of a time long ago."""
    begin = since or datetime(2020, 1, 1, tzinfo=UTC)
    values: dict[str, Any] = {
        "gateway": "sandbox",
        "begin_time": begin,
        "end_time": now() + timedelta(days=1) if since else begin + timedelta(days=1),
        "request_id": new_id(),
    }
    return [
        rpc.ImportSettlementRequest(**(values | given), batch=number, lines=lines)
        for number, lines in enumerate(groups, 1)
    ]


async def sent(shop: Shop, batches: Sequence[rpc.ImportSettlementRequest]) -> rpc.Settlement:
    """The report after these batches, which one stream brings."""
    admin = shop.as_("platform_admin")
    # It may be on its way back from a restart.
    reply = await admin.settlements.ImportSettlement(iter(batches), wait_for_ready=True)
    settlement: rpc.Settlement = reply.settlement
    return settlement


async def imported(shop: Shop, *lines: rpc.SettlementLine, **given: Any) -> rpc.Settlement:
    """The report of one batch."""
    return await sent(shop, report(lines, **given))


def counts(settlement: rpc.Settlement) -> tuple[int, int, int]:
    """Lines, how many of them agree, and the differences."""
    return settlement.lines, settlement.matched, settlement.discrepancies


async def found(shop: Shop, **given: Any) -> list[rpc.Discrepancy]:
    """What is listed, of the store unless something else is said."""
    values: dict[str, Any] = {"store_id": shop.store_id, "page_size": 500}
    request = rpc.ListDiscrepanciesRequest(**(values | given))
    return list((await shop.as_("platform_admin").settlements.ListDiscrepancies(request)).discrepancies)


def told(discrepancies: Sequence[rpc.Discrepancy]) -> list[tuple[str, int | None, int | None]]:
    """The reason of each, what we have and what they have; the oldest first."""
    return [
        (
            rpc.DiscrepancyReason.Name(each.reason).removeprefix("DISCREPANCY_REASON_"),
            each.ours.minor_units if each.HasField("ours") else None,
            each.theirs.minor_units if each.HasField("theirs") else None,
        )
        for each in reversed(discrepancies)
    ]


async def balance(shop: Shop) -> tuple[dict[str, int], set[int]]:
    """Debits less credits of each account, and the differences of the books."""
    reply = await shop.ledger.GetTrialBalance(GetTrialBalanceRequest(store_id=shop.store_id))
    accounts = {each.account: each.debits.minor_units - each.credits.minor_units for each in reply.accounts}
    return accounts, {each.minor_units for each in reply.differences}
