"""StockLow: told once, when fewer units than a product's threshold become available."""

import asyncio

from commerce.catalog.v1.catalog_events_pb2 import StockLow
from commerce.catalog.v1.stock_service_pb2 import SetStockRequest

from tests.catalog.orders import adjust, commit, held, new_id, release, reserve, wants


async def told(shop):
    return [(event.available, event.threshold) for event in await shop.published(StockLow)]


async def count(shop, product_id, quantity):
    request = SetStockRequest(product_id=product_id, quantity=quantity, request_id=new_id())
    await shop.stock.SetStock(request)


async def test_tells_which_product_runs_low(shop):
    product_id = await shop.product(stock=5, sku="MUG", low_stock_threshold=4)

    await held(shop, (product_id, 2))

    (event,) = await shop.published(StockLow)
    assert (event.product_id, event.store_id, event.sku) == (product_id, shop.store_id, "MUG")
    assert (event.available, event.threshold) == (3, 4)


async def test_at_the_threshold_there_is_still_enough(shop):
    product_id = await shop.product(stock=5, low_stock_threshold=4)

    await held(shop, (product_id, 1))

    assert await told(shop) == []


async def test_is_told_once_until_there_is_enough_again(shop):
    product_id = await shop.product(stock=10, low_stock_threshold=5)

    first = await held(shop, (product_id, 6))
    second = await held(shop, (product_id, 1))
    await commit(shop, second)
    await adjust(shop, product_id, -1)
    assert await told(shop) == [(4, 5)]
    await release(shop, first)
    await held(shop, (product_id, 7))

    assert await told(shop) == [(4, 5), (1, 5)]


async def test_is_told_when_units_are_counted_or_taken_away(shop):
    product_id = await shop.product(stock=10, low_stock_threshold=5)

    await adjust(shop, product_id, -6)
    await count(shop, product_id, 5)
    await count(shop, product_id, 0)

    assert await told(shop) == [(4, 5), (0, 5)]


async def test_a_product_without_a_threshold_never_runs_low(shop):
    product_id = await shop.product(stock=1)

    await held(shop, (product_id, 1))

    assert await told(shop) == []


async def test_a_batch_that_crosses_it_tells_it_once(shop):
    product_id = await shop.product(stock=10, low_stock_threshold=5)

    await reserve(shop, *(wants(shop, (product_id, 1)) for _ in range(10)))

    assert await told(shop) == [(0, 5)]


async def test_many_buyers_at_once_tell_it_once(shop):
    product_id = await shop.product(stock=20, low_stock_threshold=11)

    await asyncio.gather(*(held(shop, (product_id, 1)) for _ in range(20)))

    assert await told(shop) == [(10, 11)]


async def test_a_reservation_that_is_refused_tells_nothing(shop):
    mug = await shop.product(stock=5, low_stock_threshold=5)
    cup = await shop.product(stock=0)

    assert await reserve(shop, wants(shop, (mug, 1), (cup, 1))) == ["STOCK_INSUFFICIENT"]

    assert await told(shop) == []
