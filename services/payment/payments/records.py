"""What is written about a payment: each statement, and the values that it takes.

A change of a payment is one statement, worked out beforehand from the version that was read (rules.Change). When that
is no longer the payment's version, the column is set to NULL, which the table refuses, and nothing of it happens.

For many payments each is the same statement over a table of changes, in one order. It waits for nobody who holds one of
the payments: that one is left out, and so is one that has moved.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Float,
    Integer,
    SmallInteger,
    Text,
    and_,
    case,
    func,
    insert,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.payments.queries import FIELDS, seconds_from_now
from services.payment.rules.change import Change
from services.payment.rules.payment import OPERATION_PENDING, Dispute, Kind, Operation, Payment
from services.payment.tables.ledger import ledger_entries
from services.payment.tables.payments import OPEN, disputes, operations, payments
from services.runtime import cards
from services.runtime.columns import BIGINTS, FLOATS, ID, JSONS, SMALLINTS, TEXTS, TIME, TIMES, UUIDS
from services.runtime.statements import given, param, statement
from services.runtime.work import closing

# What a change may change in a payment, by the column's name.
CHANGING = (
    "state",
    "captured_minor_units",
    "voided_minor_units",
    "refunded_minor_units",
    "disputed_minor_units",
    "charged_back_minor_units",
    "expire_time",
    "captures_once",
    "provider_reference",
    "decline_code",
    "next_action_url",
    "client_secret",
    "cancelled",
    "update_time",
)


def _value(table: Any, name: str, type_: Any = None) -> Any:
    """A column of the table of many changes; a parameter where there is but one."""
    return param(name, type_) if table is None else table.c[name]


def _same(table: Any, of: Any) -> list[Any]:
    """Which of many changes goes with a row; where there is but one, that is said already."""
    return [] if table is None else [table.c.payment_id == of.c.payment_id]


def _columns(*names: str) -> list[tuple[str, Any]]:
    return [(name, ARRAY(payments.c[name].type)) for name in names]


def _new_payment(many: Any = None) -> Any:
    columns = {column.name: _value(many, column.name) for column in payments.c}
    new = upsert(payments)
    if many is None:
        new = new.values(columns)
    else:
        # Two that insert the same orders' payments wait for each other; in this order one of them waits for none.
        rows = select(*columns.values()).order_by(many.c.order_id)
        new = new.from_select(list(columns), rows)
    return new.on_conflict_do_nothing(index_elements=["order_id"])


def _recorded(many: Any = None) -> Any:
    """The payment, unless the order has one, and its first operation."""
    payment = _new_payment(many).returning(payments.c.payment_id, payments.c.store_id).cte("payment")
    operation = {
        "operation_id": _value(many, "operation_id", ID),
        "payment_id": payment.c.payment_id,
        "store_id": payment.c.store_id,
        "kind": literal(Kind.AUTHORIZE, Text),
        "state": literal(OPERATION_PENDING, SmallInteger),
        "amount_minor_units": _value(many, "amount_minor_units", BigInteger),
        "attempts": literal(1),
        "traceparent": _value(many, "traceparent", Text),
        "create_time": _value(many, "create_time", TIME),
        "due_time": seconds_from_now(_value(many, "due_seconds", Float)),
        "gateway": _value(many, "gateway", Text),
    }
    rows = select(*operation.values()).where(*_same(many, payment))
    return insert(operations).from_select(list(operation), rows).returning(operations.c.payment_id)


_new_ones = given(
    *_columns(*(column.name for column in payments.c)),
    ("operation_id", UUIDS),
    ("traceparent", TEXTS),
    ("due_seconds", FLOATS),
    name="new",
)
PAYMENT_RECORDED = statement(_recorded(), "payment recorded")
PAYMENTS_RECORDED = statement(_recorded(select(_new_ones).cte("new_ones")), "payments recorded")
TOMBSTONE = statement(_new_payment().returning(payments.c.payment_id), "tombstone")


def values_of(payment: Payment) -> dict[str, Any]:
    """Return a payment as its row has it."""
    values = {column: getattr(payment, field) for column, field in FIELDS.items()}
    return values | {"lines": json.dumps(payment.lines)}


def values_of_many(each: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return what a statement for many is given, of what it would be given for each."""
    return {name: [values[name] for values in each] for name in each[0]}


