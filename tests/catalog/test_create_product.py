"""CreateProduct."""

import asyncio
import uuid

import grpc
import pytest
from commerce.catalog.v1.catalog_events_pb2 import ProductCreated
from commerce.catalog.v1.catalog_pb2 import ProductStatus
from commerce.catalog.v1.catalog_service_pb2 import (
    ArchiveProductRequest,
    BatchGetProductsRequest,
    CreateProductRequest,
    GetProductRequest,
    ListProductsRequest,
)
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money

from tests.catalog.orders import new_id, stock
from tests.catalog.shelves import shelf
from tests.shop import refused


def create(shop, **given):
    values = {
        "store_id": shop.store_id,
        "sku": "MUG-1",
        "name": "Mug",
        "price": Money(currency_code="EUR", minor_units=1250),
        "request_id": new_id(),
    }
    return CreateProductRequest(**(values | given))


async def test_answers_with_the_product_as_it_is_kept(shop):
    created = (await shop.catalog.CreateProduct(create(shop))).product

    assert (created.store_id, created.sku, created.name, created.price.minor_units, created.version) == (
        shop.store_id,
        "MUG-1",
        "Mug",
        1250,
        1,
    )
    assert uuid.UUID(created.product_id).version == 7
    assert created.create_time == created.update_time
    kept = await shop.catalog.GetProduct(GetProductRequest(product_id=created.product_id))
    assert kept.product == created


async def test_keeps_all_that_is_said_of_it(shop):
    said = {
        "category_id": await shelf(shop),
        "attributes": {"colour": "blue", "Größe": "½ l", "odd": '"\\u0000'},
        "image_urls": ["https://example.org/b.png", "http://example.org/a.png?x=1"],
        "tax_class": "food",
        "low_stock_threshold": 7,
    }

    created = (await shop.catalog.CreateProduct(create(shop, **said))).product

    assert created.status == ProductStatus.PRODUCT_STATUS_ACTIVE
    assert {name: getattr(created, name) for name in said} == said
    one = BatchGetProductsRequest(store_id=shop.store_id, product_ids=[created.product_id])
    for reply in (
        await shop.catalog.BatchGetProducts(one),
        await shop.catalog.ListProducts(ListProductsRequest(store_id=shop.store_id)),
    ):
        assert list(reply.products) == [created]
    kept = await shop.catalog.GetProduct(GetProductRequest(product_id=created.product_id))
    assert kept.product == created
    assert await shop.published(ProductCreated) == [ProductCreated(product=created)]


async def test_says_nothing_that_was_not_said(shop):
    created = (await shop.catalog.CreateProduct(create(shop))).product

    assert (created.category_id, created.tax_class, created.low_stock_threshold) == ("", "", 0)
    assert (dict(created.attributes), list(created.image_urls)) == ({}, [])


async def test_another_stores_category_is_refused_like_a_missing_one(shop):
    for category_id in (await shelf(shop.another()), new_id()):
        with refused(ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND, category_id=category_id):
            await shop.catalog.CreateProduct(create(shop, category_id=category_id))

    assert await shop.published() == []


async def test_starts_with_no_stock(shop):
    created = (await shop.catalog.CreateProduct(create(shop))).product

    assert await stock(shop, created.product_id) == (0, 0, 0)


async def test_tells_of_the_whole_product(shop):
    created = (await shop.catalog.CreateProduct(create(shop))).product

    assert await shop.published() == [ProductCreated(product=created)]


async def test_one_request_id_is_one_product(shop):
    request = create(shop)

    replies = await asyncio.gather(*(shop.catalog.CreateProduct(request) for _ in range(10)))

    assert len({reply.SerializeToString() for reply in replies}) == 1
    assert len(await shop.published(ProductCreated)) == 1


async def test_refuses_a_sku_that_another_product_of_the_store_has(shop):
    await shop.catalog.CreateProduct(create(shop))
    await shop.mark()

    with refused(ErrorReason.ERROR_REASON_PRODUCT_SKU_TAKEN, sku="MUG-1"):
        await shop.catalog.CreateProduct(create(shop, name="Another mug"))

    assert await shop.published() == []


async def test_of_many_at_once_with_one_sku_one_is_created(shop):
    replies = await asyncio.gather(
        *(shop.catalog.CreateProduct(create(shop)) for _ in range(20)), return_exceptions=True
    )

    assert sum(not isinstance(reply, BaseException) for reply in replies) == 1
    assert len(await shop.published(ProductCreated)) == 1


async def test_another_store_may_use_the_same_sku(shop):
    await shop.catalog.CreateProduct(create(shop))
    other = shop.another()

    assert (await other.catalog.CreateProduct(create(other))).product.store_id == other.store_id


async def test_a_product_may_be_free_and_a_price_is_never_negative(shop):
    gift = create(shop, price=Money(currency_code="EUR", minor_units=0))
    assert (await shop.catalog.CreateProduct(gift)).product.price.minor_units == 0

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.CreateProduct(create(shop, price=Money(currency_code="EUR", minor_units=-1)))
    assert said.violations == {"price": "must not be negative"}


async def test_keeps_texts_without_what_cannot_be_seen_at_their_ends(shop):
    typed = {
        "sku": "\u200bMUG-1 ",
        "name": " Zoe\u0308’s  mug\n",
        "attributes": {"colour ": " blue\r\nor red"},
    }

    created = (await shop.catalog.CreateProduct(create(shop, **typed))).product

    assert (created.sku, created.name) == ("MUG-1", "Zoë’s  mug")
    assert created.attributes == {"colour": "blue\nor red"}


