"""What the order service does on news of payments and stock, told as their services tell it."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import nats
import pytest
from commerce.catalog.v1.catalog_events_pb2 import ReservationExpired
from commerce.catalog.v1.stock_service_pb2 import GetStockRequest
from commerce.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderExpired
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentReference
from commerce.payment.v1.payment_pb2 import PaymentState
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest

from tests.order.asks import order_of, state_of, steps_of
from tests.shop import eventually, new_id

AWAITING = {"method": "pm_sandbox_requires_action", "until": "AWAITING_CUSTOMER"}


@asynccontextmanager
async def telling(shop):
    """Publishes events as other services' relays do; returns their ids."""
    client = await nats.connect(shop.clients.cluster.nats_url)
    js = client.jetstream()

    async def publish(event):
        event_id, kind = new_id(), event.DESCRIPTOR.full_name
        await js.publish(kind, event.SerializeToString(), headers={"ce-id": event_id, "ce-type": kind})
        return event_id

    yield publish
    await client.close()


@pytest.fixture
async def tell(shop):
    async with telling(shop) as publish:
        yield publish


def unreserved(shop, order_id):
    return ReservationExpired(order_id=order_id, store_id=shop.store_id)


async def applied(shop, *events):
    """Return when events have taken effect."""
    sql = 'SELECT FROM "order".inbox WHERE event_id = ANY($1::uuid[])'

    async def all_are():
        return len(await shop.clients.rows(sql, events)) == len(events)

    await eventually(all_are)


async def payment_is(shop, order, state):
    reply = await shop.payments.GetPayment(GetPaymentRequest(payment_id=order.payment_id))
    return PaymentState.Name(reply.payment.state) == f"PAYMENT_STATE_{state}"


async def test_an_unpaid_order_without_a_reservation_expires(shop, tell):
    order_id = await shop.order(**AWAITING)

    await tell(unreserved(shop, order_id))
    await shop.until(order_id, "EXPIRED")

    order = await order_of(shop, order_id)
    assert order.reason == "not paid for in time"
    assert [event.order.order_id for event in await shop.published(OrderExpired)] == [order_id]
    await eventually(lambda: payment_is(shop, order, "VOIDED"))


@pytest.mark.parametrize(("state", "money"), [("CONFIRMED", "VOIDED"), ("ACCEPTED", "REFUNDED")])
async def test_a_paid_order_without_a_reservation_is_called_off_and_its_money_goes_back(
    shop, tell, state, money
):
    product = await shop.product(stock=3)
    order_id = await shop.order([(product, 1)], state=state)
    order = await order_of(shop, order_id)

    await tell(unreserved(shop, order_id))
    await shop.until(order_id, "CANCELLED")

    assert (await order_of(shop, order_id)).reason == "the reservation expired"
    (event,) = await shop.published(OrderCancelled)
    assert event.reason == "the reservation expired"
    await eventually(lambda: payment_is(shop, order, money))
    await eventually(lambda: has_free(shop, product, 3))


@pytest.mark.parametrize("state", ["SHIPPED", "DELIVERED", "CANCELLED", "PAYMENT_FAILED", "REJECTED"])
async def test_it_is_late_news_for_an_order_that_was_sent_or_has_ended(shop, tell, state):
    order_id = await shop.order(state=state)
    before = await steps_of(shop, order_id)

    await applied(shop, await tell(unreserved(shop, order_id)))

    assert await steps_of(shop, order_id) == before


async def test_an_order_that_is_paid_and_loses_its_reservation_at_once_goes_both_ways_in_turn(shop, tell):
    """News of one order that come in one batch are taken in their order, whatever it is."""
    orders = [await shop.order(**AWAITING) for _ in range(10)]
    found = [await order_of(shop, order_id) for order_id in orders]
    authorized = [
        PaymentAuthorized(payment=PaymentReference(payment_id=order.payment_id, order_id=order.order_id))
        for order in found
    ]

    await asyncio.gather(
        *(tell(event) for event in authorized), *(tell(unreserved(shop, order_id)) for order_id in orders)
    )

    await eventually(lambda: all_ended(shop, orders))
    events = await shop.published(OrderConfirmed, OrderExpired, OrderCancelled)
    for order_id in orders:
        told = [type(event).__name__ for event in events if event.order.order_id == order_id]
        assert told in (["OrderConfirmed", "OrderCancelled"], ["OrderExpired"]), told


async def test_news_of_an_order_that_does_not_exist_is_left_to_a_person(hurried):
    async with telling(hurried) as tell:
        event_id = await tell(unreserved(hurried, new_id()))

    sql = 'SELECT reason FROM "order".dead_letters WHERE event_id = $1'
    rows = await eventually(lambda: hurried.clients.rows(sql, uuid.UUID(event_id)))

    assert "ORDER_NOT_FOUND" in rows[0]["reason"]


async def has_free(shop, product, units):
    return (await shop.stock.GetStock(GetStockRequest(product_id=product))).available == units


async def all_ended(shop, orders):
    return {await state_of(shop, order_id) for order_id in orders} <= {"CANCELLED", "EXPIRED"}
