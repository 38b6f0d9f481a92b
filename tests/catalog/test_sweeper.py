"""Reservations that were not confirmed in time are given back: each once, however many replicas look for them."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from commerce.catalog.v1.catalog_events_pb2 import ReservationExpired
from commerce.order.v1.order_events_pb2 import OrderAccepted, OrderConfirmed

from tests.catalog.orders import (
    GRACE,
    changes,
    commit,
    held,
    promised,
    release,
    reserve,
    stock,
    too_late,
    wants,
)
from tests.shop import eventually


@pytest.fixture
def shop(replicas):
    return replicas[0]


async def expired(shop):
    """The orders whose reservations were told to have expired."""
    return [event.order_id for event in await shop.published(ReservationExpired)]


async def are_free(shop, product_id, units):
    async def is_so():
        return await stock(shop, product_id) == (units, 0, units)

    await eventually(is_so)


async def test_units_that_nobody_confirmed_in_time_are_free_again(shop):
    product_id = await shop.product(stock=5)

    order_id = await held(shop, (product_id, 2), expire_time=too_late())

    await are_free(shop, product_id, 5)
    (event,) = await shop.published(ReservationExpired)
    assert (event.order_id, event.store_id) == (order_id, shop.store_id)
    assert len(await changes(shop, product_id)) == 1


async def test_an_order_that_has_expired_itself_gets_its_grace(shop):
    product_id = await shop.product(stock=5)
    just_in_time = datetime.now(UTC) - GRACE + timedelta(minutes=2)

    early = await held(shop, (product_id, 1), expire_time=just_in_time)
    late = await held(shop, (product_id, 1), expire_time=too_late())

    async def late_is_gone():
        return await expired(shop) == [late]

    await eventually(late_is_gone)
    assert await stock(shop, product_id) == (5, 1, 4)
    assert await reserve(shop, wants(shop, (product_id, 1), order_id=early)) == ["HELD"]


async def test_whoever_comes_after_it_is_told_so(shop, tell):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2), expire_time=too_late())
    await are_free(shop, product_id, 5)

    assert await reserve(shop, wants(shop, (product_id, 2), order_id=order_id)) == ["RESERVATION_RELEASED"]
    assert await commit(shop, order_id) == ["RESERVATION_RELEASED"]
    assert await release(shop, order_id) == ["RELEASED"]
    marker = await held(shop, (product_id, 1))
    for event in (OrderConfirmed, OrderAccepted):
        await tell(event, order_id)
    await tell(OrderAccepted, marker)
    await are_free(shop, product_id, 4)
    assert await expired(shop) == [order_id]


async def test_what_was_confirmed_sold_or_given_back_in_time_is_left_alone(shop, tell):
    product_id = await shop.product(stock=9)
    kept, sold, given_back = [await held(shop, (product_id, 2)) for _ in range(3)]
    await commit(shop, sold)
    await release(shop, given_back)
    await tell(OrderConfirmed, kept)

    async def nothing_is_open():
        return not await shop.clients.rows(
            "SELECT 1 FROM catalog.reservations WHERE expire_time IS NOT NULL AND order_id = ANY ($1)",
            [kept, sold, given_back],
        )

    await eventually(nothing_is_open)


async def test_more_than_a_batch_of_them_expires_each_once(replicas, shop):
    products = [await shop.product(stock=1000) for _ in range(3)]
    orders = [wants(shop, *((each, 1) for each in products), expire_time=too_late()) for _ in range(250)]

    await asyncio.gather(*(reserve(replicas[n % 2], *orders[n::5]) for n in range(5)))

    for product_id in products:
        await are_free(shop, product_id, 1000)
    told = await expired(shop)
    assert sorted(told) == sorted(order.order_id for order in orders)


async def test_one_that_is_sold_or_given_back_as_it_expires_is_settled_once(replicas, shop):
    product_id = await shop.product(stock=1000)
    orders = [wants(shop, (product_id, 1), expire_time=too_late()) for _ in range(60)]

    async def race(order, replica, verb):
        assert await reserve(replica, order) == ["HELD"]
        return await verb(replica, order.order_id)

    fared = await asyncio.gather(
        *(race(each, replicas[n % 2], (commit, release)[n % 3 == 0]) for n, each in enumerate(orders))
    )

    words = [word for (word,) in fared]
    sold = words.count("COMMITTED")
    assert set(words) <= {"COMMITTED", "RELEASED", "RESERVATION_RELEASED"}
    await are_free(shop, product_id, 1000 - sold)
    assert await promised(shop, product_id) == (0, sold)
    told = await expired(shop)
    assert len(set(told)) == len(told)
    assert len(told) >= words.count("RESERVATION_RELEASED")


async def test_one_that_is_confirmed_while_the_sweeper_waits_for_its_stock_is_kept(shop, tell):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))
    database = await asyncpg.connect(shop.clients.cluster.admin_dsn)
    try:
        async with database.transaction():
            await database.fetch("SELECT 1 FROM catalog.stock WHERE product_id = $1 FOR UPDATE", product_id)
            await tell(OrderConfirmed, order_id)
            await waiting(shop, 1)
            await shop.clients.rows(
                "UPDATE catalog.reservations SET expire_time = now() WHERE order_id = $1", order_id
            )
            await waiting(shop, 2)
    finally:
        await database.close()

    marker = await held(shop, (product_id, 1), expire_time=too_late())

    async def marker_is_gone():
        return marker in await expired(shop)

    await eventually(marker_is_gone)
    assert await expired(shop) == [marker]
    assert await stock(shop, product_id) == (5, 2, 3)


async def waiting(shop, most):
    """Until so many, or more, of the catalog's transactions wait for a lock."""

    async def do_wait():
        rows = await shop.clients.rows(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%stock%'"
        )
        return len(rows) >= most

    await eventually(do_wait)
