"""The rules of an order: its life, its prices, what a payment's state means for it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1 import order_events_pb2 as events
from commerce.order.v1.order_pb2 import Order, OrderLine, OrderState
from commerce.order.v1.order_service_pb2 import CreateOrderLine
from commerce.payment.v1.payment_pb2 import PaymentState

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

# The fact that a step publishes. The others are nobody else's business.
EVENTS: Mapping[str, Any] = {
    "authorize": events.OrderConfirmed,
    "reject": events.OrderRejected,
    "decline": events.OrderPaymentFailed,
    "accept": events.OrderAccepted,
    "ship": events.OrderShipped,
    "deliver": events.OrderDelivered,
    "cancel": events.OrderCancelled,
    "expire": events.OrderExpired,
}

# What a payment's state means for its order.
_STEPS: Mapping[PaymentState.ValueType, str] = {
    PaymentState.PAYMENT_STATE_PENDING: "lose",
    PaymentState.PAYMENT_STATE_UNKNOWN: "lose",
    PaymentState.PAYMENT_STATE_REQUIRES_ACTION: "challenge",
    PaymentState.PAYMENT_STATE_AUTHORIZED: "authorize",
    PaymentState.PAYMENT_STATE_CAPTURED: "authorize",
    PaymentState.PAYMENT_STATE_FAILED: "decline",
    PaymentState.PAYMENT_STATE_VOIDED: "decline",
    PaymentState.PAYMENT_STATE_REFUNDED: "decline",
}

LARGEST_TOTAL = 1_000_000_000_000_000


def step(name: str, state: OrderState.ValueType) -> OrderState.ValueType | None:
    """Return the state that a step leads to; None when it is late news. Refused with ORDER_STEP_NOT_ALLOWED."""
    if (name, state) in LATE:
        return None
    try:
        return LIFE[name, state]
    except KeyError:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED,
            f"An order that is {name_of(state)} cannot take the step {name}",
            step=name,
            state=name_of(state),
        ) from None


def name_of(state: OrderState.ValueType) -> str:
    """Return a state's name as people say it: CONFIRMED."""
    return OrderState.Name(state).removeprefix("ORDER_STATE_")


def payment_step(state: PaymentState.ValueType) -> str:
    """Return the step that an order takes for its payment's state."""
    return _STEPS[state]


def event(name: str, order: Order, reason: str) -> Any:
    """Return the event that a step of an order publishes, or None."""
    kind = EVENTS.get(name)
    if kind is None:
        return None
    about = reference(order)
    return (
        kind(order=about, reason=reason) if "reason" in kind.DESCRIPTOR.fields_by_name else kind(order=about)
    )


def reference(order: Order) -> events.OrderReference:
    """Return what every event tells of its order."""
    return events.OrderReference(
        order_id=order.order_id,
        store_id=order.store_id,
        customer_id=order.customer_id,
        sequence=order.sequence,
        total=order.total,
    )


def lines(wanted: Sequence[CreateOrderLine], products: Mapping[str, Mapping[str, Any]]) -> list[OrderLine]:
    """Snapshot what is wanted, at the catalog's names and prices. Refused with PRODUCT_NOT_FOUND."""
    snapshot = []
    for line in wanted:
        product = products.get(line.product_id.lower())
        if product is None:
            raise Refusal(
                ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND,
                f"There is no product {line.product_id}",
                product_id=line.product_id,
            )
        price = Money(currency_code=product["currency_code"], minor_units=product["price_minor_units"])
        snapshot.append(
            OrderLine(
                product_id=str(product["product_id"]),
                sku=product["sku"],
                name=product["name"],
                quantity=line.quantity,
                unit_price=price,
            )
        )
    return snapshot


def total(bought: Iterable[OrderLine]) -> Money:
    """Sum lines in whole minor units. Refused when currencies are mixed, or the sum is beyond any payment."""
    sums: dict[str, int] = {}
    for line in bought:
        code = line.unit_price.currency_code
        sums[code] = sums.get(code, 0) + line.quantity * line.unit_price.minor_units
    if len(sums) != 1:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_CURRENCIES_MIXED,
            "The lines are priced in different currencies",
            currencies=",".join(sorted(sums)),
        )
    ((code, amount),) = sums.items()
    if amount > LARGEST_TOTAL:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_TOTAL_TOO_LARGE, "The total is too large", limit=LARGEST_TOTAL
        )
    return Money(currency_code=code, minor_units=amount)


def back_off_seconds(attempts: int, chance: float) -> float:
    """Return how long to wait after so many failures: 0.2 s doubling up to 20 s, half of it by chance (0 to 1)."""
    return float(min(20.0, 0.2 * 2 ** min(attempts, 10)) * (0.5 + chance / 2))


def recheck_seconds(attempts: int) -> float:
    """Return how long to wait for the news of a payment before asking (again): 5 s doubling up to 5 minutes."""
    return float(min(300.0, 5.0 * 2 ** min(attempts, 10)))
