"""GetStock."""

from commerce.catalog.v1.stock_service_pb2 import GetStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import commit, held, new_id, stock
from tests.shop import refused


async def test_counts_what_is_on_hand_reserved_and_free(shop):
    product_id = await shop.product(stock=10)
    await held(shop, (product_id, 3))
    await commit(shop, await held(shop, (product_id, 4)))

    assert await stock(shop, product_id) == (6, 3, 3)


async def test_customers_may_read(shop):
    product_id = await shop.product(stock=2)

    assert await stock(shop.as_("customer", new_id()), product_id) == (2, 0, 2)


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product()

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await shop.stock.GetStock(GetStockRequest(product_id=product_id))
