"""What the catalog does about orders, told by their events."""

import random

import nats
import pytest
from commerce.order.v1.order_events_pb2 import (
    OrderAccepted,
    OrderCancelled,
    OrderPaymentFailed,
    OrderReference,
)

from tests.catalog.orders import commit, deadlocks, held, new_id, reserve, stock, wants
from tests.shop import eventually


@pytest.fixture
async def tell(cluster, shop):
    """Publishes events as the order service's relay does."""
    client = await nats.connect(cluster.nats_url)
    js = client.jetstream()

    async def publish(kind, order_id, event_id=""):
        event = kind(order=OrderReference(order_id=order_id, store_id=shop.store_id))
        name, event_id = kind.DESCRIPTOR.full_name, event_id or new_id()
        await js.publish(name, event.SerializeToString(), headers={"ce-id": event_id, "ce-type": name})

    yield publish
    await client.close()


async def becomes(shop, product_id, *expected):
    async def is_so():
        return await stock(shop, product_id) == expected

    try:
        await eventually(is_so)
    except TimeoutError:
        assert await stock(shop, product_id) == expected


async def test_an_accepted_orders_units_leave_the_stock(shop, tell):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))

    await tell(OrderAccepted, order_id)

    await becomes(shop, product_id, 3, 0, 3)


@pytest.mark.parametrize("event", [OrderCancelled, OrderPaymentFailed])
async def test_an_order_that_fails_gives_its_units_back(shop, tell, event):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))

    await tell(event, order_id)

    await becomes(shop, product_id, 5, 0, 5)


async def test_an_accepted_order_that_is_cancelled_is_restocked(shop, tell):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))
    await commit(shop, order_id)

    await tell(OrderCancelled, order_id)

    await becomes(shop, product_id, 5, 0, 5)


async def test_an_order_cancelled_before_it_reserved_is_refused_when_it_comes(shop, tell):
    product_id, order_id = await shop.product(stock=5), new_id()

    await tell(OrderCancelled, order_id)

    async def is_remembered():
        return await shop.clients.rows("SELECT 1 FROM catalog.reservations WHERE order_id = $1", order_id)

    await eventually(is_remembered)
    assert await reserve(shop, wants(shop, (product_id, 1), order_id=order_id)) == ["RESERVATION_RELEASED"]


async def test_an_event_that_comes_again_takes_effect_once(shop, tell):
    product_id = await shop.product(stock=5)
    order_id, event_id = await held(shop, (product_id, 2)), new_id()

    for _ in range(3):
        await tell(OrderAccepted, order_id, event_id)
        await tell(OrderAccepted, order_id)

    marker = await held(shop, (product_id, 1))
    await tell(OrderAccepted, marker)
    await becomes(shop, product_id, 2, 0, 2)


async def test_news_in_the_wrong_order_comes_out_right(shop, tell):
    product_id = await shop.product(stock=5)
    order_id, marker = await held(shop, (product_id, 2)), await held(shop, (product_id, 1))

    await tell(OrderCancelled, order_id)
    await tell(OrderAccepted, order_id)
    await tell(OrderAccepted, marker)

    await becomes(shop, product_id, 4, 0, 4)


async def test_an_accepted_order_that_nobody_reserved_for_holds_up_no_other(shop, tell):
    product_id = await shop.product(stock=5)
    unknown, order_id = new_id(), await held(shop, (product_id, 2))
    event_id = new_id()

    await tell(OrderAccepted, unknown, event_id)
    await tell(OrderAccepted, order_id)

    await becomes(shop, product_id, 3, 0, 3)
    assert await shop.clients.rows("SELECT 1 FROM catalog.inbox WHERE event_id = $1", event_id) == []
    # It is tried again; what it waited for is there by then.
    assert await reserve(shop, wants(shop, (product_id, 1), order_id=unknown)) == ["HELD"]
    await becomes(shop, product_id, 2, 0, 2)


async def test_a_crowd_of_events_and_reservations_waits_in_no_circle(shop, tell):
    products = [await shop.product(stock=1000) for _ in range(6)]
    orders = [wants(shop, *((each, 1) for each in random.sample(products, 3))) for _ in range(100)]
    assert await reserve(shop, *orders) == ["HELD"] * 100
    before = deadlocks(shop)

    for number, order in enumerate(orders):
        await tell(OrderAccepted if number % 2 else OrderCancelled, order.order_id)
        if number % 5 == 0:
            fared = await reserve(shop, wants(shop, *((each, 1) for each in reversed(products))))
            assert fared == ["HELD"]

    async def all_settled():
        return [(await stock(shop, each))[1] for each in products] == [20] * 6

    await eventually(all_settled)
    assert sum([1000 - (await stock(shop, each))[0] for each in products]) == 50 * 3
    assert deadlocks(shop) == before
