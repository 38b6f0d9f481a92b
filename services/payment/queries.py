"""The payment service's SQL, by name.

A change of a payment is one statement, worked out beforehand from the version that was read (rules.Change). When that
is no longer the payment's version, the column is set to NULL, which the table refuses, and nothing of it happens.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
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
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.payments import OPERATION_PENDING, Change, Operation, Payment
from services.payment.tables import OPEN, ledger_entries, operations, payments, webhooks
from services.runtime.ids import new_id
from services.runtime.statements import param, statement
from services.runtime.tables import TEXTS, UUIDS
from services.runtime.work import closing

ID = UUID(as_uuid=False)
TIME = DateTime(timezone=True)
BIGINTS = ARRAY(BigInteger)
# What a Payment and its row have in common, by the column's name.
FIELDS = {
    "payment_id": "payment_id",
    "order_id": "order_id",
    "store_id": "store_id",
    "customer_id": "customer_id",
    "state": "state",
    "amount_minor_units": "amount",
    "currency_code": "currency_code",
    "captured_minor_units": "captured",
    "refunded_minor_units": "refunded",
    "gateway": "gateway",
    "payment_method": "payment_method",
    "provider_reference": "provider_reference",
    "decline_code": "decline_code",
    "next_action_url": "next_action_url",
    "version": "version",
    "cancelled": "cancelled",
    "create_time": "create_time",
    "update_time": "update_time",
}
CHANGING = (
    "state",
    "captured_minor_units",
    "refunded_minor_units",
    "provider_reference",
    "decline_code",
    "next_action_url",
    "cancelled",
    "update_time",
)
_is_open = text(OPEN)


def _seconds_from_now(name: str) -> Any:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, param(name, Float))


def _given(*columns: tuple[str, Any]) -> Any:
    """Arrays as one table."""
    table = func.unnest(*(param(name, type_) for name, type_ in columns))
    return table.table_valued(*(name for name, _ in columns), name="given").render_derived(name="given")


def _new_payment() -> Any:
    values = {column.name: param(column.name) for column in payments.c}
    return upsert(payments).values(values).on_conflict_do_nothing(index_elements=["order_id"])


_payment = _new_payment().returning(payments.c.payment_id, payments.c.store_id).cte("payment")
_operation = {
    "operation_id": param("operation_id", ID),
    "payment_id": _payment.c.payment_id,
    "store_id": _payment.c.store_id,
    "kind": literal("authorize"),
    "state": literal(OPERATION_PENDING, SmallInteger),
    "amount_minor_units": param("amount_minor_units", BigInteger),
    "attempts": literal(1),
    "traceparent": param("traceparent", Text),
    "create_time": param("create_time", TIME),
    "due_time": _seconds_from_now("due_seconds"),
}
PAYMENT_RECORDED = statement(
    insert(operations)
    .from_select(list(_operation), select(*_operation.values()))
    .returning(operations.c.operation_id),
    "payment recorded",
)
TOMBSTONE = statement(_new_payment().returning(payments.c.payment_id), "tombstone")

_moved = (
    update(payments)
    .where(payments.c.payment_id == param("payment_id"))
    .values(version=payments.c.version + 1, update_time=param("create_time", TIME))
    .returning(payments.c.payment_id, payments.c.store_id)
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
    "due_time": _seconds_from_now("due_seconds"),
}
# Under the payment's lock. The payment moves with it: what settles meanwhile is worked out anew, and sees it waiting.
OPERATION_RECORDED = statement(
    insert(operations)
    .from_select(list(_of_payment), select(*_of_payment.values()))
    .returning(operations.c.operation_id),
    "operation recorded",
)


def _payments(condition: Any, name: str) -> Any:
    """A payment with its operations, the first one first: a row each, one with nulls where there is none."""
    of_operation = [
        operations.c[name].label(f"operation_{name}")
        for name in ("state", "amount_minor_units", "create_time")
    ]
    return statement(
        select(
            payments,
            operations.c.operation_id,
            operations.c.kind,
            operations.c.attempts,
            operations.c.traceparent,
            operations.c.request_id,
            operations.c.settle_time,
            *of_operation,
        )
        .select_from(payments.outerjoin(operations, operations.c.payment_id == payments.c.payment_id))
        .where(condition)
        .order_by(operations.c.operation_id),
        name,
    )


def _locked(condition: Any, name: str) -> Any:
    """Lock before reading: a row that was waited for is read anew, but not what is joined to it."""
    return statement(select(payments.c.payment_id).where(condition).with_for_update(), name)


_by_id = payments.c.payment_id == param("payment_id")
_by_order = payments.c.order_id == param("order_id")
_by_operation = payments.c.payment_id == (
    select(operations.c.payment_id)
    .where(operations.c.operation_id == param("operation_id"))
    .scalar_subquery()
)
PAYMENT = _payments(_by_id, "payment")
PAYMENT_OF_ORDER = _payments(_by_order, "payment of order")
PAYMENT_LOCKED = _locked(_by_id, "payment locked")
PAYMENT_OF_ORDER_LOCKED = _locked(_by_order, "payment of order locked")
PAYMENT_OF_OPERATION_LOCKED = _locked(_by_operation, "payment of operation locked")


def _change() -> Any:
    """The payment, the operation, the ledger, and what begins or follows; each waits for the one before."""
    version = payments.c.version
    moved = (
        update(payments)
        .where(payments.c.payment_id == param("payment_id"))
        .values(
            version=case((version == param("version"), version + 1), else_=null()),
            **{name: param(name) for name in CHANGING},
        )
        .returning(payments.c.payment_id, payments.c.store_id, payments.c.currency_code)
        .cte("moved")
    )
    asked = (
        update(operations)
        .where(
            and_(
                operations.c.operation_id == param("operation_id"),
                operations.c.payment_id == moved.c.payment_id,
            )
        )
        .values(
            state=param("operation_state"),
            settle_time=param("settle_time"),
            due_time=_seconds_from_now("due_seconds"),
        )
        .returning(operations.c.payment_id, operations.c.store_id)
        .cte("asked")
    )
    return select(moved.c.payment_id).add_cte(_booked(moved), _begun(asked), _following(asked))


def _booked(moved: Any) -> Any:
    entries = _given(("accounts", TEXTS), ("debits", BIGINTS), ("credits", BIGINTS))
    columns = {
        "transaction_id": param("operation_id", ID),
        "account": entries.c.accounts,
        "store_id": moved.c.store_id,
        "currency_code": moved.c.currency_code,
        "debit_minor_units": entries.c.debits,
        "credit_minor_units": entries.c.credits,
        "create_time": param("update_time", TIME),
    }
    rows = select(*columns.values()).select_from(entries.join(moved, literal(True)))
    return insert(ledger_entries).from_select(list(columns), rows).cte("booked")


def _begun(asked: Any) -> Any:
    return (
        update(operations)
        .where(
            operations.c.operation_id == param("begun_id", ID), operations.c.payment_id == asked.c.payment_id
        )
        .values(state=literal(OPERATION_PENDING, SmallInteger), due_time=func.now())
        .cte("begun")
    )


def _following(asked: Any) -> Any:
    given = _given(("next_id", UUIDS), ("next_kind", TEXTS), ("next_amount", BIGINTS))
    columns = {
        "operation_id": given.c.next_id,
        "payment_id": asked.c.payment_id,
        "store_id": asked.c.store_id,
        "kind": given.c.next_kind,
        "state": literal(OPERATION_PENDING, SmallInteger),
        "amount_minor_units": given.c.next_amount,
        "attempts": literal(0),
        "traceparent": param("traceparent", Text),
        "create_time": param("update_time", TIME),
        "due_time": func.now(),
    }
    rows = select(*columns.values()).select_from(given.join(asked, literal(True)))
    return insert(operations).from_select(list(columns), rows).cte("following")


PAYMENT_CHANGED = statement(_change(), "payment changed")
PAYMENT_CHANGED_AND_CLOSED = closing(_change(), "payment changed")

_due = (
    select(operations.c.operation_id)
    .where(_is_open, operations.c.due_time <= func.now())
    .order_by(operations.c.due_time)
    .limit(param("size", Integer))
    .with_for_update(skip_locked=True)
)
OPERATIONS_DUE = statement(
    update(operations)
    .where(operations.c.operation_id.in_(_due))
    .values(attempts=operations.c.attempts + 1, due_time=_seconds_from_now("lease_seconds"))
    .returning(operations.c.operation_id, operations.c.payment_id),
    "operations due",
)
OPERATION_LATER = statement(
    update(operations)
    .where(operations.c.operation_id == param("operation_id"), _is_open)
    .values(due_time=_seconds_from_now("due_seconds")),
    "operation later",
)

WEBHOOK_STORED = statement(
    upsert(webhooks)
    .values(
        gateway=param("gateway"),
        provider_event_id=param("provider_event_id"),
        payload=param("payload"),
        receive_time=func.now(),
    )
    .on_conflict_do_nothing()
    .returning(webhooks.c.provider_event_id),
    "webhook stored",
)
WEBHOOK_PARKED = statement(
    update(webhooks)
    .where(
        webhooks.c.gateway == param("gateway"),
        webhooks.c.provider_event_id == param("provider_event_id"),
    )
    .values(problem=param("problem")),
    "webhook parked",
)

TRIAL_BALANCE = statement(
    select(
        ledger_entries.c.currency_code,
        ledger_entries.c.account,
        func.sum(ledger_entries.c.debit_minor_units).cast(BigInteger).label("debits"),
        func.sum(ledger_entries.c.credit_minor_units).cast(BigInteger).label("credits"),
    )
    .where(ledger_entries.c.store_id == param("store_id"))
    .group_by(ledger_entries.c.currency_code, ledger_entries.c.account)
    .order_by(ledger_entries.c.currency_code, ledger_entries.c.account),
    "trial balance",
)


def payment_of(rows: Sequence[Mapping[str, Any]]) -> Payment | None:
    """Return the payment that these rows are, with its operations."""
    if not rows:
        return None
    row = rows[0]
    fields = {field: row[column] for column, field in FIELDS.items()}
    for field in ("payment_id", "order_id", "store_id", "customer_id"):
        fields[field] = str(fields[field])
    return Payment(**fields, operations=tuple(_operation_of(each) for each in rows if each["operation_id"]))


def _operation_of(row: Mapping[str, Any]) -> Operation:
    return Operation(
        operation_id=str(row["operation_id"]),
        kind=row["kind"],
        state=row["operation_state"],
        amount=row["operation_amount_minor_units"],
        attempts=row["attempts"],
        traceparent=row["traceparent"],
        request_id=str(row["request_id"]) if row["request_id"] else None,
        create_time=row["operation_create_time"],
        settle_time=row["settle_time"],
    )


def values_of(payment: Payment) -> dict[str, Any]:
    """Return a payment as its row has it."""
    return {column: getattr(payment, field) for column, field in FIELDS.items()}


def values_of_change(change: Change, due_seconds: float) -> dict[str, Any]:
    """Return what PAYMENT_CHANGED is given; `due_seconds`: until the operation is taken up next, if it stays open."""
    payment, operation = change.payment, change.operation
    following = {"void": payment.amount, "refund": payment.captured - payment.refunded}
    row = values_of(payment)
    return {name: row[name] for name in CHANGING} | {
        "payment_id": payment.payment_id,
        "version": change.before.version,
        "operation_id": operation.operation_id,
        "operation_state": operation.state,
        "settle_time": operation.settle_time,
        "due_seconds": due_seconds,
        "accounts": [posting.account for posting in change.postings],
        "debits": [posting.debit for posting in change.postings],
        "credits": [posting.credit for posting in change.postings],
        "begun_id": change.begun.operation_id if change.begun else None,
        "next_id": [new_id()] if change.next else [],
        "next_kind": [change.next] if change.next else [],
        "next_amount": [following[change.next]] if change.next else [],
        "traceparent": operation.traceparent,
    }


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
    }


def now() -> datetime:
    """Return the time, to the microsecond as PostgreSQL keeps it."""
    return datetime.now(UTC)
