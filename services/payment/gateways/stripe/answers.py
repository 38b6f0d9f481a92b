"""What Stripe's objects tell, in our words. Pure. Everything here raises Malformed for what is no such object."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.payment.gateways.http import is_whole
from services.payment.gateways.stripe.amounts import Inexact, from_stripe
from services.payment.rules.outcomes import (
    DISPUTED,
    DisputeTold,
    Method,
    NeverSeen,
    Outcome,
    Refused,
    Status,
    Told,
    Unknown,
    Words,
)
from services.payment.rules.payment import DISPUTE_LOST, DISPUTE_OPEN, DISPUTE_WON, Kind, Operation, Payment
from services.runtime.ids import is_uuid

# Its time was over: Stripe says so ("automatic" before 2025), or we did, cancelling it for that.
OVER = frozenset({"expired", "automatic", "abandoned"})
DISPUTES = {
    "needs_response": DISPUTE_OPEN,
    "under_review": DISPUTE_OPEN,
    "appeal_needs_response": DISPUTE_OPEN,
    "appeal_under_review": DISPUTE_OPEN,
    "won": DISPUTE_WON,
    "lost": DISPUTE_LOST,
}


class Malformed(ValueError):
    """It is not the object that it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A payment intent, amounts in minor units. what its charge tells is known when that was expanded."""

    reference: str
    status: str
    amount: int
    received: int
    currency_code: str
    charge: str = ""
    refunded: int = 0
    expire_time: datetime | None = None
    captures_once: bool = False
    decline_code: str = ""
    next_action_url: str = ""
    client_secret: str = field(default="", repr=False)
    cancellation_reason: str = ""

    @property
    def standing(self) -> Status | None:
        """Return where it stands; None where that is no place of ours."""
        match self.status:
            case "requires_capture":
                return "captured" if self.received else "authorized"
            case "succeeded":
                return "captured"
            case "canceled":
                return "expired" if self.cancellation_reason in OVER else "voided"
            case "requires_payment_method":
                return "declined" if self.decline_code else None
            case "requires_action" | "processing":
                return self.status
        return None

    def told(self, status: Status, operation_reference: str = "") -> Told:
        """Return it as the answer to an operation."""
        return Told(
            status=status,
            reference=self.reference,
            amount=self.amount,
            currency_code=self.currency_code,
            captured=self.received,
            refunded=self.refunded,
            decline_code=self.decline_code if status == "declined" else "",
            next_action_url=self.next_action_url if status == "requires_action" else "",
            client_secret=self.client_secret if status == "requires_action" else "",
            operation_reference=operation_reference,
            expire_time=self.expire_time if status == "authorized" else None,
            captures_once=self.captures_once,
        )


def intent(value: Any) -> Intent:
    """Read a payment intent."""
    body = kind(value, "payment_intent")
    currency_code = currency(body)
    charge = body.get("latest_charge")
    expanded = kind(charge, "charge") if isinstance(charge, dict) else {}
    return Intent(
        reference=reference(body),
        status=text(body, "status"),
        amount=amount(body, "amount", currency_code),
        received=amount(body, "amount_received", currency_code),
        currency_code=currency_code,
        charge=reference(charge),
        refunded=amount(expanded, "amount_refunded", currency_code) if expanded else 0,
        expire_time=_capture_before(expanded),
        captures_once=_captures_once(expanded),
        decline_code=decline_code(body.get("last_payment_error")),
        next_action_url=_redirect(body.get("next_action")),
        client_secret=_secret(body.get("client_secret")),
        cancellation_reason=str(body.get("cancellation_reason") or ""),
    )


def authorization(read: Intent) -> Told | Unknown:
    """Return what became of an authorization."""
    standing = "authorized" if read.status == "requires_capture" and not read.received else read.standing
    if standing is None:
        return Unknown(f"the intent is {read.status}"[:100])
    return read.told(standing)


def capture(read: Intent) -> Told | Unknown:
    """Return what became of a capture."""
    if read.standing != "captured":
        return Unknown(f"the intent is {read.status}"[:100])
    return read.told("captured", read.charge)


def captured_before(read: Intent, operation: Operation, payment: Payment) -> Outcome | NeverSeen:
    """Tell by the sums whether a capture was done: while it is open, no other one is."""
    if read.received == payment.captured:
        return NeverSeen()
    if read.received == payment.captured + operation.amount:
        return capture(read)
    return Unknown(f"{read.received} is captured there, {payment.captured} here")


def given_up(read: Intent, operation: Operation, payment: Payment) -> Told | None:
    """Return what became of a void, or an expiry; None when nothing was given up, or all was taken."""
    if read.status == "canceled":
        return read.told("expired" if read.standing == "expired" else "voided")
    if read.status == "succeeded" and 0 < read.received == payment.captured < read.amount:
        return read.told("expired" if operation.kind == Kind.EXPIRE else "voided")
    return None


def refund(value: Any, of: Intent) -> Outcome:
    """Return what became of a refund."""
    body = kind(value, "refund")
    match text(body, "status"):
        case "succeeded":
            return of.told("refunded", reference(body))
        case "failed" | "canceled":
            reason = str(body.get("failure_reason") or "refund_failed")[:100]
            code = DISPUTED if reason == "charge_for_pending_refund_disputed" else reason
            return Refused(code, of.standing or "", Words(reason, getattr(value, "request_id", "")))
        case status:
            return Unknown(f"the refund is {status}"[:100])


def dispute(value: Any) -> DisputeTold | None:
    """Read a dispute; None of one that has taken no money: an inquiry, or what was prevented."""
    body = kind(value, "dispute")
    status = DISPUTES.get(text(body, "status"))
    if status is None:
        return None
    currency_code = currency(body)
    fees = [
        amount(each, "fee", currency_code)
        for each in items(body.get("balance_transactions") or [])
        if currency(each) == currency_code
    ]
    return DisputeTold(
        reference=reference(body),
        status=status,
        amount=amount(body, "amount", currency_code),
        currency_code=currency_code,
        fee=max(sum(fees), 0),
        reason=str(body.get("reason") or "")[:100],
    )


def method(value: Any) -> Method:
    """Read a payment method."""
    body = kind(value, "payment_method")
    card = body.get("card")
    if not isinstance(card, dict):
        return Method(brand=text(body, "type")[:40])
    month, year = card.get("exp_month"), card.get("exp_year")
    last_four = card.get("last4")
    if type(month) is not int or not 1 <= month <= 12 or type(year) is not int or not 0 < year < 10_000:
        raise Malformed("exp_month, exp_year")
    if not isinstance(last_four, str) or not re.fullmatch("[0-9]{4}", last_four):
        raise Malformed("last4")
    return Method(brand=text(card, "brand")[:40], last_four=last_four, expiry_month=month, expiry_year=year)


def kind(value: Any, name: str) -> dict[str, Any]:
    """Return an object of Stripe's with this name."""
    if not isinstance(value, dict) or value.get("object") != name:
        raise Malformed(f"no {name}")
    return value


