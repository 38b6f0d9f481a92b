"""What Order does on others' events: it keeps its copy of the products, and moves when a payment is settled late."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentFailed
from google.protobuf.message import Message

from services.order import queries, rules
from services.order.transitions import Move, Transitions
from services.runtime import telemetry
from services.runtime.refusals import Refusal
from services.runtime.work import Reaction, Work

ACTOR = "SERVICE payment"


async def on_product(event: ProductCreated | ProductUpdated, work: Work) -> None:
    """Keep the product as it is now; an older version than ours changes nothing."""
    product = event.product
    await work.rows(
        queries.PRODUCT_KNOWN,
        product_id=product.product_id,
        store_id=product.store_id,
        sku=product.sku,
        name=product.name,
        price_minor_units=product.price.minor_units,
        currency_code=product.price.currency_code,
        version=product.version,
    )


async def on_payment_authorized(transitions: Transitions, event: PaymentAuthorized, work: Work) -> None:
    """Confirm an order whose payment was in doubt or up to its customer."""
    await _settle(transitions, work, event.payment, "authorize", "")


async def on_payment_failed(transitions: Transitions, event: PaymentFailed, work: Work) -> None:
    """Fail an order whose payment was in doubt or up to its customer."""
    await _settle(transitions, work, event.payment, "decline", event.decline_code)


async def _settle(transitions: Transitions, work: Work, payment: Any, step: str, reason: str) -> None:
    found = queries.orders_of(await work.rows(queries.ORDER_LOCKED, order_id=payment.order_id))
    if not found:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_NOT_FOUND,
            "A payment was settled for an order that does not exist",
            order_id=payment.order_id,
        )
    (order,) = found
    state = rules.step(step, order.state)
    if state is None:
        return
    move = Move(order, step, state, ACTOR, telemetry.current(), reason=reason, payment_id=payment.payment_id)
    await transitions.record(work, [move])


def reactions(transitions: Transitions) -> Mapping[type[Message], Reaction]:
    """The table of reactions."""
    return {
        ProductCreated: on_product,
        ProductUpdated: on_product,
        PaymentAuthorized: partial(on_payment_authorized, transitions),
        PaymentFailed: partial(on_payment_failed, transitions),
    }
