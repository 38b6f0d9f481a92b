"""ListCategories."""

import grpc
import pytest

from tests.catalog.shelves import chain, listed, outline, shelf
from tests.shop import new_id


async def test_shows_each_category_after_its_parent_and_those_of_one_by_name(shop):
    garden, home = await shelf(shop, "Garden"), await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)
    for name, parent in (("Table", lamps), ("Desk", lamps), ("Chairs", home), ("Lawn", garden)):
        await shelf(shop, name, parent)

    assert await outline(shop) == ["Garden", ".Lawn", "Home", ".Chairs", ".Lamps", "..Desk", "..Table"]


async def test_names_stand_where_people_look_for_them(shop):
    for name in ("Zoo", "épées", "apples", "Etchings", "Änderungen", "etuis"):
        await shelf(shop, name)

    assert await outline(shop) == ["Änderungen", "apples", "épées", "Etchings", "etuis", "Zoo"]


async def test_shows_a_tree_of_two_thousand_levels(shop):
    levels = await chain(shop, 2_000)

    found = await listed(shop)

    assert [category.category_id for category in found] == levels
    assert [category.depth for category in found] == list(range(1, 2_001))


async def test_a_store_without_categories_has_none(shop):
    await shelf(shop.another())

    assert await outline(shop) == []


async def test_customers_may_read(shop):
    await shelf(shop, "Home")

    assert await outline(shop.as_("customer", new_id())) == ["Home"]


async def test_refuses_couriers(shop):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await listed(shop.as_("courier"))

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
