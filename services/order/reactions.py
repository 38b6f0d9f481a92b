"""What Order does on others' events: it keeps its copy of the products, and moves when a payment is settled late."""

from collections.abc import Mapping
from typing import TypeAlias

from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentFailed, PaymentReference
from google.protobuf.message import Message

from services.order import queries, rules
from services.order.transitions import Move, Transitions
from services.runtime import telemetry
from services.runtime.refusals import Refusal
from services.runtime.work import Reaction, Work

ACTOR = "SERVICE payment"

# A payment, the step that its order takes, why, and in which trace.
Settled: TypeAlias = tuple[PaymentReference, str, str, telemetry.Trace | None]


async def on_product(event: ProductCreated | ProductUpdated, work: Work) -> None:
    """Keep the product as it is now; an older version than ours changes nothing."""
    await work.rows(queries.PRODUCT_KNOWN, **queries.copy_of(event.product))


class Settlements:
    """Moves the orders whose payments were settled; those of a batch of events together."""

    def __init__(self, transitions: Transitions) -> None:
        self._transitions = transitions

    async def authorized(self, event: PaymentAuthorized, work: Work) -> None:
        """Confirm an order whose payment was in doubt or up to its customer."""
        work.gather(self._settle, (event.payment, "authorize", "", telemetry.current()))

    async def failed(self, event: PaymentFailed, work: Work) -> None:
        """Fail an order whose payment was in doubt or up to its customer."""
        work.gather(self._settle, (event.payment, "decline", event.decline_code, telemetry.current()))

    async def _settle(self, work: Work, settled: list[Settled]) -> None:
        ids = [payment.order_id for payment, *_ in settled]
        rows = await work.rows(queries.ORDERS_LOCKED, order_ids=ids)
        found = {order.order_id: order for order in queries.orders_of(rows)}
        moves: dict[str, Move] = {}
        for payment, step, reason, trace in settled:
            order = found.get(payment.order_id)
            if order is None:
                raise _no_order(payment.order_id)
            state = rules.step(step, order.state)
            if state is not None:
                moves[order.order_id] = Move(
                    order, step, state, ACTOR, trace, reason=reason, payment_id=payment.payment_id
                )
        if moves:
            await self._transitions.record(work, list(moves.values()))


def _no_order(order_id: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_ORDER_NOT_FOUND,
        "A payment was settled for an order that does not exist",
        order_id=order_id,
    )


def reactions(transitions: Transitions) -> Mapping[type[Message], Reaction]:
    """The table of reactions."""
    settlements = Settlements(transitions)
    return {
        ProductCreated: on_product,
        ProductUpdated: on_product,
        PaymentAuthorized: settlements.authorized,
        PaymentFailed: settlements.failed,
    }
