"""What the order service does on news of payments and stock, told as their services tell it."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import nats
import pytest
from commerce.catalog.v1.catalog_events_pb2 import ReservationExpired
from commerce.catalog.v1.stock_service_pb2 import GetStockRequest
from commerce.order.v1.order_events_pb2 import (
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderPaymentFailed,
)
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentExpired, PaymentReference
from commerce.payment.v1.payment_pb2 import CaptureMode, PaymentState
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.settings_service_pb2 import PaymentSettings, SetPaymentSettingsRequest

from tests.order.asks import order_of, state_of, steps_of
from tests.order.deals import held_back, new_coupon, used
from tests.payment.wallet import Wallet
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


async def news(shop, kind, order_id):
    """What the payment service tells of an order's payment."""
    payment_id = (await order_of(shop, order_id)).payment_id
    return kind(payment=PaymentReference(payment_id=payment_id, order_id=order_id, store_id=shop.store_id))


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


async def test_an_order_whose_customer_did_not_confirm_in_time_fails_and_holds_nothing(shop):
    coupon, product = await new_coupon(shop, limit=1), await shop.product(stock=3)
    order_id = await shop.order([(product, 2)], "pm_sandbox_challenge_expiring", coupon_code="TEN")

    await shop.until(order_id, "PAYMENT_FAILED")

    order = await order_of(shop, order_id)
    assert (order.reason, order.next_action_url) == ("the payment expired", "")
    assert await steps_of(shop, order_id) == ["create", "reserve", "challenge", "decline"]
    (event,) = await shop.published(OrderPaymentFailed)
    assert (event.order.order_id, event.reason) == (order_id, "the payment expired")
    assert await payment_is(shop, order, "EXPIRED")
    await eventually(lambda: has_free(shop, product, 3))
    assert await used(shop, coupon) == 0


async def test_an_order_whose_money_was_not_taken_in_time_is_called_off(shop):
    product = await shop.product(stock=3)
    order_id = await shop.order([(product, 2)], "pm_sandbox_expiring", until="CONFIRMED")

    await shop.until(order_id, "CANCELLED")

    order = await order_of(shop, order_id)
    assert order.reason == "the payment expired"
    (event,) = await shop.published(OrderCancelled)
    assert (event.order.order_id, event.reason) == (order_id, "the payment expired")
    assert await payment_is(shop, order, "EXPIRED")
    await eventually(lambda: has_free(shop, product, 3))


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("AWAITING_CUSTOMER", "PAYMENT_FAILED"),
        ("PAYMENT_UNKNOWN", "PAYMENT_FAILED"),
        ("CONFIRMED", "CANCELLED"),
        ("ACCEPTED", "CANCELLED"),
    ],
)
async def test_an_expired_payment_ends_an_order_of_which_nothing_was_sent(shop, tell, state, end):
    product = await shop.product(stock=3)
    order_id = await shop.order([(product, 1)], state=state)

    await tell(await news(shop, PaymentExpired, order_id))
    await shop.until(order_id, end)

    assert (await order_of(shop, order_id)).reason == "the payment expired"
    await eventually(lambda: has_free(shop, product, 3))


@pytest.mark.parametrize("state", ["PAYMENT_FAILED", "CANCELLED"])
async def test_an_expired_payment_is_late_news_for_an_order_that_came_to_nothing(shop, tell, state):
    order_id = await shop.order(state=state)
    before = await steps_of(shop, order_id)

    await applied(shop, await tell(await news(shop, PaymentExpired, order_id)))

    assert await steps_of(shop, order_id) == before


async def test_an_authorization_that_is_told_after_its_end_is_late_news(shop, tell):
    order_id = await shop.order(**AWAITING)
    authorized = await news(shop, PaymentAuthorized, order_id)
    await tell(await news(shop, PaymentExpired, order_id))
    await shop.until(order_id, "PAYMENT_FAILED")

    await applied(shop, await tell(authorized))

    assert await state_of(shop, order_id) == "PAYMENT_FAILED"


async def test_goods_that_went_out_for_a_payment_that_expired_are_marked_and_told_to_the_store(shop, tell):
    settings = PaymentSettings(capture_mode=CaptureMode.CAPTURE_MODE_MANUAL)
    request = SetPaymentSettingsRequest(store_id=shop.store_id, settings=settings, request_id=new_id())
    await shop.payment_settings.SetPaymentSettings(request)
    order_id = await shop.order(state="SHIPPED")

    for _ in range(2):
        await applied(shop, await tell(await news(shop, PaymentExpired, order_id)))

    assert (await order_of(shop, order_id)).unpaid_reason == "expired"
    assert (await steps_of(shop, order_id))[-2:] == ["ship", "uncover"]
    assert await state_of(shop, order_id) == "SHIPPED"


async def test_money_for_an_order_that_failed_without_a_payment_is_left_to_a_person(hurried):
    product, wallet = await hurried.product(), Wallet(hurried, await hurried.customer())
    saved = await wallet.save()
    async with held_back(hurried, product):
        order_id = await hurried.order([(product, 1)], saved.payment_method_id, wallet.customer_id)
        await wallet.remove(saved.payment_method_id)
    await hurried.until(order_id, "PAYMENT_FAILED")
    reference = PaymentReference(payment_id=new_id(), order_id=order_id, store_id=hurried.store_id)
    async with telling(hurried) as tell:
        event_id = await tell(PaymentAuthorized(payment=reference))

        assert "ORDER_STEP_NOT_ALLOWED" in await given_up(hurried, event_id)


async def test_news_of_an_order_that_does_not_exist_is_left_to_a_person(hurried):
    async with telling(hurried) as tell:
        event_id = await tell(unreserved(hurried, new_id()))

    assert "ORDER_NOT_FOUND" in await given_up(hurried, event_id)


async def given_up(shop, event_id):
    """Why the order service has given up an event."""
    sql = 'SELECT reason FROM "order".dead_letters WHERE event_id = $1'
    rows = await eventually(lambda: shop.clients.rows(sql, uuid.UUID(event_id)))
    return rows[0]["reason"]


async def has_free(shop, product, units):
    return (await shop.stock.GetStock(GetStockRequest(product_id=product))).available == units


async def all_ended(shop, orders):
    return {await state_of(shop, order_id) for order_id in orders} <= {"CANCELLED", "EXPIRED"}
