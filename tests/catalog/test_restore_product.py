"""RestoreProduct."""

import asyncio

import grpc
import pytest
from commerce.catalog.v1.catalog_events_pb2 import ProductUpdated
from commerce.catalog.v1.catalog_pb2 import ProductStatus
from commerce.catalog.v1.catalog_service_pb2 import (
    ArchiveProductRequest,
    GetProductRequest,
    RestoreProductRequest,
)
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import new_id, reserve, wants
from tests.shop import refused

ACTIVE = ProductStatus.PRODUCT_STATUS_ACTIVE


def restore(product_id):
    return RestoreProductRequest(product_id=product_id, request_id=new_id())


async def archived(shop, **given):
    product_id = await shop.product(**given)
    await shop.catalog.ArchiveProduct(ArchiveProductRequest(product_id=product_id, request_id=new_id()))
    await shop.mark()
    return product_id


async def test_answers_with_the_product_and_tells_of_it(shop):
    product_id = await archived(shop)

    restored = (await shop.catalog.RestoreProduct(restore(product_id))).product

    assert (restored.status, restored.version) == (ACTIVE, 3)
    assert (await shop.catalog.GetProduct(GetProductRequest(product_id=product_id))).product == restored
    assert await shop.published() == [ProductUpdated(product=restored)]


async def test_it_can_be_reserved_again(shop):
    product_id = await archived(shop, stock=5)

    await shop.catalog.RestoreProduct(restore(product_id))

    assert await reserve(shop, wants(shop, (product_id, 1))) == ["HELD"]


async def test_restoring_twice_is_restoring_once(shop):
    product_id = await archived(shop)

    replies = await asyncio.gather(*(shop.catalog.RestoreProduct(restore(product_id)) for _ in range(10)))

    assert {reply.product.version for reply in replies} == {3}
    assert len(await shop.published(ProductUpdated)) == 1


async def test_a_product_that_is_sold_stays_as_it_is(shop):
    product_id = await shop.product()

    assert (await shop.catalog.RestoreProduct(restore(product_id))).product.version == 1
    assert await shop.published() == []


async def test_one_request_id_is_one_restoring(shop):
    request = restore(await archived(shop))

    first = await shop.catalog.RestoreProduct(request)
    archive = ArchiveProductRequest(product_id=request.product_id, request_id=new_id())
    await shop.catalog.ArchiveProduct(archive)

    assert await shop.catalog.RestoreProduct(request) == first


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await archived(shop.another(), stock=0)

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await shop.catalog.RestoreProduct(restore(product_id))


async def test_refuses_customers(shop):
    product_id = await archived(shop, stock=0)

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.as_("customer", new_id()).catalog.RestoreProduct(restore(product_id))

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