def items(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Malformed("no list")
    return value


def text(body: Mapping[str, Any], field: str) -> str:
    """Return a text that is there."""
    value = body.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not is_whole(value):
        raise Malformed(field)
    return value


def reference(value: Any) -> str:
    """Return the id of an object, or of what may be expanded to one; empty of nothing."""
    if value is None or value == "":
        return ""
    name = value.get("id") if isinstance(value, dict) else value
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,200}", name, re.ASCII):
        raise Malformed("id")
    return name


def operation_id(body: Mapping[str, Any]) -> str:
    """Return our key, with which we have marked an object; empty of what is not ours."""
    metadata = body.get("metadata")
    key = metadata.get("operation_id") if isinstance(metadata, dict) else None
    return key if isinstance(key, str) and is_uuid(key) else ""


def currency(body: Mapping[str, Any]) -> str:
    """Return the ISO 4217 code."""
    code = text(body, "currency").upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise Malformed("currency")
    return code


def amount(body: Mapping[str, Any], field: str, currency_code: str) -> int:
    """Return an amount in minor units."""
    value = body.get(field)
    if type(value) is not int or abs(value) > 10**15:
        raise Malformed(field)
    try:
        return from_stripe(value, currency_code)
    except Inexact as problem:
        raise Malformed(str(problem)) from None


def moment(value: Any) -> datetime:
    """Return the time of a Unix timestamp."""
    if type(value) is not int or not 0 <= value < 1 << 36:
        raise Malformed("a time")
    return datetime.fromtimestamp(value, UTC)


def decline_code(error: Any) -> str:
    """Return why a card was declined; empty of no error."""
    if not isinstance(error, dict):
        return ""
    return str(error.get("decline_code") or error.get("code") or "declined")[:100]


def _capture_before(charge: Mapping[str, Any]) -> datetime | None:
    before = _card(charge).get("capture_before")
    return None if before is None else moment(before)


def _captures_once(charge: Mapping[str, Any]) -> bool:
    """Whether the first capture gives up the rest: not every account, nor every card, can be captured in parts."""
    several = _card(charge).get("multicapture")
    return bool(charge) and not (isinstance(several, dict) and several.get("status") == "available")


def _card(charge: Mapping[str, Any]) -> Mapping[str, Any]:
    details = charge.get("payment_method_details")
    card = details.get("card") if isinstance(details, dict) else None
    return card if isinstance(card, dict) else {}


def _secret(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"\w{1,500}", value, re.ASCII) else ""


def _redirect(action: Any) -> str:
    redirect = action.get("redirect_to_url") if isinstance(action, dict) else None
    url = redirect.get("url") if isinstance(redirect, dict) else None
    good = isinstance(url, str) and len(url) <= 2000 and url.startswith(("https://", "http://"))
    return str(url) if good else ""
