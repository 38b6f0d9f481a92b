"""ListCategories."""

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.catalog.tree import MOST_CATEGORIES
from tests.catalog.shelves import chain, listed, many, outline, page, shelf
from tests.shop import new_id, refused


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


async def test_pages_hold_every_category_once_in_their_order(shop):
    home = await shelf(shop, "Home")
    for name in ("Chairs", "Lamps", "Tables"):
        await shelf(shop, name, home)
    await shelf(shop, "Garden")
    whole = await page(shop)
    assert (len(whole.categories), whole.next_page_token) == (5, "")

    for size in (1, 2, 3, 5, 6):
        seen, token = [], ""
        while True:
            part = await page(shop, page_size=size, page_token=token)
            assert len(part.categories) <= size
            seen += part.categories
            token = part.next_page_token
            if not token:
                break
        assert seen == list(whole.categories)


async def test_as_many_as_a_store_may_have_with_the_longest_names_come_in_pages_that_clients_take(shop):
    await many(shop, MOST_CATEGORIES, letters=180)

    seen, token, pages = set(), "", 0
    while token or not pages:
        reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/categories", params={"pageToken": token})
        assert reply.status == 200, reply.body
        seen |= {category["categoryId"] for category in reply.body["categories"]}
        token, pages = reply.body["nextPageToken"], pages + 1

    assert len(seen) == MOST_CATEGORIES
    assert pages > 1
    assert len((await page(shop)).categories) < MOST_CATEGORIES


async def test_as_many_as_a_store_may_have_with_short_names_come_at_once(shop):
    await many(shop, MOST_CATEGORIES)

    whole = await page(shop)

    assert (len(whole.categories), whole.next_page_token) == (MOST_CATEGORIES, "")


async def test_refuses_a_page_token_of_another_store(shop):
    await many(shop, 3)
    token = (await page(shop, page_size=1)).next_page_token

    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await page(shop.another(), page_token=token)


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
