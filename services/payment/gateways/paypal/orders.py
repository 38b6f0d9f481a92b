"""PayPal's orders as values: what was authorized, captured and refunded of one. Pure.

An order (checkout/orders v2) is what we call a charge. Its one purchase unit lists the authorization, and the captures
and refunds made of it, each with the ids that we gave it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.payment.gateways.paypal.amounts import minor_units
from services.payment.gateways.paypal.declines import PROCESSOR
from services.payment.rules.outcomes import Status, Told
from services.runtime.ids import is_uuid

ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
CAPTURE_LINK = re.compile(r"/v2/payments/captures/([0-9A-Za-z_-]{1,100})$")
KEY_LENGTH = 36
# Between the parts of an invoice's id: the operation, the order, and of a refund the capture.
MARK = ":"
# Captures whose money has come; what was refunded of them is told by the refunds.
CAME = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")


class Malformed(Exception):
    """What PayPal sent is not what it documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """What the customer has promised."""

    id: str
    status: str
    reason: str
    expire_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A capture, or a refund of one; `key` is the operation that asked for it, "" for none of ours."""

    id: str
    status: str
    reason: str
    amount: int
    key: str
    capture_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as it is; amounts in minor units."""

    id: str
    status: str
    amount: int
    currency_code: str
    action_url: str
    authorization: Authorization | None = None
    captures: tuple[Piece, ...] = ()
    refunds: tuple[Piece, ...] = ()

    @property
    def captured(self) -> int:
        """What has come of it."""
        return sum(one.amount for one in self.captures if one.status in CAME)

    @property
    def refunded(self) -> int:
        """What has gone back."""
        return sum(one.amount for one in self.refunds if one.status == "COMPLETED")

    @property
    def given_up(self) -> bool:
        """Whether the rest of what was authorized has been let go: by us, or because its time was over."""
        authorization = self.authorization
        if authorization is None:
            return self.status == "VOIDED"
        closed = authorization.status == "CAPTURED" and self.captured < self.amount
        return authorization.status == "VOIDED" or closed

    @property
    def charge(self) -> str:
        """Its status in our words, for a refusal."""
        if self.captured:
            return "refunded" if self.refunded >= self.captured else "captured"
        if self.given_up:
            return "voided"
        if self.authorization is None:
            return "requires_action"
        return {"DENIED": "declined", "PENDING": "processing"}.get(self.authorization.status, "authorized")

    def told(self, status: Status, operation_reference: str = "", **more: Any) -> Told:
        """Return what it tells of an operation."""
        return Told(
            status=status,
            reference=self.id,
            amount=self.amount,
            currency_code=self.currency_code,
            captured=self.captured,
            refunded=self.refunded,
            operation_reference=operation_reference,
            **more,
        )

    def with_capture(self, capture: Piece) -> "Order":
        """Return it with what a capture was answered."""
        return replace(self, captures=(*self.captures, capture))

    def with_refund(self, refund: Piece) -> "Order":
        """Return it with what a refund was answered."""
        return replace(self, refunds=(*self.refunds, refund))

    def rests(self) -> list[tuple[str, int]]:
        """Return what of each capture can still go back, the first capture first; what is on its way has gone."""
        gone: dict[str, int] = {}
        for refund in self.refunds:
            if refund.status not in ("FAILED", "CANCELLED"):
                gone[refund.capture_id] = gone.get(refund.capture_id, 0) + refund.amount
        return [
            (capture.id, capture.amount - gone.get(capture.id, 0))
            for capture in self.captures
            if capture.status in CAME
        ]


