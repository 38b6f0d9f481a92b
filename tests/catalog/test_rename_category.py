"""RenameCategory."""

import grpc
import pytest
from commerce.catalog.v1.catalog_service_pb2 import ListProductsRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.shelves import answers, outline, rename, shelf
from tests.shop import new_id, refused


async def test_gives_a_category_another_name_where_it_is(shop):
    home = await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)
    await shelf(shop, "Desk", lamps)
    product_id = await shop.product(stock=0, category_id=lamps)

    renamed = (await shop.category.RenameCategory(rename(lamps, "Lights"))).category

    assert (renamed.category_id, renamed.parent_id, renamed.name, renamed.depth) == (lamps, home, "Lights", 2)
    assert await outline(shop) == ["Home", ".Lights", "..Desk"]
    request = ListProductsRequest(store_id=shop.store_id, category_id=lamps)
    found = (await shop.catalog.ListProducts(request)).products
    assert [product.product_id for product in found] == [product_id]


async def test_refuses_the_name_of_another_category_at_that_place(shop):
    await shelf(shop, "Home")
    garden = await shelf(shop, "Garden")

    with refused(ErrorReason.ERROR_REASON_CATEGORY_NAME_TAKEN, name="Home"):
        await shop.category.RenameCategory(rename(garden, "Home"))

    assert await outline(shop) == ["Garden", "Home"]


async def test_a_category_may_keep_its_name_or_take_one_of_another_place(shop):
    home = await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)

    await shop.category.RenameCategory(rename(lamps, "Lamps"))
    await shop.category.RenameCategory(rename(lamps, "Home"))

    assert await outline(shop) == ["Home", ".Home"]


@pytest.mark.parametrize("name", ["home", "HOME ", "Ｈｏｍｅ", "Ho\u00adme"])
async def test_refuses_a_name_that_people_take_for_that_of_another(shop, name):
    home, garden = await shelf(shop, "Home"), await shelf(shop, "Garden")

    with refused(ErrorReason.ERROR_REASON_CATEGORY_NAME_TAKEN, name="Home", category_id=home):
        await shop.category.RenameCategory(rename(garden, name))

    renamed = (await shop.category.RenameCategory(rename(home, name))).category
    assert renamed.name == name.strip()


@pytest.mark.parametrize("name", [" ", "\u200b", "\u2800\u00a0"])
async def test_refuses_a_name_that_nobody_can_read(shop, name):
    home = await shelf(shop, "Home")

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.category.RenameCategory(rename(home, name))

    assert said.violations.keys() == {"name"}


async def test_of_many_at_once_one_gets_the_name(shop):
    shelves = [await shelf(shop, f"Shelf {number}") for number in range(10)]

    ended = await answers(*(shop.category.RenameCategory(rename(each, "Sale")) for each in shelves))

    assert sorted(ended) == 9 * ["CATEGORY_NAME_TAKEN"] + ["OK"]


async def test_one_request_id_is_one_renaming(shop):
    request = rename(await shelf(shop), "Lights")

    first = await shop.category.RenameCategory(request)
    await shop.category.RenameCategory(rename(request.category_id, "Bulbs"))
    again = await shop.category.RenameCategory(request)

    assert again == first
    assert await outline(shop) == ["Bulbs"]


async def test_another_stores_category_is_refused_like_a_missing_one(shop):
    other = shop.another()

    for category_id in (await shelf(other), new_id()):
        with refused(ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND, category_id=category_id) as said:
            await shop.category.RenameCategory(rename(category_id, "Mine"))
        assert said.message == f"There is no category {category_id}"

    assert await outline(other) == ["Lamps"]


async def test_who_runs_the_platform_may_in_any_store(shop):
    await shop.as_("platform_admin").category.RenameCategory(rename(await shelf(shop), "Lights"))

    assert await outline(shop) == ["Lights"]


async def test_refuses_a_name_that_is_empty(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.category.RenameCategory(rename(await shelf(shop), ""))

    assert said.violations.keys() == {"name"}


async def test_refuses_customers(shop):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.as_("customer", new_id()).category.RenameCategory(rename(await shelf(shop), "Mine"))

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
