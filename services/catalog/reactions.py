"""What the catalog does about orders: it keeps what is confirmed, sells what is accepted, takes back what failed."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import (
    OrderAccepted,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderPaymentFailed,
    OrderRejected,
    OrderReturned,
)
from google.protobuf.message import Message

from services.catalog import rules
from services.catalog.reservations import Reservations
from services.catalog.rules import Return, Step
from services.runtime.refusals import Refusal
from services.runtime.work import Reaction, Work

ACTOR = "SERVICE order"

# A rejected order reserved nothing when it was refused, but its request may have come twice: the second time, or the
# first, there were units.
Failed: TypeAlias = OrderCancelled | OrderExpired | OrderPaymentFailed | OrderRejected


class Steps:
    """Takes the steps that orders ask for; what the events of a batch ask for together, under one taking of locks."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations

    async def confirmed(self, event: OrderConfirmed, work: Work) -> None:
        """Keep the order's units for as long as it takes."""
        work.gather(self._take, Step("keep", event.order.order_id))

    async def accepted(self, event: OrderAccepted, work: Work) -> None:
        """Take the order's units out of the stock."""
        work.gather(self._take, Step("commit", event.order.order_id))

    async def failed(self, event: Failed, work: Work) -> None:
        """Give the order's units back, also those that have left the stock."""
        work.gather(self._take, Step("release", event.order.order_id))

    async def returned(self, event: OrderReturned, work: Work) -> None:
        """Put on the shelf what came back and can be sold again."""
        units = rules.restocked(event.returned.lines)
        if units:
            work.gather(self._take, Return(event.order.order_id, units))

    async def _take(self, work: Work, asked: Sequence[Step | Return]) -> None:
        """Take the steps of a batch. An order that got this far without a reservation is refused, for it cannot be.

        One whose reservation was released is late news: the order was cancelled since, or will be, because it has
        expired (ReservationExpired).
        """
        steps = [each for each in asked if isinstance(each, Step)]
        returned = [each for each in asked if isinstance(each, Return)]
        for result in await self._reservations.take_steps(work, steps, ACTOR, returned):
            if result.reason == ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND:
                raise Refusal(
                    result.reason, f"Order {result.order_id} has no reservation", order_id=result.order_id
                )


def reactions(reservations: Reservations) -> Mapping[type[Message], Reaction]:
    """The table of reactions."""
    steps = Steps(reservations)
    return {
        OrderConfirmed: steps.confirmed,
        OrderAccepted: steps.accepted,
        OrderCancelled: steps.failed,
        OrderExpired: steps.failed,
        OrderPaymentFailed: steps.failed,
        OrderRejected: steps.failed,
        OrderReturned: steps.returned,
    }