def spread(amount: int, rests: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Spread a refund over captures, the first one first; empty when they have not enough."""
    parts = []
    for capture_id, rest in rests:
        part = min(amount, rest)
        if part > 0:
            parts.append((capture_id, part))
            amount -= part
    return [] if amount else parts


def order_of(body: Mapping[str, Any]) -> Order:
    """Read an order. Raises Malformed."""
    unit = first(body.get("purchase_units"))
    payments = mapping(unit.get("payments") or {})
    authorizations = listed(payments.get("authorizations"))
    # The answer to an authorization need not repeat the order's amount.
    of_amount = mapping(unit["amount"] if "amount" in unit else first(authorizations).get("amount"))
    currency_code = of_amount.get("currency_code")
    return Order(
        id=identifier(body.get("id")),
        status=identifier(body.get("status")),
        amount=amount_of(of_amount, currency_code),
        currency_code=str(currency_code),
        action_url=action_url(body),
        authorization=_authorization(mapping(authorizations[-1])) if authorizations else None,
        captures=tuple(capture_of(mapping(one), currency_code) for one in listed(payments.get("captures"))),
        refunds=tuple(refund_of(mapping(one), currency_code) for one in listed(payments.get("refunds"))),
    )


def capture_of(body: Mapping[str, Any], currency_code: Any) -> Piece:
    """Read a capture. Its invoice is its operation; custom_id is that of the whole order. Raises Malformed."""
    return Piece(
        id=identifier(body.get("id")),
        status=identifier(body.get("status")),
        reason=reason_of(body),
        amount=amount_of(mapping(body.get("amount")), currency_code),
        key=key_of(body.get("invoice_id")),
    )


def refund_of(body: Mapping[str, Any], currency_code: Any, capture_id: str = "") -> Piece:
    """Read a refund, of `capture_id` where it need not say so itself. Raises Malformed."""
    links = [link for link in listed(body.get("links")) if isinstance(link, dict) and link.get("rel") == "up"]
    up = CAPTURE_LINK.search(str(links[0].get("href"))) if links else None
    named = _invoice(body.get("invoice_id"))
    return Piece(
        id=identifier(body.get("id")),
        status=identifier(body.get("status")),
        reason=reason_of(body),
        amount=amount_of(mapping(body.get("amount")), currency_code),
        key=key_of(body.get("custom_id")) or key_of(body.get("invoice_id")),
        capture_id=capture_id or identifier(up[1] if up else named[2]),
    )


def _authorization(body: Mapping[str, Any]) -> Authorization:
    return Authorization(
        id=identifier(body.get("id")),
        status=identifier(body.get("status")),
        reason=reason_of(body),
        expire_time=time_of(body.get("expiration_time")),
    )


def reason_of(body: Mapping[str, Any]) -> str:
    """Return why something is not done: the processor's word where there is one, in small letters."""
    processor, details = body.get("processor_response"), body.get("status_details")
    code = processor.get("response_code") if isinstance(processor, dict) else None
    reason = details.get("reason") if isinstance(details, dict) else None
    return PROCESSOR.get(str(code), str(code or reason or "")[:100].lower())


def action_url(body: Mapping[str, Any]) -> str:
    """Return where the customer approves an order; "" where there is no such place."""
    found = {}
    for link in listed(body.get("links")):
        if isinstance(link, dict) and isinstance(link.get("href"), str):
            found[str(link.get("rel"))] = link["href"]
    url = found.get("payer-action") or found.get("approve") or ""
    return url if len(url) <= 2000 else ""


def invoice_of(operation_id: str, order_id: str, capture_id: str = "") -> str:
    """Return the invoice id of a capture or a refund: unique, and the one place where a report names the order."""
    return MARK.join(filter(None, (operation_id, order_id, capture_id)))


def key_of(value: Any) -> str:
    """Return the operation that an id of ours names; "" for others' ids."""
    return _invoice(value)[0]


def order_named(value: Any) -> str:
    """Return the order that an invoice id of ours names; "" for others' ids."""
    key, order_id, _ = _invoice(value)
    return order_id if key and ID.fullmatch(order_id) else ""


def _invoice(value: Any) -> tuple[str, str, str]:
    key, order_id, capture_id, *_ = (*(value if isinstance(value, str) else "").split(MARK), "", "")
    return key if len(key) == KEY_LENGTH and is_uuid(key) else "", order_id, capture_id


def amount_of(money: Mapping[str, Any], currency_code: Any) -> int:
    """Read an amount of this currency. Raises Malformed."""
    amount = minor_units(money.get("value"), currency_code)
    if amount is None or money.get("currency_code") != currency_code:
        raise Malformed("an amount")
    return amount


def time_of(value: Any) -> datetime | None:
    """Read a time; None where there is none that is one."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else None


def identifier(value: Any) -> str:
    """Read an id or a status. Raises Malformed."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise Malformed("an id or a status")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """Read an object. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed("an object")
    return value


def listed(value: Any) -> list[Any]:
    """Read an array; none is an empty one. Raises Malformed."""
    if not isinstance(value, list | None):
        raise Malformed("an array")
    return value or []


def first(value: Any) -> dict[str, Any]:
    """Read the first object of an array. Raises Malformed."""
    return mapping(next(iter(listed(value)), None))
