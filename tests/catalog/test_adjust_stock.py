"""AdjustStock."""

import asyncio

from commerce.catalog.v1.stock_service_pb2 import AdjustStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import held, new_id, stock
from tests.shop import refused


def adjust(product_id, delta, reason="delivery"):
    return AdjustStockRequest(product_id=product_id, delta=delta, reason=reason, request_id=new_id())


async def test_adds_units_and_takes_some_away(shop):
    product_id = await shop.product(stock=5)

    await shop.stock.AdjustStock(adjust(product_id, 3))
    reply = await shop.stock.AdjustStock(adjust(product_id, -2, "broken"))

    assert (reply.on_hand, reply.reserved, reply.available) == (6, 0, 6)


async def test_refuses_to_take_what_is_not_free(shop):
    product_id = await shop.product(stock=5)
    await held(shop, (product_id, 3))

    with refused(ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT, product_id=product_id, available="2"):
        await shop.stock.AdjustStock(adjust(product_id, -3))

    assert await stock(shop, product_id) == (5, 3, 2)


async def test_refuses_more_than_a_billion_units(shop):
    product_id = await shop.product(stock=5)

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.stock.AdjustStock(adjust(product_id, 1_000_000_000))

    assert said.violations.keys() == {"delta"}


async def test_many_at_once_lose_nothing(shop):
    product_id = await shop.product(stock=50)

    await asyncio.gather(
        *(shop.stock.AdjustStock(adjust(product_id, 1 if number % 2 else -1)) for number in range(40))
    )

    assert await stock(shop, product_id) == (50, 0, 50)


async def test_one_request_id_is_one_adjustment(shop):
    request = adjust(await shop.product(stock=5), 1)

    replies = await asyncio.gather(*(shop.stock.AdjustStock(request) for _ in range(10)))

    assert len({reply.SerializeToString() for reply in replies}) == 1
    assert await stock(shop, request.product_id) == (6, 0, 6)


async def test_remembers_who_did_it_and_why(shop):
    product_id = await shop.product(stock=5)

    await shop.stock.AdjustStock(adjust(product_id, -1, "broken"))

    history = await shop.clients.rows(
        "SELECT delta, on_hand, reason, actor FROM catalog.stock_changes WHERE product_id = $1 ORDER BY change_id",
        product_id,
    )
    assert [(row["delta"], row["on_hand"], row["reason"]) for row in history] == [
        (5, 5, "counted"),
        (-1, 4, "broken"),
    ]
    assert all(row["actor"].startswith("STORE_ADMIN ") for row in history)


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product()

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await shop.stock.AdjustStock(adjust(product_id, 1))
