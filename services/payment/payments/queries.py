"""The payment service's SQL, by name.

A change of a payment is one statement, worked out beforehand from the version that was read (rules.Change). When that
is no longer the payment's version, the column is set to NULL, which the table refuses, and nothing of it happens.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    Integer,
    SmallInteger,
    Text,
    all_,
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
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.payments.rows import CHANGING
from services.payment.rules.payment import OPERATION_PENDING, Kind
from services.payment.tables.ledger import ledger_entries
from services.payment.tables.payments import OPEN, disputes, operations, payments
from services.runtime.columns import BIGINTS, ID, SMALLINTS, TEXTS, TIME, UUIDS
from services.runtime.statements import given, param, statement
from services.runtime.work import closing

_is_open = text(OPEN)


def _seconds_from_now(name: str) -> Any:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, param(name, Float))


def _new_payment() -> Any:
    values = {column.name: param(column.name) for column in payments.c}
    return upsert(payments).values(values).on_conflict_do_nothing(index_elements=["order_id"])


_payment = _new_payment().returning(payments.c.payment_id, payments.c.store_id).cte("payment")
_operation = {
    "operation_id": param("operation_id", ID),
    "payment_id": _payment.c.payment_id,
    "store_id": _payment.c.store_id,
    "kind": literal(Kind.AUTHORIZE, Text),
    "state": literal(OPERATION_PENDING, SmallInteger),
    "amount_minor_units": param("amount_minor_units", BigInteger),
    "attempts": literal(1),
    "traceparent": param("traceparent", Text),
    "create_time": param("create_time", TIME),
    "due_time": _seconds_from_now("due_seconds"),
    "gateway": param("gateway", Text),
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
    "due_time": _seconds_from_now("due_seconds"),
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


# An operation's columns in a row of its payment's.
OPERATION = (
    operations.c.operation_id,
    operations.c.kind,
    operations.c.attempts,
    operations.c.traceparent,
    operations.c.request_id,
    operations.c.settle_time,
    operations.c.due_time,
    operations.c.reason,
    operations.c.failure_code,
    operations.c.wanted_minor_units,
    operations.c.provider_message,
    operations.c.provider_request_id,
    operations.c.final,
    *(
        operations.c[name].label(f"operation_{name}")
        for name in ("state", "amount_minor_units", "create_time", "provider_reference", "lines")
    ),
)


_opened, _dispute_id = disputes.c.open_time, disputes.c.dispute_id
# As JSON: read by a statement of its own they could be of another moment.
_disputes = (
    select(func.json_agg(aggregate_order_by(func.row_to_json(disputes.table_valued()), _opened, _dispute_id)))
    .where(disputes.c.payment_id == payments.c.payment_id)
    .correlate(payments)
    .scalar_subquery()
)


def _payments(condition: Any, name: str) -> Any:
    """A payment with its disputes, and its operations, oldest first: a row each, one with nulls where there is none."""
    return statement(
        select(payments, *OPERATION, _disputes.label("disputes"))
        .select_from(payments.outerjoin(operations, operations.c.payment_id == payments.c.payment_id))
        .where(condition)
        .order_by(operations.c.create_time, operations.c.operation_id),
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
_by_reference = and_(
    payments.c.gateway == param("gateway"),
    payments.c.provider_reference == param("provider_reference"),
    payments.c.provider_reference != text("''"),
)
PAYMENT = _payments(_by_id, "payment")
PAYMENT_OF_ORDER = _payments(_by_order, "payment of order")
PAYMENT_LOCKED = _locked(_by_id, "payment locked")
PAYMENT_OF_ORDER_LOCKED = _locked(_by_order, "payment of order locked")
PAYMENT_OF_OPERATION_LOCKED = _locked(_by_operation, "payment of operation locked")
PAYMENT_OF_OPERATION_REFERENCE_LOCKED = _locked(
    payments.c.payment_id.in_(
        select(operations.c.payment_id).where(
            operations.c.gateway == param("gateway"),
            operations.c.provider_reference == param("provider_reference"),
            operations.c.provider_reference != text("''"),
        )
    ),
    "payment of operation reference locked",
)
PAYMENT_OF_REFERENCE_LOCKED = _locked(_by_reference, "payment of reference locked")


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
        .returning(
            payments.c.payment_id,
            payments.c.order_id,
            payments.c.store_id,
            payments.c.currency_code,
            payments.c.gateway,
        )
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
            provider_reference=param("operation_reference"),
            failure_code=param("failure_code"),
            provider_message=param("provider_message"),
            provider_request_id=param("provider_request_id"),
        )
        .returning(operations.c.payment_id, operations.c.store_id, operations.c.gateway)
        .cte("asked")
    )
    return select(moved.c.payment_id).add_cte(_booked(moved), _begun(asked), _following(asked))


def _booked(moved: Any) -> Any:
    entries = given(
        ("transaction_ids", UUIDS),
        ("positions", SMALLINTS),
        ("kinds", TEXTS),
        ("accounts", TEXTS),
        ("debits", BIGINTS),
        ("credits", BIGINTS),
        ("product_ids", UUIDS),
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
        .values(
            state=literal(OPERATION_PENDING, SmallInteger),
            due_time=func.now(),
            amount_minor_units=param("begun_amount", BigInteger),
            lines=param("begun_lines", JSONB),
        )
        .cte("begun")
    )


def _following(asked: Any) -> Any:
    next_one = given(
        ("next_id", UUIDS),
        ("next_kind", TEXTS),
        ("next_amount", BIGINTS),
        ("next_request", UUIDS),
        ("next_reason", TEXTS),
        ("next_wanted", BIGINTS),
        ("next_traceparent", TEXTS),
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
        "create_time": param("update_time", TIME),
        "due_time": func.now(),
        "gateway": asked.c.gateway,
        "reason": next_one.c.next_reason,
        "lines": param("next_lines", JSONB),
        "wanted_minor_units": next_one.c.next_wanted,
    }
    rows = select(*columns.values()).select_from(next_one.join(asked, literal(True)))
    return insert(operations).from_select(list(columns), rows).cte("following")


PAYMENT_CHANGED = statement(_change(), "payment changed")
PAYMENT_CHANGED_AND_CLOSED = closing(_change(), "payment changed")

_due = (
    select(operations.c.operation_id)
    .where(
        _is_open,
        operations.c.due_time <= func.now(),
        operations.c.gateway != all_(param("full", TEXTS)),
        func.concat(operations.c.gateway, " ", operations.c.store_id) != all_(param("full_for", TEXTS)),
    )
    .order_by(operations.c.due_time)
    .limit(param("size", Integer))
    .with_for_update(skip_locked=True)
)
OPERATIONS_DUE = statement(
    update(operations)
    .where(operations.c.operation_id.in_(_due))
    .values(attempts=operations.c.attempts + 1, due_time=_seconds_from_now("lease_seconds"))
    .returning(
        operations.c.operation_id, operations.c.payment_id, operations.c.gateway, operations.c.store_id
    ),
    "operations due",
)
OPERATION_TAKEN = statement(
    update(operations)
    .where(operations.c.operation_id == param("operation_id"), _is_open)
    .values(attempts=operations.c.attempts + 1, due_time=_seconds_from_now("lease_seconds"))
    .returning(operations.c.operation_id),
    "operation taken",
)
OPERATION_LATER = statement(
    update(operations)
    .where(operations.c.operation_id == param("operation_id"), _is_open)
    .values(due_time=_seconds_from_now("due_seconds")),
    "operation later",
)
OPERATION_UNANSWERED = statement(
    update(operations)
    .where(operations.c.operation_id == param("operation_id"), _is_open)
    .values(
        due_time=_seconds_from_now("due_seconds"),
        provider_message=param("provider_message", Text),
        provider_request_id=param("provider_request_id", Text),
    ),
    "operation unanswered",
)

# Nothing was sent to the gateway before, nor has anybody else taken the operation up: another one is asked instead.
_paid = (
    select(payments.c.payment_id)
    .where(payments.c.payment_id == param("payment_id"), payments.c.version == param("version"))
    .with_for_update()
    .cte("paid")
)
_held = (
    select(_paid.c.payment_id)
    .join(operations, operations.c.payment_id == _paid.c.payment_id)
    .where(
        operations.c.operation_id == param("operation_id"),
        operations.c.attempts == param("attempts"),
    )
    .with_for_update(of=operations)
    .cte("held")
)
_handed_over = (
    update(payments)
    .where(payments.c.payment_id == _held.c.payment_id)
    .values(gateway=param("gateway"), version=payments.c.version + 1)
    .returning(payments.c.payment_id)
    .cte("handed_over")
)
GATEWAY_CHANGED = statement(
    update(operations)
    .where(
        operations.c.operation_id == param("operation_id"),
        operations.c.payment_id == _handed_over.c.payment_id,
    )
    .values(gateway=param("gateway"))
    .returning(operations.c.operation_id),
    "gateway changed",
)

PAYMENTS_EXPIRING = statement(
    select(payments.c.payment_id)
    .where(payments.c.expire_time <= func.now())
    .order_by(payments.c.expire_time)
    .limit(param("size", Integer)),
    "payments expiring",
)
EXPIRY_LATER = statement(
    update(payments)
    .where(payments.c.payment_id == param("payment_id"))
    .values(expire_time=_seconds_from_now("seconds")),
    "expiry later",
)

_dispute = upsert(disputes).values({column.name: param(column.name) for column in disputes.c})
DISPUTE_KNOWN = statement(
    _dispute.on_conflict_do_update(
        index_elements=["dispute_id"],
        set_={name: _dispute.excluded[name] for name in ("status", "close_time")},
    ),
    "dispute known",
)
