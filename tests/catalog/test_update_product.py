"""UpdateProduct."""

import asyncio

import pytest
from commerce.catalog.v1.catalog_events_pb2 import ProductUpdated, StockLow
from commerce.catalog.v1.catalog_service_pb2 import (
    GetProductRequest,
    ListProductsRequest,
    UpdateProductRequest,
)
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from google.protobuf.field_mask_pb2 import FieldMask

from tests.catalog.orders import held, new_id, reserve, stock, wants
from tests.catalog.shelves import shelf
from tests.shop import refused

DEAR = Money(currency_code="EUR", minor_units=9900)


def update(product_id, *paths, **given):
    mask = FieldMask(paths=paths)
    return UpdateProductRequest(
        **({"product_id": product_id, "update_mask": mask, "request_id": new_id()} | given)
    )


async def kept(shop, product_id):
    return (await shop.catalog.GetProduct(GetProductRequest(product_id=product_id))).product


async def test_changes_what_is_set_when_the_mask_is_empty(shop):
    product_id = await shop.product(name="Mug", sku="M-1")

    renamed = (await shop.catalog.UpdateProduct(update(product_id, name="Cup"))).product
    repriced = (await shop.catalog.UpdateProduct(update(product_id, price=DEAR))).product

    assert (renamed.name, renamed.price.minor_units, renamed.version) == ("Cup", 1999, 2)
    assert (repriced.name, repriced.price, repriced.version, repriced.sku) == ("Cup", DEAR, 3, "M-1")
    assert await kept(shop, product_id) == repriced
    assert repriced.create_time.ToNanoseconds() < repriced.update_time.ToNanoseconds()


async def test_changes_only_what_the_mask_names(shop):
    product_id = await shop.product(name="Mug")

    changed = (await shop.catalog.UpdateProduct(update(product_id, "price", name="Cup", price=DEAR))).product

    assert (changed.name, changed.price) == ("Mug", DEAR)


# All that may be said of a product and taken back.
DETAILS = {
    "attributes": {"colour": "blue", "size": "½ l"},
    "image_urls": ["https://example.org/b.png", "https://example.org/a.png"],
    "tax_class": "food",
    "low_stock_threshold": 7,
}


async def test_sets_everything_else_that_is_said_of_it(shop):
    product_id = await shop.product(name="Mug")
    details = DETAILS | {"category_id": await shelf(shop)}

    changed = (await shop.catalog.UpdateProduct(update(product_id, **details))).product

    assert {name: getattr(changed, name) for name in details} == details
    assert (changed.name, changed.version) == ("Mug", 2)
    assert await kept(shop, product_id) == changed
    assert await shop.published(ProductUpdated) == [ProductUpdated(product=changed)]


@pytest.mark.parametrize("field", [*DETAILS, "category_id"])
async def test_empties_what_the_mask_names_and_nothing_sets(shop, field):
    details = DETAILS | {"category_id": await shelf(shop)}
    product_id = await shop.product(**details)

    changed = (await shop.catalog.UpdateProduct(update(product_id, field, name="Cup"))).product

    empty = type(changed)()
    assert getattr(changed, field) == getattr(empty, field)
    assert {name: getattr(changed, name) for name in details if name != field} == {
        name: value for name, value in details.items() if name != field
    }
    assert (changed.name, changed.version) == ("Analytical engine", 2)
    assert await kept(shop, product_id) == changed


async def test_an_empty_mask_empties_nothing_but_what_is_set_to_nothing(shop):
    product_id = await shop.product(**DETAILS)

    changed = (
        await shop.catalog.UpdateProduct(update(product_id, tax_class="", low_stock_threshold=0))
    ).product

    assert (changed.tax_class, changed.low_stock_threshold) == ("", 0)
    assert (changed.attributes, changed.image_urls) == (DETAILS["attributes"], DETAILS["image_urls"])


async def test_new_attributes_and_pictures_replace_the_old_ones(shop):
    product_id = await shop.product(**DETAILS)
    new = {"attributes": {"colour": "red"}, "image_urls": ["https://example.org/c.png"]}

    changed = (await shop.catalog.UpdateProduct(update(product_id, **new))).product

    assert (changed.attributes, changed.image_urls) == (new["attributes"], new["image_urls"])


