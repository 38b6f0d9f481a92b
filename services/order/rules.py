"""The rules of an order beside its life: what a payment's state means for it, what its store has set. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_events_pb2 as events
from commerce.order.v1.order_pb2 import Order
from commerce.order.v1.settings_service_pb2 import OrderSettings
from commerce.payment.v1.payment_pb2 import PaymentState

from services.order.life import ACCEPTED, CONFIRMED
from services.runtime.refusals import Refusal
from services.runtime.times import time_of

# The fact that a step publishes by itself. A parcel's and a return's come with their moves.
EVENTS: Mapping[str, Any] = {
    "authorize": events.OrderConfirmed,
    "reject": events.OrderRejected,
    "decline": events.OrderPaymentFailed,
    "accept": events.OrderAccepted,
    "deliver": events.OrderDelivered,
    "cancel": events.OrderCancelled,
    "expire": events.OrderExpired,
}

# How long an order may wait to be paid for where its store says nothing.
PAYMENT_WAIT_SECONDS = 3600

# What a payment's state means for its order.
_STEPS: Mapping[PaymentState.ValueType, str] = {
    PaymentState.PAYMENT_STATE_PENDING: "lose",
    PaymentState.PAYMENT_STATE_UNKNOWN: "lose",
    PaymentState.PAYMENT_STATE_REQUIRES_ACTION: "challenge",
    PaymentState.PAYMENT_STATE_AUTHORIZED: "authorize",
    PaymentState.PAYMENT_STATE_PARTIALLY_CAPTURED: "authorize",
    PaymentState.PAYMENT_STATE_CAPTURED: "authorize",
    PaymentState.PAYMENT_STATE_PARTIALLY_REFUNDED: "authorize",
    PaymentState.PAYMENT_STATE_DISPUTED: "authorize",  # It was paid for.
    PaymentState.PAYMENT_STATE_FAILED: "decline",
    PaymentState.PAYMENT_STATE_VOIDED: "decline",
    PaymentState.PAYMENT_STATE_EXPIRED: "decline",
    PaymentState.PAYMENT_STATE_REFUNDED: "decline",
}


def not_found(order_id: str) -> Refusal:
    """Refuse what is asked about an order that is not there, or is none of the caller's."""
    return Refusal(
        ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, f"There is no order {order_id}", order_id=order_id
    )


class Bought(NamedTuple):
    """What a step changes in how much a customer buys: orders that were cancelled and paid for, and minor units."""

    cancelled: int = 0
    paid: int = 0
    spent: int = 0


def bought(step: str, order: Order) -> Bought:
    """Return what a step of an order, as it was before, changes in how much its customer buys.

    One that was paid for and is cancelled counts as never paid for; one that comes back stays a paid one.
    """
    spent = order.total.minor_units - order.refunded.minor_units
    if step == "authorize":
        return Bought(paid=1, spent=spent)
    if step == "cancel" and order.state in (CONFIRMED, ACCEPTED):
        return Bought(cancelled=1, paid=-1, spent=-spent)
    return Bought(cancelled=int(step == "cancel"))


def is_promise_over(order: Order, now: datetime) -> bool:
    """Tell whether what its payment has promised can be taken no longer."""
    expires = order.payment_expire_time.ToDatetime(tzinfo=UTC)
    return order.HasField("payment_expire_time") and expires <= now


def due(order: Order, now: datetime, seconds: float) -> datetime:
    """Return when an order is due that may wait for so long: when it expires, at the latest."""
    time = now + timedelta(seconds=seconds)
    if order.HasField("expire_time") and now < (expires := time_of(order.expire_time)) < time:
        return expires
    return time


def check_paid(cause: str) -> None:
    """Refuse to accept or send what is not paid for any more, if there is a cause. Refused with ORDER_UNPAID."""
    if cause:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_UNPAID, f"The order is not paid for: {cause}", cause=cause
        )


def settings_of(stored: bytes | None) -> OrderSettings:
    """Return a store's settings as they are stored, or the defaults of a store that never set any."""
    settings = OrderSettings.FromString(stored or b"")
    if not payment_wait(settings):
        settings.payment_wait.FromSeconds(PAYMENT_WAIT_SECONDS)
    _say_zeros(settings)
    return settings


def _say_zeros(settings: OrderSettings) -> None:
    """Set what was stored when a zero could be left out."""
    for rate in settings.tax_rates:
        rate.rate_ppm = rate.rate_ppm
    for shipping in settings.shipping_rates:
        shipping.fee.minor_units = shipping.fee.minor_units


def payment_wait(settings: OrderSettings) -> timedelta:
    """Return how long an order may wait to be paid for."""
    wait = settings.payment_wait
    return timedelta(seconds=wait.seconds, microseconds=wait.nanos // 1000)


def payment_step(state: PaymentState.ValueType) -> str:
    """Return the step that an order takes for its payment's state."""
    return _STEPS[state]


def told(name: str, order: Order, sequence: int, reason: str, brought: Sequence[Any]) -> list[Any]:
    """Return the events that a step of an order publishes: those that its move brings, then its own.

    `sequence` is the order's after the step.
    """
    facts = list(brought)
    if kind := EVENTS.get(name):
        facts.append(kind(reason=reason) if "reason" in kind.DESCRIPTOR.fields_by_name else kind())
    for fact in facts:
        fact.order.CopyFrom(reference(order, sequence))
    return facts


def reference(order: Order, sequence: int) -> events.OrderReference:
    """Return what every event tells of its order, as it is from a transition on."""
    return events.OrderReference(
        order_id=order.order_id,
        store_id=order.store_id,
        customer_id=order.customer_id,
        sequence=sequence,
        total=order.total,
    )
