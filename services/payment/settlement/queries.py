"""The SQL of settlements, by name."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    Integer,
    SmallInteger,
    Text,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.rules.payment import OPERATION_SUCCEEDED
from services.payment.settlement.rules import MISSING_THERE, PAYOUT
from services.payment.tables.ledger import ledger_entries
from services.payment.tables.payments import disputes, operations, payments
from services.payment.tables.settlements import discrepancies, settlement_lines, settlements
from services.runtime.columns import BIGINTS, BOOLEANS, ID, NOW, SMALLINTS, TEXTS, TIME, TIMES, UUIDS
from services.runtime.database import Row
from services.runtime.statements import given, param, statement

_o, _p, _x, _l, _d = operations.c, payments.c, disputes.c, settlement_lines.c, discrepancies.c
_gateway = param("gateway", Text)
_is_settlement = settlements.c.settlement_id == param("settlement_id")
# As the index of settled operations has it.
_moved_money = text(f"operations.kind IN ('capture', 'refund') AND operations.state = {OPERATION_SUCCEEDED}")

BEGIN = statement(
    upsert(settlements)
    .values(
        settlement_id=param("settlement_id"),
        gateway=_gateway,
        begin_time=param("begin_time"),
        end_time=param("end_time"),
        batches=0,
        complete=False,
        create_time=param("create_time"),
    )
    .on_conflict_do_nothing(),
    "settlement begun",
)
LOCK = statement(select(settlements).where(_is_settlement).with_for_update(), "settlement locked")
_turn = func.concat(literal_column("'settlements of '"), _gateway)
TAKE_TURN = statement(
    select(func.pg_advisory_xact_lock(func.hashtextextended(_turn, literal_column("0")))),
    "turn among the provider's settlements",
)
COUNT = statement(
    update(settlements)
    .where(_is_settlement)
    .values(batches=func.greatest(settlements.c.batches, param("batch", Integer))),
    "lines taken in",
)
COMPLETE = statement(update(settlements).where(_is_settlement).values(complete=true()), "settlement complete")

# Which payments the lines of a batch are of: by what a line names, or by its charge.
_references = any_(param("references", TEXTS))
_of_gateway = _p.gateway == _gateway
_by_reference = select(_o.payment_id, _o.provider_reference).where(
    _o.gateway == _gateway, _o.provider_reference == _references, _o.provider_reference != text("''")
)
_by_id = select(_o.payment_id, cast(_o.operation_id, Text)).where(
    _o.gateway == _gateway, _o.operation_id == any_(param("operation_ids", UUIDS))
)
_by_dispute = (
    select(_x.payment_id, _x.provider_reference)
    .join_from(disputes, payments, _p.payment_id == _x.payment_id)
    .where(_of_gateway, _x.provider_reference == _references)
)
_by_charge = select(_p.payment_id, _p.provider_reference).where(
    _of_gateway,
    _p.provider_reference == any_(param("charges", TEXTS)),
    _p.provider_reference != text("''"),
)
# And those that lines were found to be of before.
_payment_ids = any_(param("payment_ids", UUIDS))
_by_itself = select(_p.payment_id, cast(_p.payment_id, Text)).where(_p.payment_id == _payment_ids)


def _found() -> Any:
    ways = (_by_reference, _by_id, _by_dispute, _by_itself, _by_charge)
    named = (
        way.add_columns(literal_column("true" if way is _by_charge else "false").label("charged"))
        for way in ways
    )
    found = union_all(*named).subquery("found")
    payment_id, name, charged = found.c
    return (
        select(name.label("name"), charged, _p.payment_id, _p.order_id, _p.store_id, _p.currency_code)
        .join_from(found, payments, _p.payment_id == payment_id)
        # Where several have a name, it is always the same one's.
        .order_by(_p.payment_id.desc())
    )


FOUND = statement(_found(), "payments of lines")
OPERATIONS = statement(
    select(_o.payment_id, _o.operation_id, _o.kind, _o.amount_minor_units, _o.provider_reference).where(
        _o.payment_id == _payment_ids, _moved_money
    ),
    "operations of lines",
)
DISPUTES = statement(select(disputes).where(_x.payment_id == _payment_ids), "disputes of lines")
_of_lines = _l.gateway == _gateway, _l.line_id == any_(param("line_ids", TEXTS))
LINES = statement(select(settlement_lines).where(*_of_lines), "lines known")
LINES_OF_PAYMENTS = statement(
    select(settlement_lines).where(_l.gateway == _gateway, _l.payment_id == _payment_ids),
    "lines of payments",
)

# No two lines are of one operation, not even between two rows of a statement.
FREE = statement(
    update(settlement_lines).where(*_of_lines).values(operation_id=None),
    "operations freed",
)
KEPT = {
    "line_id": TEXTS,
    "kind": SMALLINTS,
    "charge_reference": TEXTS,
    "operation_reference": TEXTS,
    "currency_code": TEXTS,
    "gross_minor_units": BIGINTS,
    "fee_minor_units": BIGINTS,
    "time": TIMES,
    "payment_id": UUIDS,
    "operation_id": UUIDS,
    "dispute_id": UUIDS,
    "matched": BOOLEANS,
}
_kept = given(*KEPT.items(), name="kept")
_keep = upsert(settlement_lines).from_select(
    ["gateway", "settlement_id", *KEPT], select(_gateway, param("settlement_id", ID), *_kept.c)
)
KEEP = statement(
    _keep.on_conflict_do_update(
        index_elements=["gateway", "line_id"],
        set_={name: _keep.excluded[name] for name in ("payment_id", "operation_id", "dispute_id", "matched")},
    ),
    "lines kept",
)

DIFFERENT = {
    "store_id": UUIDS,
    "payment_id": UUIDS,
    "operation_id": UUIDS,
    "reason": SMALLINTS,
    "line_id": TEXTS,
    "charge_reference": TEXTS,
    "our_currency_code": TEXTS,
    "our_minor_units": BIGINTS,
    "their_currency_code": TEXTS,
    "their_minor_units": BIGINTS,
}
_FOUND_IN = ["discrepancy_id", "settlement_id", "gateway", "create_time"]
_found_in = (func.uuidv7(), param("settlement_id", ID), _gateway, param("create_time", TIME))
_different = given(*DIFFERENT.items(), name="different")
DIFFER = statement(
    insert(discrepancies).from_select([*_FOUND_IN, *DIFFERENT], select(*_found_in, *_different.c)),
    "lines differ",
)
_open = and_(_d.gateway == _gateway, _d.resolve_time.is_(None))
_solved = {"resolve_time": param("resolve_time"), "resolution": param("resolution")}
LINES_SOLVED = statement(
    update(discrepancies).where(_open, _d.line_id == any_(param("line_ids", TEXTS))).values(_solved),
    "lines solved",
)
OPERATIONS_SOLVED = statement(
    update(discrepancies)
    .where(
        _open,
        _d.operation_id == any_(param("operation_ids", UUIDS)),
        _d.reason == literal_column(str(MISSING_THERE)),
    )
    .values(_solved),
    "operations solved",
)
_missing = {
    "store_id": _o.store_id,
    "payment_id": _o.payment_id,
    "operation_id": _o.operation_id,
    "reason": literal_column(str(MISSING_THERE)),
    "charge_reference": _p.provider_reference,
    "our_currency_code": _p.currency_code,
    "our_minor_units": case(
        (_o.kind == text("'capture'"), _o.amount_minor_units), else_=-_o.amount_minor_units
    ),
}
MISSING = statement(
    insert(discrepancies).from_select(
        [*_FOUND_IN, *_missing],
        select(*_found_in, *_missing.values())
        .join_from(operations, payments, _p.payment_id == _o.payment_id)
        .where(
            _o.gateway == _gateway,
            _moved_money,
            _o.amount_minor_units > 0,
            _o.settle_time >= param("begin_time", TIME),
            _o.settle_time < param("before", TIME),
            ~exists().where(_l.operation_id == _o.operation_id),
            ~exists().where(
                _d.operation_id == _o.operation_id, _d.reason == literal_column(str(MISSING_THERE))
            ),
        ),
    ),
    "operations missing there",
)

ENTRIES = {
    "transaction_id": UUIDS,
    "position": SMALLINTS,
    "kind": TEXTS,
    "account": TEXTS,
    "store_id": UUIDS,
    "payment_id": UUIDS,
    "order_id": UUIDS,
    "currency_code": TEXTS,
    "debit_minor_units": BIGINTS,
    "credit_minor_units": BIGINTS,
}
_entries = given(*ENTRIES.items(), name="entries")
POST = statement(
    upsert(ledger_entries)
    .from_select([*ENTRIES, "create_time"], select(*_entries.c, param("create_time", TIME)))
    .on_conflict_do_nothing(),
    "fees posted",
)

SETTLEMENT = statement(select(settlements).where(_is_settlement), "settlement")
SETTLEMENTS = statement(
    select(settlements)
    .where(
        or_(settlements.c.gateway == _gateway, _gateway == text("''")),
        tuple_(settlements.c.create_time, settlements.c.settlement_id)
        < tuple_(param("before", TIME), param("before_id", ID)),
    )
    .order_by(settlements.c.create_time.desc(), settlements.c.settlement_id.desc())
    .limit(param("size", Integer)),
    "settlements",
)
_settlement_ids = any_(param("settlement_ids", UUIDS))
SUMS = statement(
    select(
        _l.settlement_id,
        _l.currency_code,
        func.count().label("lines"),
        func.count().filter(_l.matched).label("matched"),
        func.coalesce(
            func.sum(_l.gross_minor_units - _l.fee_minor_units).filter(
                _l.kind != literal_column(str(PAYOUT))
            ),
            0,
        ).label("net"),
        func.sum(_l.fee_minor_units).label("fees"),
    )
    .where(_l.settlement_id == _settlement_ids)
    .group_by(_l.settlement_id, _l.currency_code)
    .order_by(_l.currency_code),
    "sums of settlements",
)
DIFFERENCES = statement(
    select(_d.settlement_id, func.count().label("discrepancies"))
    .where(_d.settlement_id == _settlement_ids)
    .group_by(_d.settlement_id),
    "differences of settlements",
)

_wanted = (
    or_(param("store_id", ID).is_(None), _d.store_id == param("store_id", ID)),
    or_(param("settlement_id", ID).is_(None), _d.settlement_id == param("settlement_id", ID)),
    or_(param("reason", SmallInteger) == literal_column("0"), _d.reason == param("reason", SmallInteger)),
    or_(param("resolved", Boolean()), _d.resolve_time.is_(None)),
)
DISCREPANCIES = statement(
    select(discrepancies)
    .where(*_wanted, _d.discrepancy_id < param("before", ID))
    .order_by(_d.discrepancy_id.desc())
    .limit(param("size", Integer)),
    "discrepancies",
    fresh_plan=True,
)
RESOLVE = statement(
    update(discrepancies)
    .where(
        _d.discrepancy_id == param("discrepancy_id"),
        or_(param("store_id", ID).is_(None), _d.store_id == param("store_id", ID)),
    )
    .values(resolve_time=NOW, resolution=param("resolution"))
    .returning(discrepancies),
    "discrepancy resolved",
)


def arrays(columns: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, list[Any]]:
    """Return the parameters of a table that is given."""
    rows = list(rows)
    return {column: [row[column] for row in rows] for column in columns}
