"""The SQL of the books, by name: balances, and entries in the two orders in which people read them."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from commerce.payment.v1.ledger_service_pb2 import ListLedgerEntriesRequest
from sqlalchemy import BigInteger, Date, Integer, SmallInteger, func, or_, select, tuple_, union_all

from services.payment.ledger.seal_queries import ALL_DAYS, PLACE, SEAL
from services.payment.tables.ledger import ledger_days, ledger_entries, ledger_seal
from services.payment.tables.payments import payments
from services.runtime.columns import ID, TIME
from services.runtime.database import Row, Runs
from services.runtime.ids import LAST_ID
from services.runtime.statements import Statement, param, statement
from services.runtime.times import ALWAYS, given_time

NO_ID = "00000000-0000-0000-0000-000000000000"
_e, _d = ledger_entries.c, ledger_days.c
_of_store = _e.store_id == param("store_id")
_entries = select(_e.currency_code, _e.account, _e.debit_minor_units, _e.credit_minor_units).where(_of_store)
_days = select(_d.currency_code, _d.account, _d.debit_minor_units, _d.credit_minor_units).where(
    _d.store_id == param("store_id")
)
# Since a seal that was read before, for PostgreSQL to plan with: of what comes after one it knows no more than where.
_unsealed = _entries.where(PLACE > SEAL, _e.xid >= param("since_xid", BigInteger))


def _balances(name: str, *parts: Any) -> Statement:
    """Sum what is sealed and what is not, in one snapshot."""
    all_parts = union_all(*parts).subquery("parts")
    account = (all_parts.c.currency_code, all_parts.c.account)
    return statement(
        select(
            *account,
            func.sum(all_parts.c.debit_minor_units).cast(BigInteger).label("debits"),
            func.sum(all_parts.c.credit_minor_units).cast(BigInteger).label("credits"),
        )
        .group_by(*account)
        .order_by(*account),
        name,
        fresh_plan=True,
    )


SEAL_NOW = statement(select(ledger_seal.c.xid.label("since_xid")), "seal")
TRIAL_BALANCE = _balances("trial balance", _days.where(_d.day == ALL_DAYS), _unsealed)
BALANCES_AT = _balances(
    "balances at a time",
    _days.where(_d.day < param("day", Date)),
    _unsealed.where(_e.create_time < param("day_begin", TIME)),
    _entries.where(_e.create_time >= param("day_begin", TIME), _e.create_time < param("at", TIME)),
)


async def balances(db: Runs, store_id: str, at: datetime | None = None) -> list[Row]:
    """Return what each account of a store was debited and credited, before a time or in all."""
    seal = await db.row(SEAL_NOW)
    assert seal is not None
    if at is None:
        return await db.rows(TRIAL_BALANCE, store_id=store_id, **seal)
    begin = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return await db.rows(BALANCES_AT, store_id=store_id, **seal, day=begin.date(), day_begin=begin, at=at)


_FILTERS = {
    "account": _e.account == param("account"),
    "payment_id": _e.payment_id == param("payment_id"),
    "order_id": _e.payment_id
    == select(payments.c.payment_id)
    .where(payments.c.order_id == param("order_id"), payments.c.store_id == param("store_id"))
    .scalar_subquery(),
}


def question(
    asked: ListLedgerEntriesRequest, position: Sequence[str] | None = None
) -> tuple[Statement, dict[str, Any]]:
    """Return the statement of a list that goes on after a position, and its values but for `size`."""
    time, transaction_id, number = position or (ALWAYS[1].isoformat(), LAST_ID, "0")
    begin, end = between(asked)
    given = tuple(name for name in _FILTERS if getattr(asked, name))
    return _page(given), {name: getattr(asked, name) for name in ("store_id", *given)} | {
        "posted_from": begin,
        "posted_before": end,
        "after_time": datetime.fromisoformat(time),
        "after_id": transaction_id,
        "after_position": int(number),
    }


def between(asked: Any) -> tuple[datetime, datetime]:
    """Return posted_from and posted_before of a request, or times beyond all entries."""
    return (
        given_time(asked, "posted_from") or ALWAYS[0],
        given_time(asked, "posted_before") or ALWAYS[1],
    )


def place(row: Row) -> list[str]:
    """Return where a list stands after an entry."""
    return [row["create_time"].isoformat(), str(row["transaction_id"]), str(row["position"])]


@cache
def _page(given: Sequence[str]) -> Statement:
    """Make the statement of a kind of question: the newest transaction first, its entries in their order."""
    transaction = tuple_(_e.create_time, _e.transaction_id)
    after = tuple_(param("after_time", TIME), param("after_id", ID))
    return statement(
        select(ledger_entries)
        .where(
            _of_store,
            *(_FILTERS[name] for name in given),
            _e.create_time >= param("posted_from"),
            _e.create_time < param("posted_before"),
            transaction <= after,
            or_(transaction < after, _e.position > param("after_position")),
        )
        .order_by(_e.create_time.desc(), _e.transaction_id.desc(), _e.position)
        .limit(param("size", Integer)),
        "ledger entries",
        fresh_plan=True,
    )


JOURNAL = statement(
    select(ledger_entries)
    .where(
        _of_store,
        tuple_(_e.create_time, _e.transaction_id, _e.position)
        > tuple_(param("after_time", TIME), param("after_id", ID), param("after_position", SmallInteger)),
        _e.create_time < param("before", TIME),
    )
    .order_by(_e.create_time, _e.transaction_id, _e.position)
    .limit(param("size", Integer)),
    "journal",
    fresh_plan=True,
)
