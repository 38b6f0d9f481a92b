"""A payment, what was asked of its provider and what its customer's bank disputes, as values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID, uuid5

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.payment_pb2 import (
    CaptureMode,
    DisputeStatus,
    PaymentOperationState,
    PaymentState,
)

from services.runtime.currencies import format_money


class Kind(StrEnum):
    """What a provider may be asked to do with a payment: the word for it in rows, messages and keys."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    EXPIRE = "expire"


State: TypeAlias = PaymentState.ValueType
OperationState: TypeAlias = PaymentOperationState.ValueType
OPERATION_PENDING = PaymentOperationState.PAYMENT_OPERATION_STATE_PENDING
OPERATION_SUCCEEDED = PaymentOperationState.PAYMENT_OPERATION_STATE_SUCCEEDED
OPERATION_FAILED = PaymentOperationState.PAYMENT_OPERATION_STATE_FAILED
OPERATION_UNKNOWN = PaymentOperationState.PAYMENT_OPERATION_STATE_UNKNOWN
OPERATION_WAITING = PaymentOperationState.PAYMENT_OPERATION_STATE_WAITING
OPEN = (OPERATION_PENDING, OPERATION_UNKNOWN)
UNSETTLED = (*OPEN, OPERATION_WAITING)
DISPUTE_OPEN = DisputeStatus.DISPUTE_STATUS_OPEN
DISPUTE_WON = DisputeStatus.DISPUTE_STATUS_WON
DISPUTE_LOST = DisputeStatus.DISPUTE_STATUS_LOST
ON_ACCEPTANCE = CaptureMode.CAPTURE_MODE_ON_ACCEPTANCE
AT_ONCE = CaptureMode.CAPTURE_MODE_AT_ONCE
ON_SHIPMENT = CaptureMode.CAPTURE_MODE_ON_SHIPMENT
MANUAL = CaptureMode.CAPTURE_MODE_MANUAL
_OPERATIONS = UUID("3f1b6a52-5c0e-5d0b-9c57-6c8d1a0f2e44")
# What gives up the rest of what was authorized: for somebody's sake, or because its time is over.
VOIDS = (Kind.VOID, Kind.EXPIRE)


class Line(NamedTuple):
    """What a line of the order adds to the amount, in minor units. Shipping has no product."""

    product_id: str
    gross: int
    discount: int = 0
    tax: int = 0

    @property
    def total(self) -> int:
        """What it adds in all."""
        return self.gross - self.discount + self.tax


