"""Payments as they are read, locked and taken up: the SQL by name, and what its rows are."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Float, Integer, all_, and_, func, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by

from services.payment.rules.life import REQUIRES_ACTION
from services.payment.rules.payment import Dispute, Kind, Line, Operation, Payment, Share
from services.payment.tables.payments import OPEN, disputes, operations, payments
from services.runtime.columns import TEXTS
from services.runtime.statements import param, statement

_is_open = text(OPEN)

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
    "voided_minor_units": "voided",
    "refunded_minor_units": "refunded",
    "disputed_minor_units": "disputed",
    "charged_back_minor_units": "charged_back",
    "capture_mode": "capture_mode",
    "captures_once": "captures_once",
    "expire_time": "expire_time",
    "gateway": "gateway",
    "payment_method": "payment_method",
    "provider_reference": "provider_reference",
    "decline_code": "decline_code",
    "next_action_url": "next_action_url",
    "client_secret": "client_secret",
    "version": "version",
    "cancelled": "cancelled",
    "create_time": "create_time",
    "update_time": "update_time",
}


def seconds_from_now(seconds: Any) -> Any:
    """Return a time of the database's, so many seconds from now: a column, or the parameter that is named so."""
    seconds = param(seconds, Float) if isinstance(seconds, str) else seconds
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


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


def payment_of(rows: Sequence[Mapping[str, Any]]) -> Payment | None:
    """Return the payment that these rows are, with its operations and disputes."""
    if not rows:
        return None
    row = rows[0]
    fields = {field: row[column] for column, field in FIELDS.items()}
    for field in ("payment_id", "order_id", "store_id", "customer_id"):
        fields[field] = str(fields[field])
    if fields["state"] != REQUIRES_ACTION:
        # A replica of before there were secrets leaves one where it was: nobody is told, the next change clears it.
        fields["client_secret"] = ""
    return Payment(
        **fields,
        lines=tuple(Line(*line) for line in json.loads(row["lines"])),
        operations=tuple(_operation_of(each) for each in rows if each.get("operation_id")),
        disputes=tuple(_dispute_of(each) for each in json.loads(row.get("disputes") or "[]")),
    )


def whole(row: Mapping[str, Any]) -> Payment:
    """Return the payment that one row is, with the operation that stands in it, if any."""
    payment = payment_of([row])
    assert payment is not None
    return payment


def _operation_of(row: Mapping[str, Any]) -> Operation:
    return Operation(
        operation_id=str(row["operation_id"]),
        kind=Kind(row["kind"]),
        state=row["operation_state"],
        amount=row["operation_amount_minor_units"],
        attempts=row["attempts"],
        traceparent=row["traceparent"],
        request_id=str(row["request_id"]) if row["request_id"] else None,
        create_time=row["operation_create_time"],
        settle_time=row["settle_time"],
        due_time=row["due_time"],
        provider_reference=row["operation_provider_reference"],
        reason=row["reason"],
        failure_code=row["failure_code"],
        wanted=row["wanted_minor_units"],
        provider_message=row["provider_message"],
        provider_request_id=row["provider_request_id"],
        final=row["final"],
        lines=tuple(Share(*share) for share in json.loads(row["operation_lines"])),
    )


def _dispute_of(row: Mapping[str, Any]) -> Dispute:
    """Return the dispute that a row is, as JSON has it."""
    return Dispute(
        dispute_id=row["dispute_id"],
        status=row["status"],
        amount=row["amount_minor_units"],
        fee=row["fee_minor_units"],
        reason=row["reason"],
        provider_reference=row["provider_reference"],
        open_time=datetime.fromisoformat(row["open_time"]),
        close_time=datetime.fromisoformat(row["close_time"]) if row["close_time"] else None,
    )


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
    .values(attempts=operations.c.attempts + 1, due_time=seconds_from_now("lease_seconds"))
    .returning(
        operations.c.operation_id, operations.c.payment_id, operations.c.gateway, operations.c.store_id
    ),
    "operations due",
)
OPERATION_TAKEN = statement(
    update(operations)
    .where(operations.c.operation_id == param("operation_id"), _is_open)
    .values(attempts=operations.c.attempts + 1, due_time=seconds_from_now("lease_seconds"))
    .returning(operations.c.operation_id),
    "operation taken",
)
OPERATION_LATER = statement(
    update(operations)
    .where(operations.c.operation_id == param("operation_id"), _is_open)
    .values(due_time=seconds_from_now("due_seconds")),
    "operation later",
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
    .values(expire_time=seconds_from_now("seconds")),
    "expiry later",
)
