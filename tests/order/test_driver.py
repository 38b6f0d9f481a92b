"""The driver: no order stops the others, whatever happens to it."""

import asyncio
from contextlib import suppress

import asyncpg
import grpc

from tests.order.asks import create, steps_of
from tests.order.deals import apply, held_back, new_coupon, paid
from tests.shop import eventually


async def test_an_order_that_somebody_locks_for_long_is_driven_on_later(shop):
    """Longer than a lock is waited for: what cannot be recorded now is recorded then, by the same process."""
    process = shop.clients.cluster.process("order")
    restarts = process.restarts
    order_id = await shop.order(method="pm_sandbox_slow", until="RESERVED")
    keeper = await asyncpg.connect(shop.clients.cluster.admin_dsn)
    try:
        async with keeper.transaction():
            await keeper.execute('SELECT 1 FROM "order".orders WHERE order_id = $1 FOR UPDATE', order_id)
            await keeper.execute("SELECT pg_sleep(8)")
    finally:
        await keeper.close()

    await shop.until(order_id, "CONFIRMED")

    assert process.restarts == restarts


async def test_an_order_that_somebody_moved_meanwhile_goes_on_as_it_is_now_without_waiting_for_its_lease(
    shop,
):
    """Its coupon came while its units were being reserved: it is paid for at the new price."""
    await new_coupon(shop, limit=1)
    product = await shop.product(stock=5, price=1000)
    async with held_back(shop, product):
        order_id = await shop.order([(product, 2)])
        await eventually(lambda: is_asked_for(shop))
        await shop.orders.ApplyCoupon(apply(order_id))
        # No sweep would find it: whoever has it in hand must go on.
        await shop.clients.rows(
            """UPDATE "order".orders SET due_time = now() + interval '1 day' WHERE order_id = $1""", order_id
        )

    await shop.until(order_id, "CONFIRMED")

    assert await steps_of(shop, order_id) == ["create", "apply_coupon", "reserve", "authorize"]
    assert await paid(shop, order_id) == 1800


async def test_many_orders_moved_by_others_while_they_are_driven_all_come_to_their_end(shop):
    await new_coupon(shop)
    product, customer = await shop.product(stock=100), await shop.customer()

    async def one(n):
        order = (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order
        await asyncio.sleep(n * 0.001)
        with suppress(grpc.aio.AioRpcError):  # It may have come too far.
            await shop.orders.ApplyCoupon(apply(order.order_id))
        return order.order_id

    orders = await asyncio.gather(*(one(n) for n in range(40)))

    await asyncio.gather(*(shop.until(order_id, "CONFIRMED") for order_id in orders))


async def test_an_order_that_the_driver_has_nothing_to_do_for_is_not_due_again(shop):
    order_id = await shop.order(until="CONFIRMED")
    await shop.clients.rows('UPDATE "order".orders SET due_time = now() WHERE order_id = $1', order_id)
    await eventually(lambda: is_not_due(shop, order_id))


async def is_asked_for(shop):
    """Whether the catalog waits for the stock that somebody holds."""
    return await shop.clients.rows(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%stock%FOR UPDATE%'"
    )


async def is_not_due(shop, order_id):
    return await shop.clients.rows(
        'SELECT 1 FROM "order".orders WHERE order_id = $1 AND due_time IS NULL', order_id
    )
