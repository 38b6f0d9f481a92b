"""The SQL of sealing the books, and of looking whether the seal holds, by name.

Transactions do not end in the order in which they begin. But all that began before the oldest one still running have
ended: what they posted is complete for ever, and is sealed in the order of their ids.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
    Integer,
    LargeBinary,
    Text,
    cast,
    extract,
    func,
    literal_column,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.tables.ledger import ledger_chain, ledger_days, ledger_entries, ledger_seal
from services.runtime.columns import BIGINTS, BYTES, ID, TIME, UUIDS
from services.runtime.statements import given, param, statement

ALL_DAYS = cast(literal_column("'infinity'"), Date)
_e, _c, _s = ledger_entries.c, ledger_chain.c, ledger_seal.c
_HORIZON = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
PLACE = tuple_(_e.xid, _e.transaction_id)
SEAL = tuple_(select(_s.xid).scalar_subquery(), select(_s.transaction_id).scalar_subquery())
_AFTER = tuple_(param("xid", BigInteger), param("transaction_id", ID))
_UPTO = tuple_(param("upto_xid", BigInteger), param("upto_transaction_id", ID))
_microseconds = cast(extract("epoch", _e.create_time) * 1_000_000, BigInteger)
_encoded = func.json_build_array(
    _e.transaction_id,
    _e.position,
    _e.store_id,
    _e.kind,
    _e.account,
    _e.currency_code,
    _e.debit_minor_units,
    _e.credit_minor_units,
    _e.payment_id,
    _e.order_id,
    _e.product_id,
    _microseconds,
)
# A transaction's entries, each as a JSON array, a line each.
_lines = func.string_agg(
    cast(_encoded, Text), aggregate_order_by(literal_column(r"E'\n'"), _e.position), type_=Text
)
DIGEST = func.sha256(func.convert_to(_lines, literal_column("'UTF8'"))).label("digest")

# Ordered, for the index to find the first one: of many that might fit, PostgreSQL would rather try some.
_next = select(_e.xid).where(PLACE > SEAL).order_by(_e.xid, _e.transaction_id).limit(1).scalar_subquery()
UNSEALED = statement(select(func.coalesce(_next < _HORIZON, False).label("some")), "unsealed")
SEAL_LOCKED = statement(select(ledger_seal).with_for_update(skip_locked=True), "seal locked")
TO_SEAL = statement(
    select(
        _e.xid,
        _e.transaction_id,
        func.any_value(_e.store_id).label("store_id"),
        DIGEST,
    )
    .where(PLACE > _AFTER, _e.xid < _HORIZON)
    .group_by(_e.xid, _e.transaction_id)
    .order_by(_e.xid, _e.transaction_id)
    .limit(param("size", Integer)),
    "to seal",
    fresh_plan=True,
)
_stores = given(("store_id", UUIDS), name="stores")
_end = (
    select(_c.number, _c.hash)
    .where(_c.store_id == _stores.c.store_id)
    .order_by(_c.number.desc())
    .limit(1)
    .lateral("chain_end")
)
CHAIN_ENDS = statement(
    select(_stores.c.store_id, _end.c.number, _end.c.hash).select_from(_stores.join(_end, true())),
    "chains' ends",
)


def _chained() -> Any:
    links = given(
        ("store_ids", UUIDS),
        ("numbers", BIGINTS),
        ("transaction_ids", UUIDS),
        ("hashes", BYTES),
        name="links",
    )
    return ledger_chain.insert().from_select(list(_c.keys()), select(links)).cte("chained")


def _added() -> Any:
    """The sums of what is sealed are added to their days, and to all days."""
    day = cast(func.timezone("UTC", _e.create_time), Date)
    sums = (
        select(
            _e.store_id,
            func.coalesce(day, ALL_DAYS),
            _e.currency_code,
            _e.account,
            func.sum(_e.debit_minor_units).cast(BigInteger),
            func.sum(_e.credit_minor_units).cast(BigInteger),
        )
        .where(PLACE > _AFTER, PLACE <= _UPTO)
        .group_by(
            func.grouping_sets(
                tuple_(_e.store_id, day, _e.currency_code, _e.account),
                tuple_(_e.store_id, _e.currency_code, _e.account),
            )
        )
    )
    days = upsert(ledger_days).from_select([column.name for column in ledger_days.c], sums)
    amounts = ("debit_minor_units", "credit_minor_units")
    return days.on_conflict_do_update(
        index_elements=[column.name for column in ledger_days.primary_key],
        set_={name: ledger_days.c[name] + days.excluded[name] for name in amounts},
    ).cte("added")


SEALED = statement(
    update(ledger_seal)
    .values(xid=param("upto_xid", BigInteger), transaction_id=param("upto_transaction_id", ID))
    .add_cte(_chained(), _added()),
    "sealed",
    fresh_plan=True,
)

# Looking whether it holds.
_page = (
    select(ledger_chain)
    .where(_c.store_id == param("store_id"), _c.number > param("after_number"))
    .order_by(_c.number)
    .limit(param("size", Integer))
    .subquery("page")
)
_posted = (
    select(DIGEST, func.max(_e.create_time).label("create_time"))
    .where(_e.transaction_id == _page.c.transaction_id)
    .lateral("posted")
)
LINKS = statement(
    select(_page.c.number, _page.c.hash, _posted.c.digest.cast(LargeBinary), _posted.c.create_time)
    .select_from(_page.outerjoin(_posted, true()))
    .order_by(_page.c.number),
    "links",
    fresh_plan=True,
)
_link = select(_c.transaction_id).where(_c.transaction_id == _e.transaction_id, _c.store_id == _e.store_id)
STRAY = statement(
    select(func.min(_e.create_time).label("create_time")).where(
        PLACE <= SEAL,
        _e.store_id == param("store_id"),
        _e.create_time > param("after_time", TIME),
        _e.create_time <= param("upto_time", TIME),
        ~_link.exists(),
    ),
    "stray entry",
    fresh_plan=True,
)
