"""What the catalog does about orders, told by their events."""

import pytest
from commerce.order.v1.order_events_pb2 import (
    OrderAccepted,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderPaymentFailed,
    OrderRejected,
    OrderReturned,
)
from commerce.order.v1.order_pb2 import OrderReturn, ReturnLine

from tests.catalog.orders import (
    changes,
    commit,
    held,
    kind,
    new_id,
    release,
    reserve,
    stock,
    wants,
)
from tests.shop import eventually


def back(*lines, restock=True):
    """What an OrderReturned tells; lines are pairs of product and quantity."""
    given = [
        ReturnLine(product_id=product_id, quantity=quantity, restock=restock)
        for product_id, quantity in lines
    ]
    return OrderReturn(return_id=new_id(), lines=given)


async def becomes(shop, product_id, *expected):
    async def is_so():
        return await stock(shop, product_id) == expected

    try:
        await eventually(is_so)
    except TimeoutError:
        assert await stock(shop, product_id) == expected


async def is_open(shop, order_id):
    """Whether a reservation waits for its order's confirmation."""
    (row,) = await shop.clients.rows(
        "SELECT expire_time FROM catalog.reservations WHERE order_id = $1", order_id
    )
    return row["expire_time"] is not None


async def test_a_confirmed_orders_reservation_is_kept(shop, tell):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))
    assert await is_open(shop, order_id)

    await tell(OrderConfirmed, order_id)

    async def is_kept():
        return not await is_open(shop, order_id)

    await eventually(is_kept)
    assert await stock(shop, product_id) == (5, 2, 3)
    assert await commit(shop, order_id) == ["COMMITTED"]


async def test_a_confirmation_that_comes_late_changes_nothing(shop, tell):
    product_id = await shop.product(stock=5)
    sold, given_back, marker = [await held(shop, (product_id, 1)) for _ in range(3)]
    await commit(shop, sold)
    await release(shop, given_back)

    for order_id in (sold, given_back):
        await tell(OrderConfirmed, order_id)
    await tell(OrderAccepted, marker)

    await becomes(shop, product_id, 3, 0, 3)
    assert await reserve(
        shop, *(wants(shop, (product_id, 1), order_id=each) for each in (sold, given_back))
    ) == ["COMMITTED", "RESERVATION_RELEASED"]


async def test_an_accepted_orders_units_leave_the_stock(shop, tell):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))

    await tell(OrderAccepted, order_id)

    await becomes(shop, product_id, 3, 0, 3)


@pytest.mark.parametrize("event", [OrderCancelled, OrderExpired, OrderPaymentFailed, OrderRejected])
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


async def test_what_came_back_and_can_be_sold_again_goes_on_the_shelf(shop, tell):
    mug, cup = await shop.product(stock=5), await shop.product(stock=5)
    order_id = await held(shop, (mug, 3), (cup, 3))
    await commit(shop, order_id)

    await tell(OrderReturned, order_id, returned=back((cup, 3), restock=False))
    await tell(OrderReturned, order_id, returned=back((mug, 1)))
    await tell(OrderReturned, order_id, returned=back((mug, 2)))

    await becomes(shop, mug, 5, 0, 5)
    assert await stock(shop, cup) == (2, 0, 2)
    assert [
        (kind(each), each.delta, each.on_hand, each.reason) for each in (await changes(shop, mug))[1:]
    ] == [
        ("SOLD", -3, 2, order_id),
        ("RETURNED", 1, 3, order_id),
        ("RETURNED", 2, 5, order_id),
    ]


async def test_a_return_that_comes_again_puts_the_units_back_once(shop, tell):
    product_id, event_id = await shop.product(stock=5), new_id()
    order_id, marker = await held(shop, (product_id, 2)), await held(shop, (product_id, 1))
    await commit(shop, order_id)

    for _ in range(3):
        await tell(OrderReturned, order_id, event_id, returned=back((product_id, 2)))
    await tell(OrderAccepted, marker)

    await becomes(shop, product_id, 4, 0, 4)


async def test_a_return_that_comes_before_the_units_have_left_comes_out_right(shop, tell):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 5))

    await tell(OrderReturned, order_id, returned=back((product_id, 2)))
    await becomes(shop, product_id, 7, 5, 2)
    await tell(OrderAccepted, order_id)

    await becomes(shop, product_id, 2, 0, 2)


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


@pytest.mark.parametrize("event", [OrderConfirmed, OrderAccepted])
async def test_an_order_that_nobody_reserved_for_holds_up_no_other(shop, tell, event):
    product_id = await shop.product(stock=5)
    unknown, order_id = new_id(), await held(shop, (product_id, 2))
    event_id = new_id()

    await tell(event, unknown, event_id)
    await tell(OrderAccepted, order_id)

    await becomes(shop, product_id, 3, 0, 3)
    assert await shop.clients.rows("SELECT 1 FROM catalog.inbox WHERE event_id = $1", event_id) == []
    # It is tried again; what it waited for is there by then.
    assert await reserve(shop, wants(shop, (product_id, 1), order_id=unknown)) == ["HELD"]

    async def has_taken_effect():
        return await shop.clients.rows("SELECT 1 FROM catalog.inbox WHERE event_id = $1", event_id)

    await eventually(has_taken_effect)
    assert await stock(shop, product_id) == ((2, 0, 2) if event is OrderAccepted else (3, 1, 2))