async def test_another_stores_category_is_refused_like_a_missing_one(shop):
    product_id = await shop.product()

    for category_id in (await shelf(shop.another()), new_id()):
        with refused(ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND, category_id=category_id):
            await shop.catalog.UpdateProduct(update(product_id, category_id=category_id, name="Cup"))

    assert (await kept(shop, product_id)).version == 1


async def test_a_threshold_above_what_is_available_tells_it_once(shop):
    product_id = await shop.product(stock=5, low_stock_threshold=5)

    for threshold in (4, 5, 7, 9):
        await shop.catalog.UpdateProduct(update(product_id, low_stock_threshold=threshold))

    (event,) = await shop.published(StockLow)
    assert (event.product_id, event.available, event.threshold) == (product_id, 5, 7)


async def test_is_found_by_its_new_name_and_no_more_by_its_old_one(shop):
    product_id = await shop.product(name="Mug", sku="M-1")

    await shop.catalog.UpdateProduct(update(product_id, name="Théière"))

    for query, number in (("mug", 0), ("theiere", 1), ("m-1", 1)):
        request = ListProductsRequest(store_id=shop.store_id, query=query)
        assert len((await shop.catalog.ListProducts(request)).products) == number


async def test_refuses_a_price_in_no_currency_but_takes_a_name_for_what_has_one(shop):
    product_id = await shop.product(currency="EUR")
    await shop.clients.rows(
        "UPDATE catalog.products SET currency_code = 'BGN' WHERE product_id = $1", product_id
    )

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.UpdateProduct(update(product_id, price=Money(currency_code="BGN", minor_units=1)))
    assert said.violations.keys() == {"price.currency_code"}

    renamed = (await shop.catalog.UpdateProduct(update(product_id, name="Teapot"))).product
    assert (renamed.name, renamed.price.currency_code) == ("Teapot", "BGN")


@pytest.mark.parametrize("field", ["name", "price"])
async def test_refuses_to_empty_a_field(shop, field):
    product_id = await shop.product()

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.UpdateProduct(update(product_id, field))

    assert said.violations.keys() == {field}


@pytest.mark.parametrize("path", ["sku", "price.minor_units", "nonsense"])
async def test_refuses_a_mask_that_names_something_else(shop, path):
    product_id = await shop.product()

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.catalog.UpdateProduct(update(product_id, path, price=DEAR))

    assert [field.partition(".")[0] for field in said.violations] == ["update_mask"]
    assert (await kept(shop, product_id)).version == 1


async def test_tells_of_the_product_as_it_is_now(shop):
    product_id = await shop.product()

    changed = (await shop.catalog.UpdateProduct(update(product_id, name="Cup"))).product

    assert await shop.published() == [ProductUpdated(product=changed)]


async def test_a_change_that_changes_nothing_keeps_the_version_and_tells_nobody(shop):
    product_id = await shop.product(name="Mug")

    await shop.catalog.UpdateProduct(update(product_id))
    await shop.catalog.UpdateProduct(update(product_id, "category_id", "attributes"))
    same = (await shop.catalog.UpdateProduct(update(product_id, name="Mug"))).product

    assert same.version == 1
    assert await shop.published() == []


async def test_many_at_once_leave_no_gap_in_the_versions(shop):
    product_id = await shop.product()

    replies = await asyncio.gather(
        *(shop.catalog.UpdateProduct(update(product_id, name=f"Mug {number}")) for number in range(20))
    )

    assert sorted(reply.product.version for reply in replies) == list(range(2, 22))
    assert len(await shop.published(ProductUpdated)) == 20


async def test_one_request_id_is_one_change(shop):
    request = update(await shop.product(), name="Cup")

    first = await shop.catalog.UpdateProduct(request)
    await shop.catalog.UpdateProduct(update(request.product_id, name="Plate"))
    again = await shop.catalog.UpdateProduct(request)

    assert again == first
    assert (await kept(shop, request.product_id)).name == "Plate"


async def test_a_new_price_holds_for_reservations_from_then_on(shop):
    product_id = await shop.product(stock=5)
    await held(shop, (product_id, 2))

    await shop.catalog.UpdateProduct(update(product_id, price=DEAR))

    assert await stock(shop, product_id) == (5, 2, 3)
    assert await reserve(shop, wants(shop, (product_id, 1))) == ["PRODUCT_PRICE_CHANGED"]
    assert await reserve(shop, wants(shop, (product_id, 1), price=9900)) == ["HELD"]


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product()

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await shop.catalog.UpdateProduct(update(product_id, name="Mine"))