_moved = (
    update(payments)
    .where(payments.c.payment_id == param("payment_id"))
    .values(version=payments.c.version + 1, update_time=param("create_time", TIME))
    .returning(payments.c.payment_id, payments.c.store_id, payments.c.gateway)
    .cte("moved")
)
_of_payment = {
    "operation_id": param("operation_id", ID),
    "payment_id": _moved.c.payment_id,
    "store_id": _moved.c.store_id,
    "kind": param("kind", Text),
    "state": param("state", SmallInteger),
    "amount_minor_units": param("amount_minor_units", BigInteger),
    "attempts": param("attempts", Integer),
    "traceparent": param("traceparent", Text),
    "request_id": param("request_id", ID),
    "create_time": param("create_time", TIME),
    "due_time": seconds_from_now("due_seconds"),
    "gateway": _moved.c.gateway,
    "reason": param("reason", Text),
    "lines": param("lines", JSONB),
    "final": param("final", Boolean),
    "wanted_minor_units": param("wanted_minor_units", BigInteger),
}
# Under the payment's lock. The payment moves with it: what settles meanwhile is worked out anew, and sees it waiting.
OPERATION_RECORDED = statement(
    insert(operations)
    .from_select(list(_of_payment), select(*_of_payment.values()))
    .returning(operations.c.operation_id),
    "operation recorded",
)


def values_of_operation(operation: Operation, payment: Payment, due_seconds: float) -> dict[str, Any]:
    """Return what OPERATION_RECORDED is given."""
    return {
        "operation_id": operation.operation_id,
        "payment_id": payment.payment_id,
        "kind": operation.kind,
        "state": operation.state,
        "amount_minor_units": operation.amount,
        "attempts": operation.attempts,
        "traceparent": operation.traceparent,
        "request_id": operation.request_id,
        "create_time": operation.create_time,
        "due_seconds": due_seconds,
        "reason": operation.reason,
        "lines": json.dumps(operation.lines),
        "final": operation.final,
        "wanted_minor_units": operation.wanted,
    }


def _change(many: Any = None) -> tuple[Any, Any]:
    """The payment, the operation, the ledger, and what begins or follows; each waits for the one before.

    Returned with it is the column of the payments that it held for.
    """
    moved = _moved_payment(many)
    asked = (
        update(operations)
        .where(
            and_(
                operations.c.operation_id == _value(many, "operation_id"),
                operations.c.payment_id == moved.c.payment_id,
                *_same(many, moved),
            )
        )
        .values(
            state=_value(many, "operation_state"),
            settle_time=_value(many, "settle_time"),
            due_time=seconds_from_now(_value(many, "due_seconds", Float)),
            provider_reference=_value(many, "operation_reference"),
            failure_code=_value(many, "failure_code"),
            provider_message=_value(many, "provider_message"),
            provider_request_id=_value(many, "provider_request_id"),
        )
        .returning(operations.c.payment_id, operations.c.store_id, operations.c.gateway, moved.c.update_time)
        .cte("asked")
    )
    follows = _booked(many, moved), _begun(many, asked), _following(many, asked)
    return select(moved.c.payment_id.label("id")).add_cte(*follows), moved.c.payment_id


def _moved_payment(many: Any) -> Any:
    version = payments.c.version
    moves = update(payments)
    if many is None:
        moves = moves.where(payments.c.payment_id == param("payment_id")).values(
            version=case((version == param("version"), version + 1), else_=null())
        )
    else:
        free = (
            select(payments.c.payment_id)
            .join(many, and_(many.c.payment_id == payments.c.payment_id, many.c.version == version))
            .with_for_update(of=payments, key_share=True, skip_locked=True)
            .cte("free")
        )
        moves = moves.where(payments.c.payment_id == free.c.payment_id, *_same(many, free)).values(
            version=version + 1
        )
    return (
        moves.values({name: _value(many, name) for name in CHANGING})
        .returning(
            payments.c.payment_id,
            payments.c.order_id,
            payments.c.store_id,
            payments.c.currency_code,
            payments.c.gateway,
            payments.c.update_time,
        )
        .cte("moved")
    )


