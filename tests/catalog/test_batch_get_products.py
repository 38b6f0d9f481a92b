"""BatchGetProducts."""

from commerce.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import new_id
from tests.shop import refused


async def found(shop, *product_ids):
    request = BatchGetProductsRequest(store_id=shop.store_id, product_ids=product_ids)
    return sorted(product.product_id for product in (await shop.catalog.BatchGetProducts(request)).products)


async def test_returns_the_products_asked_for(shop):
    mug, cup, _ = [await shop.product(stock=0) for _ in range(3)]

    assert await found(shop, cup, mug) == [mug, cup]


async def test_leaves_out_what_is_missing_or_another_stores(shop):
    mug, foreign = await shop.product(stock=0), await shop.another().product(stock=0)

    assert await found(shop, mug, foreign, new_id()) == [mug]


async def test_returns_a_product_once_however_often_it_is_asked_for(shop):
    mug = await shop.product(stock=0)

    assert await found(shop, mug, mug) == [mug]


async def test_customers_may_read(shop):
    mug = await shop.product(stock=0)

    assert await found(shop.as_("customer", new_id()), mug) == [mug]


async def test_refuses_more_than_a_hundred_at_once(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await found(shop, *(new_id() for _ in range(101)))

    assert said.violations.keys() == {"product_ids"}
