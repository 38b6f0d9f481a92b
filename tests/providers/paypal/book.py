"""What PayPal knows: orders, authorizations, captures, refunds, disputes, payment tokens, transactions."""

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.providers.paypal.errors import not_found
from tests.providers.paypal.money import Money

Json = dict[str, Any]
Announce = Callable[[str, str, Json, str], None]

HONOR_PERIOD = timedelta(days=3)
AUTHORIZATION_LIFE = timedelta(days=29)


@dataclass
class Unit:
    reference_id: str
    amount: Money
    asked: Json
    custom_id: str = ""
    invoice_id: str = ""
    authorizations: list["Authorization"] = field(default_factory=list)
    captures: list["Capture"] = field(default_factory=list)


@dataclass
class Order:
    id: str
    intent: str
    units: list[Unit]
    source: Json
    context: Json
    status: str
    created: datetime
    updated: datetime
    paid_with: "PaymentToken | None" = None
    vaulted: "PaymentToken | None" = None


@dataclass
class Authorization:
    id: str
    order: Order
    unit: Unit
    amount: Money
    status: str
    created: datetime
    updated: datetime
    expires: datetime
    reason: str = ""
    response_code: str = ""
    expired: bool = False
    voided_minor_units: int = 0
    renewed_from: "Authorization | None" = None
    captures: list["Capture"] = field(default_factory=list)
    renewals: list["Authorization"] = field(default_factory=list)

    def family(self) -> list["Authorization"]:
        """The original and its reauthorizations: one claim on the payer's money."""
        original = self.renewed_from or self
        return [original, *original.renewals]

    def captured(self) -> int:
        captures = [c for one in self.family() for c in one.captures]
        return sum(c.amount.minor_units for c in captures if c.status not in {"DECLINED", "FAILED"})


@dataclass
class Capture:
    id: str
    order: Order
    unit: Unit
    authorization: Authorization | None
    amount: Money
    final: bool
    status: str
    created: datetime
    updated: datetime
    fee: int = 0
    invoice_id: str = ""
    note: str = ""
    reason: str = ""
    response_code: str = ""
    refunds: list["Refund"] = field(default_factory=list)
    disputes: list["Dispute"] = field(default_factory=list)

    def refunded(self) -> int:
        return sum(r.amount.minor_units for r in self.refunds if r.status in {"COMPLETED", "PENDING"})

    def taken_back(self) -> int:
        return sum(d.amount.minor_units for d in self.disputes if d.lost)


@dataclass
class Refund:
    id: str
    capture: Capture
    amount: Money
    status: str
    created: datetime
    updated: datetime
    invoice_id: str = ""
    custom_id: str = ""
    note: str = ""


@dataclass
class Dispute:
    id: str
    capture: Capture
    amount: Money
    reason: str
    stage: str
    status: str
    created: datetime
    updated: datetime
    outcome: str = ""

    @property
    def lost(self) -> bool:
        return self.outcome == "RESOLVED_BUYER_FAVOUR"


@dataclass
class PaymentToken:
    id: str
    customer_id: str
    source: Json
    created: datetime


@dataclass
class Transaction:
    """A line of the report. Tests may alter, add or remove one to plant a difference."""

    transaction_id: str
    reference_id: str
    reference_type: str
    event_code: str
    time: datetime
    currency: str
    amount_minor_units: int
    fee_minor_units: int = 0
    status: str = "S"
    invoice_id: str = ""
    custom_id: str = ""


@dataclass(frozen=True)
class Totals:
    """One order's sums in minor units. `disputed` is open or lost; `lost` is gone for good."""

    order_id: str
    reference_id: str
    custom_id: str
    invoice_id: str
    currency: str
    authorized: int = 0
    voided: int = 0
    captured: int = 0
    refunded: int = 0
    disputed: int = 0
    lost: int = 0
    fees: int = 0


class Book:
    def __init__(self) -> None:
        self.url = ""
        self.offset = timedelta()
        self.announce: Announce = lambda event_type, resource_type, resource, summary: None
        self.orders: dict[str, Order] = {}
        self.authorizations: dict[str, Authorization] = {}
        self.captures: dict[str, Capture] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, Dispute] = {}
        self.tokens: dict[str, PaymentToken] = {}
        self.transactions: list[Transaction] = []
        self.invoices: set[tuple[str, str]] = set()
        self.fees_of_disputes: dict[str, int] = {}

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def order(self, order_id: str) -> Order:
        if order_id not in self.orders:
            raise not_found("order_id")
        return self.orders[order_id]

    def authorization(self, authorization_id: str) -> Authorization:
        if authorization_id not in self.authorizations:
            raise not_found("authorization_id")
        return self.authorizations[authorization_id]

    def capture(self, capture_id: str) -> Capture:
        if capture_id not in self.captures:
            raise not_found("capture_id")
        return self.captures[capture_id]

    def refund(self, refund_id: str) -> Refund:
        if refund_id not in self.refunds:
            raise not_found("refund_id")
        return self.refunds[refund_id]

    def totals(self, order: Order) -> Totals:
        authorizations = [
            a
            for unit in order.units
            for a in unit.authorizations
            if a.status not in {"DENIED", "PENDING"} and a.renewed_from is None
        ]
        captures = [
            c
            for unit in order.units
            for c in unit.captures
            if c.status not in {"DECLINED", "FAILED", "PENDING"}
        ]
        disputes = [d for c in captures for d in c.disputes]
        first = order.units[0]
        return Totals(
            order_id=order.id,
            reference_id=first.reference_id,
            custom_id=first.custom_id,
            invoice_id=first.invoice_id,
            currency=first.amount.currency,
            authorized=sum(a.amount.minor_units for a in authorizations),
            voided=sum(a.voided_minor_units for a in authorizations),
            captured=sum(c.amount.minor_units for c in captures),
            refunded=sum(
                r.amount.minor_units for c in captures for r in c.refunds if r.status == "COMPLETED"
            ),
            disputed=sum(d.amount.minor_units for d in disputes if d.lost or not d.outcome),
            lost=sum(d.amount.minor_units for d in disputes if d.lost),
            fees=sum(c.fee for c in captures) + self.fees_of_disputes.get(order.id, 0),
        )


def new_id(length: int = 17) -> str:
    return "".join(secrets.choice(string.digits + string.ascii_uppercase) for _ in range(length))


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
