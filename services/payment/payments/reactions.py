"""What Payment does on others' events: it takes the money of accepted orders, and gives back that of others."""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import (
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderReference,
    OrderReturned,
    OrderShipped,
)
from google.protobuf.message import Message

from services.payment.payments import queries, records
from services.payment.payments.driver import Driver, locked, started
from services.payment.rules import amounts, capture, give_up, owed
from services.payment.rules.life import VOIDED
from services.payment.rules.payment import Kind, Payment
from services.runtime import times
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.work import Reaction, Work

WHOLE = "this payment can be taken only once: all of it with the first parcel"


async def on_order_accepted(driver: Driver, event: OrderAccepted, work: Work) -> None:
    """Capture. Refused, and so left to a person, when the money was never promised."""
    payment = await _paid(event.order, work)
    kind = capture.accepted(payment)
    if kind:
        amount = amounts.left_to_take(payment)
        lines = amounts.spread(kind, payment, amount)
        await driver.begin(started(kind, payment, amount, lines=lines), payment, work)


async def on_order_shipped(driver: Driver, event: OrderShipped, work: Work) -> None:
    """Capture what a parcel costs, or is left of the money, once, in its turn, where the store takes its money so."""
    payment = await _paid(event.order, work)
    if not capture.takes_parcels(payment):
        return
    shipment_id = str(UUID(event.shipment.shipment_id))
    parcel = sum(each.amount.minor_units for each in event.amounts)
    if parcel and driver.takes_whole(payment, parcel):
        await _take_whole(payment, shipment_id, driver, work)
        return
    amount = amounts.shipped(payment, shipment_id, event.amounts)
    if amount:
        lines = amounts.spread(Kind.CAPTURE, payment, amount, event.amounts)
        operation = started(Kind.CAPTURE, payment, amount, request_id=shipment_id, lines=lines)
        await driver.begin(operation, payment, work)


async def _take_whole(payment: Payment, shipment_id: str, driver: Driver, work: Work) -> None:
    """Take all that is left with a parcel, where a part would end the authorization: no parcel goes out unpaid."""
    known = payment.asked_under(shipment_id) is not None
    amount = 0 if known else amounts.left_to_take(payment)
    if amount:
        lines = amounts.spread(Kind.CAPTURE, payment, amount)
        operation = started(Kind.CAPTURE, payment, amount, request_id=shipment_id, reason=WHOLE, lines=lines)
        await driver.begin(operation, payment, work)


async def on_order_returned(driver: Driver, event: OrderReturned, work: Work) -> None:
    """Give back what a return is worth, or what is left of it, once, in its turn and after the capture."""
    if not event.returned.refund.minor_units:
        return
    return_id = str(UUID(event.returned.return_id))
    payment = await _paid(event.order, work)
    amount = amounts.returned(payment, return_id, event.returned.refund)
    if amount:
        if capture.is_overtaken(payment, event.shipped.minor_units):
            raise _too_early()
        lines = amounts.worth(payment, amount, event.amounts)
        reason = event.returned.reason
        operation = started(
            Kind.REFUND, payment, amount, request_id=return_id, reason=reason, lines=lines, wanted=amount
        )
        if operation.open:
            operation = owed.fitted(operation, payment)
        await driver.begin(operation, payment, work)


async def on_order_ended(driver: Driver, event: OrderCancelled | OrderExpired, work: Work) -> None:
    """Void or refund, at once or when what is in flight has settled; a payment yet to come is ended before it began."""
    payment = await _locked(event.order, work)
    if payment is None:
        if await work.rows(records.TOMBSTONE, **records.values_of(_tombstone(event.order))):
            return
        payment = await _locked(event.order, work)
        assert payment is not None
    change = give_up.cancelled(payment, times.now())
    if change is not None:
        await driver.change(change, work)


async def _locked(order: OrderReference, work: Work) -> Payment | None:
    return await locked(work, queries.PAYMENT_OF_ORDER_LOCKED, order_id=order.order_id)


async def _paid(order: OrderReference, work: Work) -> Payment:
    payment = await _locked(order, work)
    if payment is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND,
            "Nobody asked for a payment of this order",
            order_id=order.order_id,
        )
    return payment


def _too_early() -> Refusal:
    """Refuse what has overtaken the capture that it gives back: it comes again, and then that is on record."""
    return Refusal(
        ErrorReason.ERROR_REASON_UNAVAILABLE, "A parcel's capture is not asked for yet", retry_seconds=1
    )


def _tombstone(order: OrderReference) -> Payment:
    now = times.now()
    return Payment(
        payment_id=str(new_id()),
        order_id=order.order_id,
        store_id=order.store_id,
        customer_id=order.customer_id,
        state=VOIDED,
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
        OrderCancelled: partial(on_order_ended, driver),
        OrderExpired: partial(on_order_ended, driver),
        OrderReturned: partial(on_order_returned, driver),
        OrderShipped: partial(on_order_shipped, driver),
    }
