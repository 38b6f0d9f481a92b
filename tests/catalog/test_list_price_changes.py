"""ListPriceChanges."""

import asyncio

import grpc
import pytest
from commerce.catalog.v1.catalog_service_pb2 import (
    ArchiveProductRequest,
    GetProductRequest,
    ListPriceChangesRequest,
    UpdateProductRequest,
)
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money

from tests.catalog.orders import new_id
from tests.shop import refused


async def listed(shop, product_id, **given):
    return await shop.catalog.ListPriceChanges(ListPriceChangesRequest(product_id=product_id, **given))


async def update(shop, product_id, **given):
    request = UpdateProductRequest(product_id=product_id, request_id=new_id(), **given)
    return (await shop.catalog.UpdateProduct(request)).product


def euros(minor_units):
    return Money(currency_code="EUR", minor_units=minor_units)


async def test_begins_with_the_price_that_the_product_was_created_with(shop):
    product_id = await shop.product(price=500)
    product = (await shop.catalog.GetProduct(GetProductRequest(product_id=product_id))).product

    (only,) = (await listed(shop, product_id)).changes

    assert (only.version, only.price, only.time) == (1, euros(500), product.create_time)
    assert only.actor.startswith("STORE_ADMIN ")


async def test_lists_the_newest_first_with_who_set_it(shop):
    product_id = await shop.product(price=500)
    await update(shop, product_id, price=euros(600))
    await update(shop, product_id, name="Mug")
    newest = await update(shop.as_("store_manager"), product_id, price=euros(700))

    changes = (await listed(shop, product_id)).changes

    assert [(each.version, each.price.minor_units) for each in changes] == [(4, 700), (2, 600), (1, 500)]
    assert (changes[0].price, changes[0].time) == (newest.price, newest.update_time)
    assert [each.actor.split(" ")[0] for each in changes] == ["STORE_MANAGER", "STORE_ADMIN", "STORE_ADMIN"]


async def test_another_currency_is_another_price(shop):
    product_id = await shop.product(price=500)

    await update(shop, product_id, price=Money(currency_code="CHF", minor_units=500))

    found = [each.price.currency_code for each in (await listed(shop, product_id)).changes]
    assert found == ["CHF", "EUR"]


async def test_what_does_not_change_the_price_is_no_price_change(shop):
    product_id = await shop.product(price=500)

    await update(shop, product_id, price=euros(500))
    await update(shop, product_id, price=euros(500), name="Mug")
    await shop.catalog.ArchiveProduct(ArchiveProductRequest(product_id=product_id, request_id=new_id()))

    assert [each.version for each in (await listed(shop, product_id)).changes] == [1]


async def test_every_price_set_at_once_is_there_once(shop):
    product_id = await shop.product(price=500)

    changed = await asyncio.gather(
        *(update(shop, product_id, price=euros(1000 + number)) for number in range(20))
    )

    changes = (await listed(shop, product_id)).changes
    assert [each.version for each in changes] == list(range(21, 0, -1))
    assert {(each.version, each.price.minor_units) for each in changed} == {
        (each.version, each.price.minor_units) for each in changes[:-1]
    }


async def test_one_request_id_is_one_price_change(shop):
    request = UpdateProductRequest(
        product_id=await shop.product(price=500), price=euros(600), request_id=new_id()
    )

    await asyncio.gather(*(shop.catalog.UpdateProduct(request) for _ in range(5)))

    assert [each.version for each in (await listed(shop, request.product_id)).changes] == [2, 1]


async def test_pages_show_every_price_once(shop):
    product_id = await shop.product(price=1)
    for number in range(2, 6):
        await update(shop, product_id, price=euros(number))

    seen, token, pages = [], "", 0
    while token or not pages:
        reply = await listed(shop, product_id, page_size=2, page_token=token)
        seen += [each.price.minor_units for each in reply.changes]
        token, pages = reply.next_page_token, pages + 1

    assert (seen, pages) == ([5, 4, 3, 2, 1], 3)


async def test_refuses_a_token_of_another_product(shop):
    product_id = await shop.product(price=1)
    await update(shop, product_id, price=euros(2))
    token = (await listed(shop, product_id, page_size=1)).next_page_token

    for other, of_ours in ((await shop.product(), token), (product_id, "nonsense")):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
            await listed(shop, other, page_token=of_ours)


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product(stock=0)

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await listed(shop, product_id)


async def test_customers_do_not_see_what_it_cost(shop):
    product_id = await shop.product(stock=0)

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await listed(shop.as_("customer", new_id()), product_id)

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
