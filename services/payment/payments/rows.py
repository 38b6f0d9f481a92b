"""Payments, operations, disputes and changes as their rows have them, and back. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.payment.rules.change import Change
from services.payment.rules.life import REQUIRES_ACTION
from services.payment.rules.payment import Dispute, Kind, Line, Operation, Payment, Share
from services.runtime import cards

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


def values_of(payment: Payment) -> dict[str, Any]:
    """Return a payment as its row has it."""
    values = {column: getattr(payment, field) for column, field in FIELDS.items()}
    return values | {"lines": json.dumps(payment.lines)}


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


def values_of_words(message: str, request_id: str) -> dict[str, Any]:
    """Return what a provider said as an operation's row has it: no longer than the contract, and no card in it."""
    return {
        "provider_message": _storable(cards.masked(message))[:1000],
        "provider_request_id": _storable(request_id)[:200],
    }


def _storable(text: str) -> str:
    """Return a foreign text without what PostgreSQL does not store: NUL, and surrogates that stand alone."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


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
        "next_lines": json.dumps(change.next.lines) if change.next else "[]",
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
        "reason": operation.reason,
        "lines": json.dumps(operation.lines),
        "final": operation.final,
        "wanted_minor_units": operation.wanted,
    }
