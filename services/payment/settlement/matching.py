"""The lines of a report, kept: judged together with what is known of the same payments, in one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from services.payment.rules.payment import DISPUTE_WON, Kind
from services.payment.settlement import queries
from services.payment.settlement.rules import (
    AGREES,
    CAPTURE,
    DISPUTE,
    REFUND,
    Line,
    Ours,
    Owner,
    Verdict,
    fee_of,
    judged,
    owner_of,
    unowned,
)
from services.payment.settlement.rules import DISPUTE_WON as WON
from services.runtime import times
from services.runtime.database import Row, Runs

LINE_SOLVED = "by itself: the report, or our books, have told more since"
OPERATION_SOLVED = "by itself: a line that came later is of it"
# What is kept of a verdict: payment, operation, dispute, whether it agrees.
_Place: TypeAlias = tuple[str | None, str | None, str | None, bool | None]
_NOWHERE: _Place = (None, None, None, None)


async def keep(lines: Sequence[Line], settlement_id: str, gateway: str, db: Runs) -> None:
    """Keep the lines of a batch; what is known of them stays as it was told first.

    Whoever does so has the turn among the gateway's reports.
    """
    line_ids = [line.line_id for line in lines]
    known = {row["line_id"]: row for row in await db.rows(queries.LINES, gateway=gateway, line_ids=line_ids)}
    told = {line.line_id: line for line in reversed(lines)} | _lines(known)
    named, charged = await _named(told.values(), known.values(), gateway, db)
    owners = {owner.payment_id: owner for owner in (*named.values(), *charged.values())}
    others = await db.rows(queries.LINES_OF_PAYMENTS, gateway=gateway, payment_ids=list(owners))
    known |= {row["line_id"]: row for row in others}
    told |= _lines(known)
    of_payments: defaultdict[str, list[Line]] = defaultdict(list)
    verdicts = []
    for line in told.values():
        owner = owner_of(line, named, charged)
        # Whose it was found to be before, it stays.
        payment_id = owner.payment_id if owner else _place_before(line, known)[0]
        if payment_id is None:
            verdicts.append(unowned(line))
        else:
            of_payments[payment_id].append(line)
    ours = await _ours(list(of_payments), db)
    for payment_id, group in of_payments.items():
        verdicts += judged(group, owners[payment_id], ours[payment_id])
    changed = [each for each in verdicts if _place(each) != _place_before(each.line, known)]
    if changed:
        await _record(changed, known, settlement_id, gateway, db)


async def _named(
    lines: Iterable[Line], known: Iterable[Row], gateway: str, db: Runs
) -> tuple[Mapping[str, Owner], Mapping[str, Owner]]:
    """Return the payments that lines may be of: by what lines name, and by their charges."""
    rows = await db.rows(
        queries.FOUND,
        gateway=gateway,
        references=list({line.reference for line in lines if line.reference}),
        operation_ids=list({line.operation_id for line in lines if line.operation_id}),
        charges=list({line.charge for line in lines if line.charge}),
        payment_ids=[row["payment_id"] for row in known if row["payment_id"]],
    )
    found: tuple[dict[str, Owner], dict[str, Owner]] = {}, {}
    for row in rows:
        found[row["charged"]][row["name"]] = Owner(
            str(row["payment_id"]), str(row["order_id"]), str(row["store_id"]), row["currency_code"]
        )
    return found


async def _ours(payment_ids: Sequence[str], db: Runs) -> Mapping[str, list[Ours]]:
    """Return what our books have of payments."""
    found: defaultdict[str, list[Ours]] = defaultdict(list)
    for row in await db.rows(queries.OPERATIONS, payment_ids=payment_ids):
        captured, amount = row["kind"] == Kind.CAPTURE, row["amount_minor_units"]
        one = Ours(
            CAPTURE if captured else REFUND,
            str(row["operation_id"]),
            row["provider_reference"],
            amount if captured else -amount,
        )
        found[str(row["payment_id"])].append(one)
    for row in await db.rows(queries.DISPUTES, payment_ids=payment_ids):
        own, reference, amount = str(row["dispute_id"]), row["provider_reference"], row["amount_minor_units"]
        of_payment = found[str(row["payment_id"])]
        of_payment.append(Ours(DISPUTE, own, reference, -amount, row["fee_minor_units"]))
        if row["status"] == DISPUTE_WON:
            of_payment.append(Ours(WON, own, reference, amount))
    return found


async def _record(
    changed: Sequence[Verdict], known: Mapping[str, Row], settlement_id: str, gateway: str, db: Runs
) -> None:
    """Record lines that are new, or are of something else than before."""
    before = {each.line.line_id: _place_before(each.line, known) for each in changed}
    if freed := [line_id for line_id, place in before.items() if place[1]]:
        await db.rows(queries.FREE, gateway=gateway, line_ids=freed)
    kept = queries.arrays(queries.KEPT, map(_kept, changed))
    await db.rows(queries.KEEP, gateway=gateway, settlement_id=settlement_id, **kept)
    now = times.now()
    if old := [line_id for line_id, place in before.items() if place[3] is False]:
        solved = {"resolve_time": now, "resolution": LINE_SOLVED}
        await db.rows(queries.LINES_SOLVED, gateway=gateway, line_ids=old, **solved)
    taken = [_place(each)[1] for each in changed if each.ours and each.ours.operation_id]
    if taken:
        solved = {"resolve_time": now, "resolution": OPERATION_SOLVED}
        await db.rows(queries.OPERATIONS_SOLVED, gateway=gateway, operation_ids=taken, **solved)
    if different := [_different(each) for each in changed if each.reason != AGREES]:
        values = queries.arrays(queries.DIFFERENT, different)
        found = {"settlement_id": settlement_id, "gateway": gateway, "create_time": now}
        await db.rows(queries.DIFFER, **found, **values)
    if entries := [entry for each in changed for entry in _entries(gateway, each)]:
        await db.rows(queries.POST, **queries.arrays(queries.ENTRIES, entries), create_time=now)


def _lines(known: Mapping[str, Row]) -> dict[str, Line]:
    return {line_id: _line(row) for line_id, row in known.items()}


def _line(row: Row) -> Line:
    return Line(
        row["line_id"],
        row["kind"],
        row["charge_reference"],
        row["operation_reference"],
        row["currency_code"],
        row["gross_minor_units"],
        row["fee_minor_units"],
        row["time"],
    )


def _place(verdict: Verdict) -> _Place:
    owner, ours = verdict.owner, verdict.ours
    return (
        owner.payment_id if owner else None,
        ours.operation_id if ours else None,
        ours.dispute_id if ours else None,
        verdict.reason == AGREES,
    )


def _place_before(line: Line, known: Mapping[str, Row]) -> _Place:
    """Return what was kept of a line, if it is known."""
    row = known.get(line.line_id)
    if row is None:
        return _NOWHERE
    payment_id, operation_id, dispute_id = (
        str(row[name]) if row[name] else None for name in ("payment_id", "operation_id", "dispute_id")
    )
    return payment_id, operation_id, dispute_id, row["matched"]


def _kept(verdict: Verdict) -> Row:
    line = verdict.line
    payment_id, operation_id, dispute_id, matched = _place(verdict)
    return {
        "line_id": line.line_id,
        "kind": line.kind,
        "charge_reference": line.charge,
        "operation_reference": line.reference,
        "currency_code": line.currency_code,
        "gross_minor_units": line.gross,
        "fee_minor_units": line.fee,
        "time": line.time,
        "payment_id": payment_id,
        "operation_id": operation_id,
        "dispute_id": dispute_id,
        "matched": matched,
    }


def _different(verdict: Verdict) -> Row:
    line, owner, ours = verdict.line, verdict.owner, verdict.ours
    return {
        "store_id": owner.store_id if owner else None,
        "payment_id": owner.payment_id if owner else None,
        "operation_id": ours.operation_id if ours else None,
        "reason": verdict.reason,
        "line_id": line.line_id,
        "charge_reference": line.charge,
        "our_currency_code": owner.currency_code if owner and ours else "",
        "our_minor_units": ours.amount if ours else None,
        "their_currency_code": line.currency_code,
        "their_minor_units": line.amount,
    }


def _entries(gateway: str, verdict: Verdict) -> Iterable[dict[str, Any]]:
    for transaction in fee_of(gateway, verdict):
        assert verdict.owner is not None
        for position, posting in enumerate(transaction.postings, 1):
            yield {
                **verdict.owner._asdict(),
                "transaction_id": transaction.transaction_id,
                "position": position,
                "kind": transaction.kind,
                "account": posting.account,
                "debit_minor_units": posting.debit,
                "credit_minor_units": posting.credit,
            }