def values_of_change(change: Change, due_seconds: float) -> dict[str, Any]:
    """Return what PAYMENT_CHANGED is given; `due_seconds`: until the operation is taken up next, if it stays open."""
    payment, operation = change.payment, change.operation
    return (
        {column: getattr(payment, FIELDS[column]) for column in CHANGING}
        | {
            "payment_id": payment.payment_id,
            "version": change.before.version,
            "operation_id": operation.operation_id,
            "operation_state": operation.state,
            "operation_reference": operation.provider_reference,
            "failure_code": operation.failure_code,
            "settle_time": operation.settle_time,
            "due_seconds": due_seconds,
            "begun_id": change.begun.operation_id if change.begun else None,
            "begun_amount": change.begun.amount if change.begun else 0,
            "begun_lines": json.dumps(change.begun.lines) if change.begun else "[]",
        }
        | values_of_words(operation.provider_message, operation.provider_request_id)
        | _values_of_books(change)
        | _values_of_next(change)
    )


def values_of_changes(each: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return what PAYMENTS_CHANGED_AND_CLOSED is given, of what PAYMENT_CHANGED would be given for each."""
    several = {name for name, value in each[0].items() if isinstance(value, list)}
    one = values_of_many([{name: values[name] for name in values if name not in several} for values in each])
    rows = {name: [row for values in each for row in values[name]] for name in several}
    of = {
        whose: [values["payment_id"] for values in each for _ in values[rows_of]]
        for whose, rows_of in (("entry_of", "transaction_ids"), ("next_of", "next_id"))
    }
    return one | rows | of


def _rows(many: Any, of: Any, whose: str, *columns: tuple[str, Any], name: str) -> tuple[Any, Any]:
    """Rows that go with a change, in any number, and these joined to what they go with."""
    if many is None:
        rows = given(*columns, name=name)
        return rows, rows.join(of, literal(True))
    rows = given(*columns, (whose, UUIDS), name=name)
    return rows, rows.join(of, rows.c[whose] == of.c.payment_id)


def _booked(many: Any, moved: Any) -> Any:
    entries, booked = _rows(
        many,
        moved,
        "entry_of",
        ("transaction_ids", UUIDS),
        ("positions", SMALLINTS),
        ("kinds", TEXTS),
        ("accounts", TEXTS),
        ("debits", BIGINTS),
        ("credits", BIGINTS),
        ("product_ids", UUIDS),
        name="entries",
    )
    columns = {
        "transaction_id": entries.c.transaction_ids,
        "position": entries.c.positions,
        "kind": entries.c.kinds,
        "account": entries.c.accounts,
        "store_id": moved.c.store_id,
        "payment_id": moved.c.payment_id,
        "order_id": moved.c.order_id,
        "product_id": entries.c.product_ids,
        "currency_code": moved.c.currency_code,
        "debit_minor_units": entries.c.debits,
        "credit_minor_units": entries.c.credits,
        "create_time": moved.c.update_time,
    }
    rows = select(*columns.values()).select_from(booked)
    return insert(ledger_entries).from_select(list(columns), rows).cte("booked")


def _values_of_books(change: Change) -> dict[str, Any]:
    posted = [
        (each.transaction_id, position, each.kind, *posting)
        for each in change.booked
        for position, posting in enumerate(each.postings, 1)
    ]
    return {
        "transaction_ids": [each[0] for each in posted],
        "positions": [each[1] for each in posted],
        "kinds": [each[2] for each in posted],
        "accounts": [each[3] for each in posted],
        "debits": [each[4] for each in posted],
        "credits": [each[5] for each in posted],
        "product_ids": [each[6] or None for each in posted],
    }


def _begun(many: Any, asked: Any) -> Any:
    return (
        update(operations)
        .where(
            operations.c.operation_id == _value(many, "begun_id", ID),
            operations.c.payment_id == asked.c.payment_id,
            *_same(many, asked),
        )
        .values(
            state=literal(OPERATION_PENDING, SmallInteger),
            due_time=func.now(),
            amount_minor_units=_value(many, "begun_amount", BigInteger),
            lines=_value(many, "begun_lines", JSONB),
        )
        .cte("begun")
    )


def _following(many: Any, asked: Any) -> Any:
    next_one, following = _rows(
        many,
        asked,
        "next_of",
        ("next_id", UUIDS),
        ("next_kind", TEXTS),
        ("next_amount", BIGINTS),
        ("next_request", UUIDS),
        ("next_reason", TEXTS),
        ("next_wanted", BIGINTS),
        ("next_traceparent", TEXTS),
        ("next_lines", JSONS),
        name="next",
    )
    columns = {
        "operation_id": next_one.c.next_id,
        "payment_id": asked.c.payment_id,
        "store_id": asked.c.store_id,
        "kind": next_one.c.next_kind,
        "state": literal(OPERATION_PENDING, SmallInteger),
        "amount_minor_units": next_one.c.next_amount,
        "attempts": literal(0),
        "traceparent": next_one.c.next_traceparent,
        "request_id": next_one.c.next_request,
        "create_time": asked.c.update_time,
        "due_time": func.now(),
        "gateway": asked.c.gateway,
        "reason": next_one.c.next_reason,
        "lines": next_one.c.next_lines,
        "wanted_minor_units": next_one.c.next_wanted,
    }
    rows = select(*columns.values()).select_from(following)
    return insert(operations).from_select(list(columns), rows).cte("following")


def _values_of_next(change: Change) -> dict[str, Any]:
    found = [change.next] if change.next else []
    return {
        "next_id": [one.operation_id for one in found],
        "next_kind": [one.kind for one in found],
        "next_amount": [one.amount for one in found],
        "next_request": [one.request_id for one in found],
        "next_reason": [one.reason for one in found],
        "next_wanted": [one.wanted for one in found],
        "next_traceparent": [one.traceparent for one in found],
        "next_lines": [json.dumps(one.lines) for one in found],
    }


_changes = given(
    ("payment_id", UUIDS),
    ("version", BIGINTS),
    *_columns(*CHANGING),
    ("operation_id", UUIDS),
    ("operation_state", SMALLINTS),
    ("operation_reference", TEXTS),
    ("failure_code", TEXTS),
    ("settle_time", TIMES),
    ("due_seconds", FLOATS),
    ("begun_id", UUIDS),
    ("begun_amount", BIGINTS),
    ("begun_lines", JSONS),
    ("provider_message", TEXTS),
    ("provider_request_id", TEXTS),
    name="changes",
)
_one_change, _ = _change()
_each_change, _held = _change(select(_changes).cte("change"))
PAYMENT_CHANGED = statement(_one_change, "payment changed")
PAYMENT_CHANGED_AND_CLOSED = closing(_one_change, "payment changed")
PAYMENTS_CHANGED_AND_CLOSED = closing(_each_change, "payments changed", _held)

_dispute = upsert(disputes).values({column.name: param(column.name) for column in disputes.c})
DISPUTE_KNOWN = statement(
    _dispute.on_conflict_do_update(
        index_elements=["dispute_id"],
        set_={name: _dispute.excluded[name] for name in ("status", "close_time")},
    ),
    "dispute known",
)


def values_of_dispute(dispute: Dispute, payment: Payment) -> dict[str, Any]:
    """Return what DISPUTE_KNOWN is given."""
    return {
        "dispute_id": dispute.dispute_id,
        "payment_id": payment.payment_id,
        "store_id": payment.store_id,
        "status": dispute.status,
        "amount_minor_units": dispute.amount,
        "fee_minor_units": dispute.fee,
        "reason": dispute.reason,
        "provider_reference": dispute.provider_reference,
        "open_time": dispute.open_time,
        "close_time": dispute.close_time,
    }


OPERATION_UNANSWERED = statement(
    update(operations)
    .where(operations.c.operation_id == param("operation_id"), text(OPEN))
    .values(
        due_time=seconds_from_now("due_seconds"),
        provider_message=param("provider_message", Text),
        provider_request_id=param("provider_request_id", Text),
    ),
    "operation unanswered",
)


def values_of_words(message: str, request_id: str) -> dict[str, Any]:
    """Return what a provider said as an operation's row has it: no longer than the contract, and no card in it."""
    return {
        "provider_message": _storable(cards.masked(message))[:1000],
        "provider_request_id": _storable(request_id)[:200],
    }


def _storable(text: str) -> str:
    """Return a foreign text without what PostgreSQL does not store: NUL, and surrogates that stand alone."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
