"""What the catalog does about orders: units leave the stock when one is accepted, and come back when it fails."""

from collections.abc import Mapping

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderAccepted, OrderCancelled, OrderPaymentFailed
from google.protobuf.message import Message

from services.catalog import reservations
from services.runtime.refusals import Refusal
from services.runtime.work import Reaction, Work


async def on_order_accepted(event: OrderAccepted, work: Work) -> None:
    """Take the order's units out of the stock."""
    work.gather(settle, ("commit", event.order.order_id))


async def on_order_cancelled(event: OrderCancelled, work: Work) -> None:
    """Give the order's units back, also those that have left the stock."""
    work.gather(settle, ("release", event.order.order_id))


async def on_order_payment_failed(event: OrderPaymentFailed, work: Work) -> None:
    """Give the order's units back."""
    work.gather(settle, ("release", event.order.order_id))


async def settle(work: Work, steps: list[tuple[str, str]]) -> None:
    """Settle what a batch of events asks for. An accepted order without a reservation is refused, for it cannot be.

    One that was released before is late news of an order that was cancelled since: its units are back already.
    """
    for result in await reservations.settle(work.db, steps):
        if result.reason == ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND:
            raise Refusal(
                result.reason, f"Order {result.order_id} has no reservation", order_id=result.order_id
            )


REACTIONS: Mapping[type[Message], Reaction] = {
    OrderAccepted: on_order_accepted,
    OrderCancelled: on_order_cancelled,
    OrderPaymentFailed: on_order_payment_failed,
}
