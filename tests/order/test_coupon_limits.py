"""A coupon's limits hold whoever comes at once, and a use comes back exactly once when its order fails."""

import asyncio

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.duration_pb2 import Duration

from tests.order.asks import cancel, create, order_of
from tests.order.deals import new_coupon, set_up, used
from tests.shop import eventually, refused


async def buy(shop, customers, product, **given):
    """Have each customer order one unit with the coupon, all at once; return the orders that were placed."""
    outcomes = await asyncio.gather(
        *(
            shop.orders.CreateOrder(create(shop, customer, (product, 1), coupon_code="TEN", **given))
            for customer in customers
        ),
        return_exceptions=True,
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in lost:
        assert isinstance(error, grpc.aio.AioRpcError)
        assert "used as often as it may be" in (error.details() or "")
    return [outcome.order for outcome in outcomes if not isinstance(outcome, BaseException)]


async def test_of_fifty_buyers_at_once_one_gets_the_coupon_and_when_they_cancel_it_is_free_once(shop):
    coupon = await new_coupon(shop, limit=1)
    customers = await asyncio.gather(*(shop.customer() for _ in range(50)))
    product = await shop.product(stock=1000)
    for _ in range(4):
        (winner,) = await buy(shop, customers, product)
        assert await used(shop, coupon) == 1

        request = cancel(winner.order_id)
        await asyncio.gather(*(shop.orders.CancelOrder(request) for _ in range(5)))

        assert await used(shop, coupon) == 0
    assert len(await buy(shop, customers, product)) == 1


async def test_a_limit_of_seven_is_seven_orders(shop):
    coupon = await new_coupon(shop, limit=7)
    customers, product = [await shop.customer() for _ in range(5)], await shop.product(stock=1000)
    assert len(await buy(shop, customers * 10, product)) == 7
    assert await used(shop, coupon) == 7


async def test_of_fifty_orders_of_one_customer_at_once_two_use_the_coupon_and_another_customer_may_still(
    shop,
):
    await new_coupon(shop, customer_limit=2)
    customer, other, product = await shop.customer(), await shop.customer(), await shop.product(stock=1000)
    for _ in range(3):
        orders = await buy(shop, [customer] * 50, product)
        assert len(orders) == 2
        with refused(ErrorReason.ERROR_REASON_COUPON_USED_UP, code="TEN", limit="2", of="customer"):
            await shop.orders.CreateOrder(create(shop, customer, (product, 1), coupon_code="TEN"))
        orders += await buy(shop, [other], product)
        assert len(orders) == 3
        for order in orders:
            await shop.orders.CancelOrder(cancel(order.order_id))


async def test_says_that_everybody_has_used_it_up(shop):
    await new_coupon(shop, limit=1)
    product = await shop.product()
    await shop.order([(product, 1)], coupon_code="TEN")
    with refused(ErrorReason.ERROR_REASON_COUPON_USED_UP, code="TEN", limit="1", of="everybody"):
        await shop.order([(product, 1)], coupon_code="TEN")


@pytest.mark.parametrize(
    ("state", "stock", "method"),
    [
        ("REJECTED", 0, "pm_sandbox_ok"),
        ("PAYMENT_FAILED", 5, "pm_sandbox_declined"),
        ("EXPIRED", 5, "pm_sandbox_requires_action"),
    ],
)
async def test_an_order_that_fails_by_itself_gives_the_coupon_back(shop, state, stock, method):
    if state == "EXPIRED":
        await set_up(shop, payment_wait=Duration(seconds=1))
    coupon, product, customer = (
        await new_coupon(shop, limit=1),
        await shop.product(stock=stock),
        await shop.customer(),
    )

    order_id = await shop.order([(product, 1)], method, customer, until=state, coupon_code="TEN")

    assert await used(shop, coupon) == 0
    assert (await order_of(shop, order_id)).coupon_code == "TEN"
    await shop.order([(product, 1)], method, customer, coupon_code="TEN")


async def test_an_order_that_goes_well_keeps_it(shop):
    coupon = await new_coupon(shop, limit=1)
    await shop.order([(await shop.product(), 1)], coupon_code="TEN", state="DELIVERED")
    assert await used(shop, coupon) == 1


async def test_many_orders_with_many_coupons_that_fail_at_once_give_each_use_back(shop):
    """The driver records them in batches, whatever coupons they used, while others come and are cancelled."""
    codes = [f"C{n}" for n in range(5)]
    coupons = [await new_coupon(shop, code) for code in codes]
    customer, product = await shop.customer(), await shop.product(stock=10_000)

    async def buy_and_lose(n):
        method = "pm_sandbox_declined" if n % 2 else "pm_sandbox_ok"
        request = create(shop, customer, (product, 1), method=method, coupon_code=codes[n % 5])
        order = (await shop.orders.CreateOrder(request)).order
        if n % 2 == 0:
            await shop.orders.CancelOrder(cancel(order.order_id))

    await asyncio.gather(*(buy_and_lose(n) for n in range(60)))

    await eventually(lambda: _free(shop, coupons))
    rows = await shop.clients.rows(
        'SELECT 1 FROM "order".coupon_uses WHERE coupon_id = ANY($1)',
        [coupon.coupon_id for coupon in coupons],
    )
    assert rows == []


async def _free(shop, coupons):
    return not any([await used(shop, coupon) for coupon in coupons])
