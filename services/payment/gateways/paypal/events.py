"""PayPal's webhooks as notices. Pure.

Most tell of one authorization, capture or refund, but not of all that was captured and refunded of the order: they
say only that something has happened.
"""

import re
from collections.abc import Mapping
from typing import Any

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import DisputeStatus

from services.payment.gateways.http import read_json
from services.payment.gateways.paypal.amounts import minor_units
from services.payment.gateways.paypal.orders import (
    ID,
    Malformed,
    amount_of,
    identifier,
    key_of,
    listed,
    mapping,
    order_named,
    time_of,
)
from services.payment.rules.outcomes import DisputeTold, Notice, Told
from services.runtime.refusals import Refusal

EVENT_ID = re.compile(r"[\x21-\x7e]{1,200}")
OURS = re.compile(r"(CHECKOUT\.(ORDER|PAYMENT-APPROVAL)|PAYMENT\.(AUTHORIZATION|CAPTURE|REFUND))\.[A-Z-]+")
DISPUTE = re.compile(r"CUSTOMER\.DISPUTE\.[A-Z-]+")
OF_REFUNDS = ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED")
WON = ("RESOLVED_SELLER_FAVOUR", "RESOLVED_WITH_PAYOUT", "CANCELED_BY_BUYER", "DENIED")
LOST = ("RESOLVED_BUYER_FAVOUR", "ACCEPTED")
FEES = ("DISPUTE_FEE", "CHARGEBACK_FEE", "DISPUTE_SETTLEMENT_FEE")


def read(body: bytes) -> Notice:
    """Read an event. Refused with WEBHOOK_MALFORMED."""
    try:
        event = mapping(read_json(body))
        event_id, event_type, resource = event["id"], event["event_type"], mapping(event["resource"])
        if not isinstance(event_id, str) or not EVENT_ID.fullmatch(event_id):
            raise Malformed("id")
        if not isinstance(event_type, str) or not EVENT_ID.fullmatch(event_type[:100]):
            raise Malformed("event_type")
        if DISPUTE.fullmatch(event_type):
            return _disputed(event_id, event_type, resource)
        if OURS.fullmatch(event_type):
            return _happened(event_id, event_type, resource)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Malformed) as error:
        raise malformed(str(error) if isinstance(error, Malformed) else type(error).__name__) from None
    return Notice(event_id=event_id, type=event_type[:100])


def _happened(event_id: str, event_type: str, resource: Mapping[str, Any]) -> Notice:
    """Read what happened to an order, or to what was made of it."""
    order_id, operation_id = _order_id(event_type, resource), _operation_id(event_type, resource)
    told = None
    if event_type == "PAYMENT.AUTHORIZATION.CREATED" and resource.get("status") == "CREATED" and order_id:
        told = _authorized(order_id, resource) if operation_id else None
    return Notice(
        event_id=event_id,
        type=event_type[:100],
        operation_id=operation_id,
        charge_reference=order_id,
        told=told,
        ask=told is None and bool(order_id or operation_id),
    )


def _authorized(order_id: str, resource: Mapping[str, Any]) -> Told:
    amount = mapping(resource.get("amount"))
    return Told(
        status="authorized",
        reference=order_id,
        amount=amount_of(amount, amount.get("currency_code")),
        currency_code=str(amount["currency_code"]),
        operation_reference=identifier(resource.get("id")),
        expire_time=time_of(resource.get("expiration_time")),
    )


def _order_id(event_type: str, resource: Mapping[str, Any]) -> str:
    if event_type.startswith("CHECKOUT.ORDER."):
        return _id(resource.get("id"))
    related = mapping(mapping(resource.get("supplementary_data") or {}).get("related_ids") or {})
    return _id(related.get("order_id") or resource.get("order_id"))


def _operation_id(event_type: str, resource: Mapping[str, Any]) -> str:
    """Return the operation that made this. A capture names its own by its invoice, and its order's by custom_id."""
    if event_type.startswith("CHECKOUT.ORDER."):
        units = listed(resource.get("purchase_units"))
        return key_of(mapping(units[0]).get("custom_id")) if units else ""
    if event_type.startswith("PAYMENT.CAPTURE.") and event_type not in OF_REFUNDS:
        return key_of(resource.get("invoice_id"))
    return key_of(resource.get("custom_id"))


def _disputed(event_id: str, event_type: str, resource: Mapping[str, Any]) -> Notice:
    """Read how a dispute stands. The payment is found by what the order or the capture was given as ids of ours."""
    transactions = [mapping(one) for one in listed(resource.get("disputed_transactions"))]
    keys = [key_of(one.get(name)) for name in ("custom", "invoice_number") for one in transactions]
    orders = [order_named(one.get("invoice_number")) for one in transactions]
    captures = [_id(one.get("seller_transaction_id")) for one in transactions]
    money = mapping(resource.get("dispute_amount"))
    currency_code = money.get("currency_code")
    dispute = DisputeTold(
        reference=identifier(resource.get("dispute_id")),
        status=_status(resource),
        amount=amount_of(money, currency_code),
        currency_code=str(currency_code),
        fee=sum(_fee(mapping(one), currency_code) for one in listed(resource.get("money_movements"))),
        reason=str(resource.get("reason") or "")[:100],
    )
    return Notice(
        event_id=event_id,
        type=event_type[:100],
        operation_id=next(filter(None, keys), ""),
        charge_reference=next(filter(None, orders + captures), ""),
        dispute=dispute,
    )


def _status(resource: Mapping[str, Any]) -> DisputeStatus.ValueType:
    """Return how a dispute stands; one that was resolved in no way that we know stays open, for a person to see."""
    outcome = mapping(resource.get("dispute_outcome") or {}).get("outcome_code")
    if resource.get("status") == "RESOLVED" and outcome in WON:
        return DisputeStatus.DISPUTE_STATUS_WON
    if resource.get("status") == "RESOLVED" and outcome in LOST:
        return DisputeStatus.DISPUTE_STATUS_LOST
    return DisputeStatus.DISPUTE_STATUS_OPEN


def _fee(movement: Mapping[str, Any], currency_code: Any) -> int:
    """Return what a movement of money took from us as a fee."""
    ours = movement.get("affected_party") == "SELLER" and movement.get("reason") in FEES
    amount = mapping(movement.get("amount") or {})
    if not ours or amount.get("currency_code") != currency_code:
        return 0
    fee = abs(minor_units(amount.get("value"), currency_code) or 0)
    return fee if movement.get("type") == "DEBIT" else -fee


def _id(value: Any) -> str:
    return value if isinstance(value, str) and ID.fullmatch(value) else ""


def malformed(cause: str) -> Refusal:
    """Refuse a webhook for its body."""
    return Refusal(ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED, "The body is no event", cause=cause)
