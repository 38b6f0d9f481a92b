"""Orders that cannot be driven: they stop nobody else, and are parked where an operator sees them."""

import asyncio
from functools import partial

from commerce.catalog.v1.stock_service_pb2 import GetStockRequest
from commerce.order.v1.order_pb2 import OrderState

from tests.order.asks import create
from tests.order.operations import POISONS, is_parked, retry, situation_of, stopped, stuck
from tests.shop import eventually

GOOD = 50


async def test_some_among_many_hold_nobody_up_are_parked_and_go_on_once_they_are_mended(hurried):
    shop, admin = hurried, hurried.as_("platform_admin")
    product, customer = await shop.product(stock=1000), await shop.customer()
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")

    async def place():
        return (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order.order_id

    with stopped(shop, "catalog"):
        # They were driven from memory; put back, they are read from what is on record.
        poisoned = await asyncio.gather(*(place() for _ in POISONS))
        for order_id, sql in zip(poisoned, POISONS.values(), strict=True):
            await shop.clients.rows(sql, order_id)
        for order_id in poisoned:
            await eventually(partial(has_failed, shop, order_id))
        orders = await asyncio.gather(*(place() for _ in range(GOOD)))

    await asyncio.gather(*(shop.until(order_id, "CONFIRMED") for order_id in orders))
    for order_id in poisoned:
        assert await is_(shop, order_id, OrderState.ORDER_STATE_PENDING)
        await eventually(partial(is_given_up, shop, order_id))
    listed = {each.order_id: each for each in (await admin.operations.ListStuckOrders(stuck())).orders}
    errors = [listed[order_id].last_error.partition(":")[0] for order_id in poisoned]
    assert errors == ["DecodeError", "ValueError", "INVALID_ARGUMENT"]
    assert {listed[order_id].attempts for order_id in poisoned} == {8}

    mended = poisoned[2]
    await shop.clients.rows('UPDATE "order".order_lines SET quantity = 1 WHERE order_id = $1', mended)
    await shop.operations.RetryOrder(retry(mended))
    await shop.until(mended, "CONFIRMED")


async def test_one_that_is_parked_ends_when_its_time_is_over(hurried):
    """It is put back to be looked at then; what it holds goes back."""
    shop = hurried
    product = await shop.product(stock=5)
    order_id = await shop.order([(product, 2)], "pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    # Its next failure is the eighth.
    await shop.clients.rows(
        """UPDATE "order".orders SET attempts = 7, last_error = 'DecodeError: bad', delivery_address = '\\xff',
        due_time = now(), expire_time = now() + interval '4 seconds' WHERE order_id = $1""",
        order_id,
    )

    await eventually(lambda: is_parked(shop, order_id))
    assert (await situation_of(shop, order_id)).last_error.startswith("DecodeError")
    await eventually(lambda: is_(shop, order_id, OrderState.ORDER_STATE_EXPIRED))

    assert not await is_parked(shop, order_id)
    await eventually(lambda: has_free(shop, product, 5))


async def test_one_whose_move_cannot_be_recorded_stops_no_other_and_is_parked(hurried):
    """Its timeline holds already what it would come to next."""
    shop = hurried
    product, customer = await shop.product(stock=100), await shop.customer()
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")

    async def place():
        return (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order.order_id

    with stopped(shop, "catalog"):
        broken = await place()
        await shop.clients.rows(
            """INSERT INTO "order".order_events SELECT order_id, 2, step, state, time, actor, reason, trace_id, store_id
            FROM "order".order_events WHERE order_id = $1""",
            broken,
        )
        await eventually(lambda: has_failed(shop, broken))
        orders = await asyncio.gather(*(place() for _ in range(20)))

    await asyncio.gather(*(shop.until(order_id, "CONFIRMED") for order_id in orders))
    await eventually(lambda: is_given_up(shop, broken))
    assert "UniqueViolationError" in (await situation_of(shop, broken)).last_error
    assert await is_(shop, broken, OrderState.ORDER_STATE_PENDING)


async def is_(shop, order_id, state):
    """Whether an order stands there: one that cannot be read is explained, but neither got nor watched."""
    return (await situation_of(shop, order_id)).state == state


async def is_given_up(shop, order_id):
    """Whether it is parked; if not it is due at once: the pauses between failures grow to a quarter of a minute."""
    await shop.clients.rows(
        'UPDATE "order".orders SET due_time = now() WHERE order_id = $1 AND due_time > now() AND NOT parked',
        order_id,
    )
    return await is_parked(shop, order_id)


async def has_failed(shop, order_id):
    return (await situation_of(shop, order_id)).last_error


async def has_free(shop, product, units):
    return (await shop.stock.GetStock(GetStockRequest(product_id=product))).available == units
