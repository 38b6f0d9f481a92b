"""An order that is not paid for in time: it ends, and whatever it held goes back."""

import asyncio

import aiohttp
import pytest
from commerce.catalog.v1.stock_service_pb2 import GetStockRequest
from commerce.order.v1.order_events_pb2 import OrderConfirmed, OrderExpired
from commerce.payment.v1.payment_pb2 import PaymentState
from google.protobuf.duration_pb2 import Duration

from tests.order.asks import cancel, order_of, state_of, steps_of
from tests.order.deals import held_back, new_coupon, set_up, used
from tests.shop import eventually


async def hurry(shop, seconds=1):
    """Have the store's orders wait no longer than this to be paid for."""
    await set_up(shop, payment_wait=Duration(seconds=seconds))


async def free(shop, product):
    """How many units may be sold."""
    return (await shop.stock.GetStock(GetStockRequest(product_id=product))).available


async def payment_state(shop, order_id):
    """As the payment service has it; empty when it has none."""
    rows = await shop.clients.rows("SELECT state FROM payment.payments WHERE order_id = $1", order_id)
    return PaymentState.Name(rows[0]["state"]).removeprefix("PAYMENT_STATE_") if rows else ""


async def given_back(shop, order_id, product, units):
    return await free(shop, product) == units and await payment_state(shop, order_id) in ("VOIDED", "FAILED")


async def hasten(shop, order_id):
    """Have an order wait for one second from now, as if `hurry` had been in force when it was placed."""
    await shop.clients.rows(
        """UPDATE "order".orders SET expire_time = now() + interval '1 second',
        due_time = CASE WHEN due_time IS NOT NULL THEN now() + interval '1 second' END WHERE order_id = $1""",
        order_id,
    )


async def overdue(shop, order_id):
    """Let an order's time be over, before any driver looks."""
    await shop.clients.rows(
        """UPDATE "order".orders SET expire_time = now() - interval '1 second', due_time = now() + interval '1 hour'
        WHERE order_id = $1""",
        order_id,
    )


@pytest.mark.parametrize(
    "method",
    ["pm_sandbox_requires_action", "pm_sandbox_slow", "pm_sandbox_silent_before", "pm_sandbox_silent_after"],
)
async def test_one_that_nobody_pays_for_gives_everything_back(shop, method):
    """Its customer never confirms, or the provider is slow or silent: while it is asked, and after it was."""
    await hurry(shop)
    coupon, product = await new_coupon(shop, limit=1), await shop.product(stock=3)

    order_id = await shop.order([(product, 2)], method, coupon_code="TEN")
    await shop.until(order_id, "EXPIRED")

    assert (await order_of(shop, order_id)).reason == "not paid for in time"
    assert [event.order.order_id for event in await shop.published(OrderExpired)] == [order_id]
    await eventually(lambda: given_back(shop, order_id, product, 3), seconds=60)
    assert await used(shop, coupon) == 0
    assert await shop.published(OrderConfirmed) == []


async def test_one_whose_units_are_not_even_reserved_ends_in_time_and_holds_nothing(shop):
    await hurry(shop)
    product = await shop.product(stock=3)
    async with held_back(shop, product):
        order_id = await shop.order([(product, 2)])
        await shop.until(order_id, "EXPIRED")

    assert await steps_of(shop, order_id) == ["create", "expire"]
    await eventually(lambda: has(free(shop, product), 3))


async def test_one_that_is_paid_for_stays(shop):
    order_id = await shop.order(until="CONFIRMED")
    await hasten(shop, order_id)
    await hurry(shop)
    other = await shop.order(method="pm_sandbox_requires_action", until="EXPIRED")
    assert await state_of(shop, order_id) == "CONFIRMED"
    assert await state_of(shop, other) == "EXPIRED"


async def test_one_of_old_that_has_no_such_time_waits_on(shop):
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    await hasten(shop, order_id)
    await shop.clients.rows('UPDATE "order".orders SET expire_time = NULL WHERE order_id = $1', order_id)
    await hurry(shop)
    await shop.order(method="pm_sandbox_requires_action", until="EXPIRED")
    assert await state_of(shop, order_id) == "AWAITING_CUSTOMER"


async def test_a_payment_that_is_confirmed_too_late_is_given_back(shop):
    """Before the driver has seen that the order's time is over."""
    product = await shop.product(stock=3)
    order_id = await shop.order([(product, 1)], "pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    url = (await order_of(shop, order_id)).next_action_url
    await overdue(shop, order_id)

    await confirm(url)
    await shop.until(order_id, "EXPIRED")

    await eventually(lambda: given_back(shop, order_id, product, 3))
    assert await shop.published(OrderConfirmed) == []


async def test_one_that_was_cancelled_does_not_expire(shop):
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    await shop.orders.CancelOrder(cancel(order_id))
    await hasten(shop, order_id)
    await hurry(shop)
    await shop.order(method="pm_sandbox_requires_action", until="EXPIRED")
    assert await state_of(shop, order_id) == "CANCELLED"


async def test_confirming_in_the_last_moment_ends_in_one_state_with_the_money_where_it_says(shop):
    product = await shop.product(stock=100)

    async def wait():
        return await shop.order([(product, 1)], "pm_sandbox_requires_action", until="AWAITING_CUSTOMER")

    async def race(n, order_id):
        url = (await order_of(shop, order_id)).next_action_url
        await hasten(shop, order_id)
        await asyncio.sleep(0.6 + 0.04 * n)
        await confirm(url)

    orders = await asyncio.gather(*(wait() for _ in range(20)))
    await asyncio.gather(*(race(n, order_id) for n, order_id in enumerate(orders)))

    await eventually(lambda: settled(shop, orders, product, 100), seconds=60)
    events = await shop.published(OrderConfirmed, OrderExpired)
    # An order may be confirmed, but never expire, or the other way round.
    assert sorted(event.order.order_id for event in events) == sorted(orders)


async def confirm(url):
    """What the customer does at the provider; too late, it is refused."""
    async with aiohttp.request("POST", url, json={"outcome": "pass"}) as reply:
        assert reply.status in (200, 409)


async def settled(shop, orders, product, units):
    """Whether each order and its payment say the same, and as many units are promised as orders are confirmed."""
    confirmed = 0
    for order_id in orders:
        state, payment = await state_of(shop, order_id), await payment_state(shop, order_id)
        if (state, payment) not in (
            ("CONFIRMED", "AUTHORIZED"),
            ("EXPIRED", "VOIDED"),
            ("EXPIRED", "FAILED"),
        ):
            return False
        confirmed += state == "CONFIRMED"
    return await free(shop, product) == units - confirmed


async def has(found, wanted):
    return await found == wanted
