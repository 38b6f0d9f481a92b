"""A payment and what was asked of its provider, as values."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from commerce.payment.v1.payment_pb2 import PaymentOperationState, PaymentState

from services.payment.ledger import Posting

State: TypeAlias = PaymentState.ValueType
OperationState: TypeAlias = PaymentOperationState.ValueType
OPERATION_PENDING = PaymentOperationState.PAYMENT_OPERATION_STATE_PENDING
OPERATION_SUCCEEDED = PaymentOperationState.PAYMENT_OPERATION_STATE_SUCCEEDED
OPERATION_FAILED = PaymentOperationState.PAYMENT_OPERATION_STATE_FAILED
OPERATION_UNKNOWN = PaymentOperationState.PAYMENT_OPERATION_STATE_UNKNOWN
OPERATION_WAITING = PaymentOperationState.PAYMENT_OPERATION_STATE_WAITING
OPEN = (OPERATION_PENDING, OPERATION_UNKNOWN)
UNSETTLED = (*OPEN, OPERATION_WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing asked of the provider; amounts in minor units. Its id is the provider's idempotency key."""

    operation_id: str
    kind: str
    state: OperationState = OPERATION_PENDING
    amount: int
    attempts: int = 0
    traceparent: str = ""
    request_id: str | None = None
    create_time: datetime
    settle_time: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether the provider is being asked, and its final word is still to come."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The money of one order; amounts in minor units. `cancelled` is the order, or has expired; not the payment."""

    payment_id: str
    order_id: str
    store_id: str
    customer_id: str
    state: State
    amount: int
    currency_code: str
    captured: int = 0
    refunded: int = 0
    gateway: str = ""
    payment_method: str = ""
    provider_reference: str = ""
    decline_code: str = ""
    next_action_url: str = ""
    version: int = 1
    cancelled: bool = False
    create_time: datetime
    update_time: datetime
    operations: tuple[Operation, ...] = ()

    @property
    def in_flight(self) -> Operation | None:
        """The open operation that the provider has not answered; one that waits for the customer is answered."""
        for operation in self.operations:
            if operation.open and not (operation.kind == "authorize" and self.provider_reference):
                return operation
        return None

    @property
    def waiting(self) -> Operation | None:
        """The operation that has waited longest for its turn."""
        return next((one for one in self.operations if one.state == OPERATION_WAITING), None)

    @property
    def promised(self) -> int:
        """What refunds that are not settled will give back."""
        return sum(one.amount for one in self.operations if one.kind == "refund" and one.state in UNSETTLED)

    def operation(self, operation_id: str) -> Operation:
        """Return the operation with this id."""
        return next(one for one in self.operations if one.operation_id == operation_id)

    def with_operation(self, operation: Operation) -> "Payment":
        """Return the payment with one operation more."""
        return replace(self, operations=(*self.operations, operation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What something changes: the payment, one of its operations, the books; and what follows.

    `begun` is an operation that waited, `next` the kind of a new one.
    """

    before: Payment
    payment: Payment
    operation: Operation
    postings: tuple[Posting, ...] = ()
    begun: Operation | None = None
    next: str = ""

    @property
    def moved(self) -> bool:
        """Whether the state is another one, or more was given back."""
        before, after = self.before, self.payment
        return (after.state, after.refunded) != (before.state, before.refunded)
