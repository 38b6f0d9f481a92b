"""ListProducts."""

import pytest
from commerce.catalog.v1.catalog_service_pb2 import ListProductsRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import new_id
from tests.shop import refused


async def listed(shop, **given):
    return await shop.catalog.ListProducts(ListProductsRequest(store_id=shop.store_id, **given))


async def names(shop, **given):
    return [product.name for product in (await listed(shop, **given)).products]


async def test_lists_a_stores_products_newest_first(shop):
    created = [await shop.product(stock=0) for _ in range(3)]
    await shop.another().product(stock=0)

    reply = await listed(shop)

    assert [product.product_id for product in reply.products] == sorted(created, reverse=True)
    assert reply.next_page_token == ""


async def test_pages_show_every_product_once(shop):
    created = [await shop.product(stock=0) for _ in range(5)]

    seen, token, pages = [], "", 0
    while token or not pages:
        reply = await listed(shop, page_size=2, page_token=token)
        seen += [product.product_id for product in reply.products]
        token, pages = reply.next_page_token, pages + 1

    assert pages == 3
    assert seen == sorted(created, reverse=True)


async def test_what_is_created_meanwhile_moves_nothing(shop):
    older = [await shop.product(stock=0) for _ in range(3)]
    first = await listed(shop, page_size=2)
    await shop.product(stock=0)

    second = await listed(shop, page_size=2, page_token=first.next_page_token)

    assert [product.product_id for product in second.products] == [min(older)]


@pytest.mark.parametrize("query", ["mug", "MUG", "ug", "blue m", "b-10", "Ü"])
async def test_finds_a_part_of_a_name_or_sku_in_any_case(shop, query):
    await shop.product(stock=0, name="Blue mug for Übermut", sku="B-100")
    await shop.product(stock=0, name="Plate", sku="C-200")

    assert await names(shop, query=query) == ["Blue mug for Übermut"]


@pytest.mark.parametrize("query", ["%", "_", "\\", "100%", "a_b", "a\\b"])
async def test_a_query_means_its_characters_themselves(shop, query):
    await shop.product(stock=0, name="100% a_b a\\b", sku="X-1")
    await shop.product(stock=0, name="1000 aab", sku="X-2")

    assert await names(shop, query=query) == ["100% a_b a\\b"]


async def test_a_match_does_not_run_from_the_name_into_the_sku(shop):
    await shop.product(stock=0, name="Mug", sku="B-100")

    assert await names(shop, query="MugB") == await names(shop, query="Mug B") == []


async def test_pages_of_a_query_hold_only_what_matches(shop):
    for number in range(6):
        await shop.product(stock=0, name=f"Mug {number}" if number % 2 else f"Plate {number}")

    first = await listed(shop, query="mug", page_size=2)
    second = await listed(shop, query="mug", page_size=2, page_token=first.next_page_token)

    found = [product.name for product in (*first.products, *second.products)]
    assert found == ["Mug 5", "Mug 3", "Mug 1"]
    assert second.next_page_token == ""


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "é"])
async def test_refuses_a_token_that_is_none_of_ours(shop, token):
    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await listed(shop, page_token=token)


async def test_refuses_a_token_of_another_query_or_another_store(shop):
    for _ in range(2):
        await shop.product(stock=0, name="Mug")
    token = (await listed(shop, query="mug", page_size=1)).next_page_token

    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await listed(shop, query="plate", page_token=token)
    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await listed(shop.another(), query="mug", page_token=token)


async def test_customers_may_read(shop):
    await shop.product(stock=0, name="Mug")

    assert await names(shop.as_("customer", new_id())) == ["Mug"]
