"""What Payment does on others' events: it takes the money of accepted orders and gives back that of cancelled ones."""

from collections.abc import Mapping
from functools import partial

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderAccepted, OrderCancelled, OrderReference
from google.protobuf.message import Message

from services.payment import queries, rules
from services.payment.driver import Driver
from services.payment.payments import Payment
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.work import Reaction, Work


async def on_order_accepted(driver: Driver, event: OrderAccepted, work: Work) -> None:
    """Capture. Refused, and so left to a person, when the money is not there to take."""
    payment = await _locked(event.order, work)
    if payment is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND,
            "An order without a payment was accepted",
            order_id=event.order.order_id,
        )
    kind = rules.accepted(payment)
    if kind:
        await driver.begin(kind, payment, work)


async def on_order_cancelled(driver: Driver, event: OrderCancelled, work: Work) -> None:
    """Void or refund, at once or when what is in flight has settled; a payment yet to come is ended before it began."""
    payment = await _locked(event.order, work)
    if payment is None:
        if await work.rows(queries.TOMBSTONE, **queries.values_of(_tombstone(event.order))):
            return
        payment = await _locked(event.order, work)
        assert payment is not None
    change = rules.cancelled(payment, queries.now())
    if change is not None:
        await driver.change(change, work)


async def _locked(order: OrderReference, work: Work) -> Payment | None:
    locked = await work.row(queries.PAYMENT_OF_ORDER_LOCKED, order_id=order.order_id)
    if locked is None:
        return None
    return queries.payment_of(await work.rows(queries.PAYMENT, payment_id=locked["payment_id"]))


def _tombstone(order: OrderReference) -> Payment:
    now = queries.now()
    return Payment(
        payment_id=str(new_id()),
        order_id=order.order_id,
        store_id=order.store_id,
        customer_id=order.customer_id,
        state=rules.VOIDED,
        amount=order.total.minor_units,
        currency_code=order.total.currency_code,
        cancelled=True,
        create_time=now,
        update_time=now,
    )


def reactions(driver: Driver) -> Mapping[type[Message], Reaction]:
    """The table of reactions."""
    return {
        OrderAccepted: partial(on_order_accepted, driver),
        OrderCancelled: partial(on_order_cancelled, driver),
    }
