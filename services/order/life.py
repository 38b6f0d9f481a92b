"""The life of an order: its states, which step leads from which to which, and what is refused. Pure."""

from collections.abc import Mapping

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import OrderState

from services.runtime.refusals import Refusal

PENDING = OrderState.ORDER_STATE_PENDING
RESERVED = OrderState.ORDER_STATE_RESERVED
AWAITING_CUSTOMER = OrderState.ORDER_STATE_AWAITING_CUSTOMER
PAYMENT_UNKNOWN = OrderState.ORDER_STATE_PAYMENT_UNKNOWN
CONFIRMED = OrderState.ORDER_STATE_CONFIRMED
ACCEPTED = OrderState.ORDER_STATE_ACCEPTED
SHIPPED = OrderState.ORDER_STATE_SHIPPED
DELIVERED = OrderState.ORDER_STATE_DELIVERED
REJECTED = OrderState.ORDER_STATE_REJECTED
PAYMENT_FAILED = OrderState.ORDER_STATE_PAYMENT_FAILED
CANCELLED = OrderState.ORDER_STATE_CANCELLED
EXPIRED = OrderState.ORDER_STATE_EXPIRED
RETURNED = OrderState.ORDER_STATE_RETURNED

STATES = OrderState
START = PENDING
# Where a watch ends: nothing moves by itself any more. From DELIVERED units may still come back.
ENDS = frozenset((DELIVERED, REJECTED, PAYMENT_FAILED, CANCELLED, EXPIRED, RETURNED))
UNPAID = (RESERVED, AWAITING_CUSTOMER, PAYMENT_UNKNOWN)
# It came to nothing: its coupon may be used again.
FAILED = (REJECTED, PAYMENT_FAILED, CANCELLED, EXPIRED)
# Some units were sent: there are shipments, and may be returns.
SENT = (SHIPPED, DELIVERED, RETURNED)

# The whole life of an order. A step that is not here is refused.
LIFE: Mapping[tuple[str, OrderState.ValueType], OrderState.ValueType] = {
    ("reserve", PENDING): RESERVED,
    ("reject", PENDING): REJECTED,
    ("authorize", RESERVED): CONFIRMED,
    ("authorize", AWAITING_CUSTOMER): CONFIRMED,
    ("authorize", PAYMENT_UNKNOWN): CONFIRMED,
    ("decline", RESERVED): PAYMENT_FAILED,
    ("decline", AWAITING_CUSTOMER): PAYMENT_FAILED,
    ("decline", PAYMENT_UNKNOWN): PAYMENT_FAILED,
    ("challenge", RESERVED): AWAITING_CUSTOMER,
    ("challenge", PAYMENT_UNKNOWN): AWAITING_CUSTOMER,
    ("lose", RESERVED): PAYMENT_UNKNOWN,
    ("accept", CONFIRMED): ACCEPTED,  # Payment captures on OrderAccepted, the catalog commits the units.
    ("ship", ACCEPTED): SHIPPED,
    ("ship", SHIPPED): SHIPPED,  # Another parcel.
    ("assign_courier", SHIPPED): SHIPPED,
    ("deliver_parcel", SHIPPED): SHIPPED,  # Something is still to be sent or on its way.
    ("deliver", SHIPPED): DELIVERED,
    ("return_part", SHIPPED): SHIPPED,
    ("return_part", DELIVERED): DELIVERED,  # Payment refunds on OrderReturned, the catalog puts on the shelf.
    ("return", SHIPPED): RETURNED,
    ("return", DELIVERED): RETURNED,
    ("apply_coupon", PENDING): PENDING,
    ("expire", PENDING): EXPIRED,
    ("expire", RESERVED): EXPIRED,  # Payment voids or refunds on OrderExpired, the catalog gives back.
    ("expire", AWAITING_CUSTOMER): EXPIRED,
    ("expire", PAYMENT_UNKNOWN): EXPIRED,
    ("cancel", PENDING): CANCELLED,
    ("cancel", RESERVED): CANCELLED,
    ("cancel", AWAITING_CUSTOMER): CANCELLED,
    ("cancel", PAYMENT_UNKNOWN): CANCELLED,
    ("cancel", CONFIRMED): CANCELLED,  # Payment voids or refunds on OrderCancelled, the catalog gives back.
    ("cancel", ACCEPTED): CANCELLED,
}

# What its timeline tells of an order's money: nothing moves by it.
NOTES = frozenset(("uncover", "cover", "withhold", "dispute", "win_dispute", "lose_dispute"))
# It was paid for, or promised, and did not come to nothing: what becomes of the money concerns the store.
PAID = (CONFIRMED, ACCEPTED, SHIPPED, DELIVERED, RETURNED)

# News that comes late or twice: known, and nothing moves.
LATE: frozenset[tuple[str, OrderState.ValueType]] = frozenset(
    {
        ("authorize", state)
        for state in (CONFIRMED, ACCEPTED, SHIPPED, DELIVERED, CANCELLED, EXPIRED, RETURNED)
    }
    | {("decline", state) for state in (PAYMENT_FAILED, CANCELLED, EXPIRED)}
    | {("challenge", AWAITING_CUSTOMER)}
    | {("lose", state) for state in (PAYMENT_UNKNOWN, AWAITING_CUSTOMER)}
)


def step(name: str, state: OrderState.ValueType) -> OrderState.ValueType | None:
    """Return the state that a step leads to; None when it is late news. Refused with ORDER_STEP_NOT_ALLOWED."""
    if (name, state) in LATE:
        return None
    try:
        return LIFE[name, state]
    except KeyError:
        message = f"An order that is {name_of(state)} cannot take the step {name}"
        raise not_allowed(name, state, message) from None


def not_allowed(name: str, state: OrderState.ValueType, message: str) -> Refusal:
    """Refuse a step."""
    return Refusal(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, message, step=name, state=name_of(state))


def name_of(state: OrderState.ValueType) -> str:
    """Return a state's name as people say it: CONFIRMED."""
    return OrderState.Name(state).removeprefix("ORDER_STATE_")