class Share(NamedTuple):
    """What a line of the order has of an amount, in minor units."""

    product_id: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """Money that the customer's bank took back, and whether it stays there; in minor units."""

    dispute_id: str
    status: DisputeStatus.ValueType
    amount: int
    fee: int
    reason: str
    provider_reference: str
    open_time: datetime
    close_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing asked of the provider; amounts in minor units. Its id is the provider's idempotency key.

    `lines` is how the amount of a capture or a refund is spread over the order's lines; after a `final` capture what is
    left is given up. `wanted` is what a return is worth, or is missing of that: the amount is so much, or what is left
    when the refund begins.
    """

    operation_id: str
    kind: Kind
    state: OperationState = OPERATION_PENDING
    amount: int
    attempts: int = 0
    traceparent: str = ""
    request_id: str | None = None
    create_time: datetime
    settle_time: datetime | None = None
    provider_reference: str = ""
    reason: str = ""
    failure_code: str = ""
    wanted: int = 0
    provider_message: str = ""
    provider_request_id: str = ""
    lines: tuple[Share, ...] = ()
    final: bool = False
    due_time: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether the provider is being asked, and its final word is still to come."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The money of one order; amounts in minor units. `cancelled` is the order, or has expired; not the payment.

    `captures_once`: the provider has told that one capture ends the authorization.
    """

    payment_id: str
    order_id: str
    store_id: str
    customer_id: str
    state: State
    amount: int
    currency_code: str
    captured: int = 0
    voided: int = 0
    refunded: int = 0
    disputed: int = 0
    charged_back: int = 0
    capture_mode: CaptureMode.ValueType = ON_ACCEPTANCE
    captures_once: bool = False
    lines: tuple[Line, ...] = ()
    expire_time: datetime | None = None
    gateway: str = ""
    payment_method: str = ""
    provider_reference: str = ""
    decline_code: str = ""
    next_action_url: str = ""
    client_secret: str = field(default="", repr=False)
    version: int = 1
    cancelled: bool = False
    create_time: datetime
    update_time: datetime
    operations: tuple[Operation, ...] = ()
    disputes: tuple[Dispute, ...] = ()

    @property
    def in_flight(self) -> Operation | None:
        """The open operation that the provider has not answered; one that waits for the customer is answered."""
        for operation in self.operations:
            if operation.open and not (operation.kind == Kind.AUTHORIZE and self.provider_reference):
                return operation
        return None

    def asked_under(self, request_id: str) -> Operation | None:
        """The operation that was asked for under an id, if there is one; the first attempt of several."""
        return next(iter(self.attempts(request_id)), None)

    def attempts(self, request_id: str) -> tuple[Operation, ...]:
        """The operations that were asked for under an id: several of a return, which is given back as money comes."""
        return tuple(one for one in self.operations if one.request_id == request_id)

    @property
    def pending(self) -> Operation | None:
        """The operation that is open, whether the provider's answer or the customer's is waited for."""
        return next((one for one in self.operations if one.open), None)

    @property
    def authorization(self) -> Operation:
        """The operation that asked for the money."""
        return next(one for one in self.operations if one.kind == Kind.AUTHORIZE)

    @property
    def capturable(self) -> int:
        """What was authorized and neither taken nor given up."""
        return self.amount - self.captured - self.voided

    @property
    def kept(self) -> int:
        """What was taken, and has not gone back to the customer, nor is held back."""
        return self.captured - self.refunded - self.disputed - self.charged_back

    def sum_in_words(self, minor_units: int) -> str:
        """Return a sum of this payment's currency as people write it."""
        return format_money(Money(currency_code=self.currency_code, minor_units=minor_units))

    def unsettled(self, kind: Kind) -> int:
        """Return what operations of a kind that are not settled will take, or give back."""
        return sum(one.amount for one in self.operations if one.kind == kind and one.state in UNSETTLED)

    def shares(self, kind: Kind, *states: OperationState) -> Mapping[str, int]:
        """Return how much of each line operations of a kind in these states have."""
        sums: dict[str, int] = {}
        for operation in self.operations:
            if operation.kind == kind and operation.state in states:
                for share in operation.lines:
                    sums[share.product_id] = sums.get(share.product_id, 0) + share.amount
        return sums

    def operation(self, operation_id: str) -> Operation:
        """Return the operation with this id."""
        return next(one for one in self.operations if one.operation_id == operation_id)

    def with_operation(self, operation: Operation) -> "Payment":
        """Return the payment with one operation more."""
        return replace(self, operations=(*self.operations, operation))

    def with_changed(self, operation: Operation) -> "Payment":
        """Return the payment with one of its operations as it is now."""
        ours = operation.operation_id
        operations = tuple(operation if one.operation_id == ours else one for one in self.operations)
        return replace(self, operations=operations)


def key_of(payment: Payment, kind: Kind, cause: str) -> str:
    """Return the id of an operation on a payment; `cause` is the id of the request, parcel … that wants it.

    When history was lost, by a restore or a fail-over, and the same happens again, the provider sees the same key. The
    payment is named by its order, which outlives it. Of several attempts for one cause each has its own key.
    """
    known = {operation.operation_id for operation in payment.operations}
    attempt = 1
    while (key := _key(payment.order_id, kind, cause, attempt)) in known:
        attempt += 1
    return key


def _key(*parts: object) -> str:
    return str(uuid5(_OPERATIONS, " ".join(map(str, parts))))
