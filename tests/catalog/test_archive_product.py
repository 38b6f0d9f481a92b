"""ArchiveProduct."""

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

from tests.catalog.orders import commit, held, new_id, stock
from tests.shop import refused

ARCHIVED = ProductStatus.PRODUCT_STATUS_ARCHIVED


def archive(product_id):
    return ArchiveProductRequest(product_id=product_id, request_id=new_id())


async def test_answers_with_the_product_and_tells_of_it(shop):
    product_id = await shop.product()

    archived = (await shop.catalog.ArchiveProduct(archive(product_id))).product

    assert (archived.status, archived.version) == (ARCHIVED, 2)
    assert archived.create_time.ToNanoseconds() < archived.update_time.ToNanoseconds()
    assert (await shop.catalog.GetProduct(GetProductRequest(product_id=product_id))).product == archived
    assert await shop.published() == [ProductUpdated(product=archived)]


async def test_archiving_twice_is_archiving_once(shop):
    product_id = await shop.product()

    replies = await asyncio.gather(*(shop.catalog.ArchiveProduct(archive(product_id)) for _ in range(10)))

    assert {reply.product.version for reply in replies} == {2}
    assert len(await shop.published(ProductUpdated)) == 1


async def test_one_request_id_is_one_archiving(shop):
    request = archive(await shop.product())

    first = await shop.catalog.ArchiveProduct(request)
    restore = RestoreProductRequest(product_id=request.product_id, request_id=new_id())
    await shop.catalog.RestoreProduct(restore)
    again = await shop.catalog.ArchiveProduct(request)

    assert again == first
    now = await shop.catalog.GetProduct(GetProductRequest(product_id=request.product_id))
    assert now.product.status == ProductStatus.PRODUCT_STATUS_ACTIVE


async def test_what_is_reserved_stays_so_and_is_sold(shop):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))

    await shop.catalog.ArchiveProduct(archive(product_id))

    assert await commit(shop, order_id) == ["COMMITTED"]
    assert await stock(shop, product_id) == (3, 0, 3)


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product(stock=0)

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await shop.catalog.ArchiveProduct(archive(product_id))


async def test_refuses_customers(shop):
    product_id = await shop.product(stock=0)

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.as_("customer", new_id()).catalog.ArchiveProduct(archive(product_id))

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