async def test_a_retry_that_is_typed_with_blanks_is_the_same_request(shop):
    first = create(shop, sku="MUG-1", name="Zoë")
    again = create(shop, sku=" MUG-1", name="Zoe\u0308 ", request_id=first.request_id)

    replies = [await shop.catalog.CreateProduct(request) for request in (first, again)]

    assert replies[0] == replies[1]


@pytest.mark.parametrize("sku", ["MUG-1", "mug-1", " Mug-1\t", "ＭＵＧ－１", "MUG–1"])
async def test_refuses_a_sku_that_people_take_for_that_of_another_and_names_it(shop, sku):
    held = (await shop.catalog.CreateProduct(create(shop, sku="MUG-1"))).product

    with refused(
        ErrorReason.ERROR_REASON_PRODUCT_SKU_TAKEN, sku="MUG-1", product_id=held.product_id, status="ACTIVE"
    ):
        await shop.catalog.CreateProduct(create(shop, sku=sku))


@pytest.mark.parametrize("sku", ["MUG-1", "mug-1"])
async def test_says_that_an_archived_product_has_the_sku(shop, sku):
    product_id = await shop.product(sku="MUG-1")
    archive = ArchiveProductRequest(product_id=product_id, request_id=new_id())
    await shop.catalog.ArchiveProduct(archive)

    with refused(
        ErrorReason.ERROR_REASON_PRODUCT_SKU_TAKEN, sku="MUG-1", product_id=product_id, status="ARCHIVED"
    ) as said:
        await shop.catalog.CreateProduct(create(shop, sku=sku))

    assert f"archived product {product_id}" in said.message
    assert "restore it" in said.message


async def test_skus_that_look_different_are_two_products(shop):
    for sku in ("MUG-1", "MUG1", "MUG 1", "MÜG-1", "MUG-11"):
        await shop.catalog.CreateProduct(create(shop, sku=sku))


async def test_of_many_at_once_with_skus_that_look_the_same_exactly_one_is_created(shop):
    skus = ["MUG-1", "mug-1", "Mug-1", "MUG–1"] * 5

    replies = await asyncio.gather(
        *(shop.catalog.CreateProduct(create(shop, sku=sku)) for sku in skus), return_exceptions=True
    )

    assert sum(not isinstance(reply, BaseException) for reply in replies) == 1


@pytest.mark.parametrize("field", ["sku", "name"])
@pytest.mark.parametrize(
    "blank", ["  ", "\u200b", "\u2800", "\u3164", "\u00a0\n", "\u200e\u2060", "\u200d\u034f", "\u0301"]
)
async def test_refuses_a_text_in_which_nothing_can_be_seen(shop, field, blank):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.CreateProduct(create(shop, **{field: blank}))

    assert said.violations.keys() == {field}


@pytest.mark.parametrize(
    ("field", "text"),
    [("name", "Mug\u202egpj.exe"), ("name", "Big\tmug"), ("sku", "MUG\u200b1"), ("sku", "A\x071")],
)
async def test_refuses_a_text_with_what_nobody_can_see(shop, field, text):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.CreateProduct(create(shop, **{field: text}))

    assert said.violations[field].startswith("must not hold U+")


@pytest.mark.parametrize("code", ["ZZZ", "XXX", "XTS", "XAU", "CLF", "BGN", "eur", ""])
async def test_refuses_a_price_in_what_nobody_pays_in(shop, code):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.CreateProduct(create(shop, price=Money(currency_code=code, minor_units=1)))

    assert said.violations.keys() == {"price.currency_code"}


@pytest.mark.parametrize("field", ["sku", "name", "price", "request_id"])
async def test_refuses_a_request_that_lacks_a_field(shop, field):
    request = create(shop)
    request.ClearField(field)

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.CreateProduct(request)

    assert field in said.violations


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"category_id": "lamps"}, "category_id"),
        ({"attributes": {"": "blue"}}, "attributes[]"),
        ({"attributes": {61 * "a": "blue"}}, f"attributes[{61 * 'a'}]"),
        ({"attributes": {"col\nour": "blue"}}, "attributes[col\nour]"),
        ({"attributes": {"col\tour": "blue"}}, "attributes[col\tour]"),
        ({"attributes": {"col\u202eour": "blue"}}, "attributes[col\u202eour]"),
        ({"attributes": {"colour": 501 * "b"}}, "attributes[colour]"),
        ({"attributes": {"colour": "b\0e"}}, "attributes[colour]"),
        ({"attributes": {f"a{number}": "" for number in range(51)}}, "attributes"),
        ({"image_urls": ["ftp://example.org/a.png"]}, "image_urls[0]"),
        ({"image_urls": ["https://example.org/a.png", "a picture"]}, "image_urls[1]"),
        ({"image_urls": 21 * ["https://example.org/a.png"]}, "image_urls"),
        ({"tax_class": 41 * "a"}, "tax_class"),
        ({"low_stock_threshold": -1}, "low_stock_threshold"),
    ],
)
async def test_refuses_a_field_that_breaks_its_rule(shop, given, field):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.CreateProduct(create(shop, **given))

    assert field in said.violations
    assert await shop.published() == []


async def test_browsers_say_it_in_json(shop):
    body = {
        "sku": "MUG-1",
        "name": "Mug",
        "price": {"currencyCode": "EUR", "minorUnits": "1250"},
        "categoryId": await shelf(shop),
        "attributes": {"colour": "blue"},
        "imageUrls": ["https://example.org/a.png"],
        "lowStockThreshold": 3,
    }

    reply = await shop.rest("POST", f"/v1/stores/{shop.store_id}/products", body | {"requestId": new_id()})

    assert reply.status == 200, reply.body
    assert reply.body["product"].items() >= body.items()
    assert reply.body["product"]["status"] == "PRODUCT_STATUS_ACTIVE"


async def test_refuses_customers(shop):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.as_("customer", new_id()).catalog.CreateProduct(create(shop))

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
