"""What the driver decides: whether an order's time is over, when it is tried again, when somebody must look. Pure."""

from dataclasses import dataclass
from datetime import datetime

from commerce.order.v1.order_pb2 import Order, OrderState
from commerce.payment.v1.payment_pb2 import Payment, PaymentState

from services.order import life, rules
from services.order.life import AWAITING_CUSTOMER, PAYMENT_UNKNOWN, PENDING, RESERVED
from services.runtime.telemetry import Trace
from services.runtime.times import time_of

# What the driver carries forward; in the first two states there is something to do, in the others somebody to wait for.
DRIVEN = (PENDING, RESERVED, AWAITING_CUSTOMER, PAYMENT_UNKNOWN)
AT_ONCE = (PENDING, RESERVED)

# Reasons that say that somebody is away or busy: no order's fault, and it passes.
AWAY = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED", "RESOURCE_EXHAUSTED", "CANCELLED"))
# Refusals that say that there is no payment and never will be; any other says nothing about the payment.
HOPELESS = frozenset(("INVALID_ARGUMENT", "GATEWAY_UNKNOWN", "PAYMENT_METHOD_NOT_FOUND"))
TRIES = 8
OVERDUE = "not paid for in time"
LAPSED = "the payment expired"
_LONGEST_ERROR = 500


@dataclass(slots=True, eq=False)
class Driven:
    """An order in the driver's hand: the trace that it was placed in, how often its step has failed, and how last."""

    order: Order
    trace: Trace | None = None
    attempts: int = 0
    last_error: str = ""
    # Why it cannot be read; then `order` holds only what it takes to let it expire.
    fault: str = ""
    # Its next move is waiting to be recorded.
    moving: bool = False
    # Since when, by the loop's clock, it waits for somebody to be asked.
    since: float = 0.0


@dataclass(slots=True)
class PutBack:
    """An order that the driver lets go: when it is due again, if ever. One that is parked waits for somebody."""

    driven: Driven
    due_time: datetime | None
    attempts: int
    last_error: str = ""
    parked: bool = False


def expired(order: Order, now: datetime) -> bool:
    """Tell whether an order that is not paid for should be by now."""
    return order.state in DRIVEN and order.HasField("expire_time") and _expire_time(order) <= now


def news(step: str, order: Order, now: datetime) -> str:
    """Return the step that the news of its payment means for an order: when its time is over, good news is none."""
    return "expire" if step != "decline" and expired(order, now) else step


def promised_until(step: str, payment: Payment) -> datetime | None:
    """Return when the promise ends that confirms an order; None where nobody knows, or all was taken."""
    promised = step == "authorize" and payment.HasField("expire_time")
    return time_of(payment.expire_time) if promised else None


def reason(step: str, payment: Payment) -> str:
    """Return why an order takes the step that its payment means for it."""
    if step == "expire":
        return OVERDUE
    if payment.state == PaymentState.PAYMENT_STATE_EXPIRED:
        return LAPSED
    return payment.decline_code or ("the payment was given up" if step == "decline" else "")


def lapsed(state: OrderState.ValueType) -> str:
    """Return the step of an order whose payment expired: while nothing was sent it comes to nothing."""
    return "cancel" if state in (life.CONFIRMED, life.ACCEPTED) else "decline"


def outlived(order: Order, payment_id: str) -> bool:
    """Tell whether an order has failed with this payment: what the payment was before is no news any more."""
    return order.state == life.PAYMENT_FAILED and order.payment_id == payment_id


def unreserved(state: OrderState.ValueType) -> tuple[str, str]:
    """Return the step, and why, of an order whose units are no longer set aside; an empty one when it needs none."""
    if state in DRIVEN:
        return "expire", OVERDUE
    if state in (life.CONFIRMED, life.ACCEPTED):
        return "cancel", "the reservation expired"
    return "", ""


def is_away(error: str) -> bool:
    """Tell whether an error, which begins with its reason, says that somebody is away."""
    return error.partition(":")[0] in AWAY


def is_hopeless(error: str) -> bool:
    """Tell whether an error says that an order will never have a payment."""
    return error.partition(":")[0] in HOPELESS


def failed(driven: Driven, error: str, now: datetime, chance: float, last: bool = False) -> PutBack:
    """Put an order back whose step has failed: after a back-off, or parked when nobody is away and it fails and fails.

    An order whose time is over is not parked: it expires. Unless that is the `last` step, which has failed.
    """
    error = error[:_LONGEST_ERROR]
    again = bool(driven.last_error) and is_away(driven.last_error) == is_away(error)
    attempts = driven.attempts + 1 if again else 1
    if is_away(error) or attempts < TRIES or (expired(driven.order, now) and not last):
        wait = rules.due(driven.order, now, back_off_seconds(attempts - 1, chance))
        return PutBack(driven, wait, attempts, error)
    expires = driven.order.HasField("expire_time") and not expired(driven.order, now)
    return PutBack(driven, _expire_time(driven.order) if expires else None, attempts, error, parked=True)


def unsettled(driven: Driven, now: datetime) -> PutBack:
    """Put an order back whose payment is as it was: it is asked for again, more seldom each time."""
    attempts = 0 if driven.last_error else driven.attempts
    return PutBack(driven, rules.due(driven.order, now, recheck_seconds(attempts)), attempts + 1)


def left(driven: Driven, now: datetime) -> PutBack:
    """Put an order back as it is, for another process to take."""
    return PutBack(driven, now, driven.attempts, driven.last_error)


def back_off_seconds(attempts: int, chance: float) -> float:
    """Return how long to wait after so many failures: 0.2 s doubling up to 20 s, half of it by chance (0 to 1)."""
    return float(min(20.0, 0.2 * 2 ** min(attempts, 10)) * (0.5 + chance / 2))


def recheck_seconds(attempts: int) -> float:
    """Return how long to wait for the news of a payment before asking (again): 5 s doubling up to 5 minutes."""
    return float(min(300.0, 5.0 * 2 ** min(attempts, 10)))


def _expire_time(order: Order) -> datetime:
    return time_of(order.expire_time)
