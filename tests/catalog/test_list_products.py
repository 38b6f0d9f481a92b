"""ListProducts."""

import pytest
from commerce.catalog.v1.catalog_pb2 import ProductStatus
from commerce.catalog.v1.catalog_service_pb2 import ArchiveProductRequest, ListProductsRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import new_id
from tests.catalog.shelves import chain, move, shelf
from tests.shop import refused

ACTIVE, ARCHIVED = ProductStatus.PRODUCT_STATUS_ACTIVE, ProductStatus.PRODUCT_STATUS_ARCHIVED


async def listed(shop, **given):
    return await shop.catalog.ListProducts(ListProductsRequest(store_id=shop.store_id, **given))


async def names(shop, **given):
    return [product.name for product in (await listed(shop, **given)).products]


async def archived(shop, **given):
    product_id = await shop.product(stock=0, **given)
    await shop.catalog.ArchiveProduct(ArchiveProductRequest(product_id=product_id, request_id=new_id()))
    return product_id


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


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("Café crème", ["cafe", "CREME", "café", "CAFE\u0301 CRE\u0300ME", "fe cr"]),
        ("ELEVE", ["élève", "eleve"]),
        ("Straße 7", ["STRASSE", "straße"]),
        ("ÅNGSTRÖM", ["angstrom", "ångström", "A\u030angstro\u0308m"]),
        ("Łódź Smørrebrød", ["lodz", "ŁÓDŹ", "smorrebrod", "SMØRREBRØD"]),
        ("ΣΊΣΥΦΟΣ", ["σισυφος", "ΣΙΣΥΦΟΣ"]),
        ("Ｗｉｄｅ ½ l", ["wide", "WIDE"]),
        ("東京タワー", ["東京", "タワ"]),
        ("two  gaps", ["two gaps", " two\tgaps "]),
    ],
)
async def test_finds_it_whatever_the_case_and_the_accents(shop, name, queries):
    await shop.product(stock=0, name=name)
    await shop.product(stock=0, name="Plate")

    for query in queries:
        assert await names(shop, query=query) == [name], query


async def test_a_query_of_gaps_only_is_none(shop):
    await shop.product(stock=0, name="Mug")

    assert await names(shop, query=" \t ") == ["Mug"]


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


async def test_lists_what_is_in_a_category_or_in_one_that_lies_in_it(shop):
    home, garden = await shelf(shop, "Home"), await shelf(shop, "Garden")
    lamps = await shelf(shop, "Lamps", home)
    desk = await shelf(shop, "Desk", lamps)
    for name, category in (
        ("Desk lamp", desk),
        ("Sofa", home),
        ("Bulb", lamps),
        ("Rake", garden),
        ("Tea", ""),
    ):
        await shop.product(stock=0, name=name, category_id=category)

    assert await names(shop, category_id=home) == ["Bulb", "Sofa", "Desk lamp"]
    assert await names(shop, category_id=lamps.upper()) == ["Bulb", "Desk lamp"]
    assert await names(shop, category_id=garden) == ["Rake"]
    await shop.category.MoveCategory(move(lamps, garden))
    assert await names(shop, category_id=home) == ["Sofa"]
    assert await names(shop, category_id=garden) == ["Rake", "Bulb", "Desk lamp"]


async def test_a_category_may_lie_two_thousand_levels_deep(shop):
    levels = await chain(shop, 2_000)
    await shop.product(stock=0, name="Needle", category_id=levels[-1])

    assert await names(shop, category_id=levels[0]) == ["Needle"]
    assert await names(shop, category_id=levels[0], query="need") == ["Needle"]


async def test_another_stores_category_is_refused_like_a_missing_one(shop):
    for category_id in (await shelf(shop.another()), new_id()):
        with refused(ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND, category_id=category_id) as said:
            await listed(shop, category_id=category_id)
        assert said.message == f"There is no category {category_id}"


async def test_lists_those_of_a_status(shop):
    await shop.product(stock=0, name="Mug")
    await archived(shop, name="Cup")
    await shop.product(stock=0, name="Plate")

    assert await names(shop) == ["Plate", "Cup", "Mug"]
    assert await names(shop, status=ACTIVE) == ["Plate", "Mug"]
    assert await names(shop, status=ARCHIVED) == ["Cup"]


async def test_customers_see_what_is_sold(shop):
    home = await shelf(shop, "Home")
    await archived(shop, name="Red mug", category_id=home)
    await shop.product(stock=0, name="Blue mug", category_id=home)
    customer = shop.as_("customer", new_id())

    for given in ({}, {"status": ACTIVE}, {"query": "mug"}, {"category_id": home}):
        assert await names(customer, **given) == ["Blue mug"], given
    assert await names(customer, status=ARCHIVED) == []


async def test_filters_combine(shop):
    home = await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)
    made = {}
    for name in ("Red lamp", "Red mug"):
        for category in ("", home, lamps):
            for make in (shop.product, archived):
                given = {"name": name, "category_id": category}
                product_id = await (archived(shop, **given) if make is archived else make(stock=0, **given))
                made[product_id] = (name, category, ARCHIVED if make is archived else ACTIVE)

    for query in ("", "lamp", "RED", "nothing"):
        for category, below in (("", ("", home, lamps)), (home, (home, lamps)), (lamps, (lamps,))):
            for status in (0, ACTIVE, ARCHIVED):
                reply = await listed(shop, query=query, category_id=category, status=status)
                assert [product.product_id for product in reply.products] == sorted(
                    (
                        product_id
                        for product_id, (name, place, state) in made.items()
                        if query.lower() in name.lower() and place in below and status in (0, state)
                    ),
                    reverse=True,
                ), (query, category, status)


@pytest.mark.parametrize(
    "given", [{}, {"query": "mug"}, {"category_id": 1}, {"query": "m", "category_id": 1}]
)
async def test_pages_go_through_every_category_and_status_in_one_order(shop, given):
    home = await shelf(shop, "Home")
    shelves = [home, await shelf(shop, "Lamps", home), await shelf(shop, "Mugs", home)]
    created = []
    for number in range(7):
        place = {"name": f"Mug {number}", "category_id": shelves[number % 3]}
        created.append(await (archived(shop, **place) if number % 2 else shop.product(stock=0, **place)))
    given = given | ({"category_id": home} if "category_id" in given else {})

    seen, token, pages = [], "", 0
    while token or not pages:
        reply = await listed(shop, page_size=3, page_token=token, **given)
        seen += [product.product_id for product in reply.products]
        token, pages = reply.next_page_token, pages + 1

    assert (seen, pages) == (sorted(created, reverse=True), 3)


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "é"])
async def test_refuses_a_token_that_is_none_of_ours(shop, token):
    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await listed(shop, page_token=token)


async def test_refuses_a_token_of_another_query_or_another_store(shop):
    for _ in range(2):
        await shop.product(stock=0, name="Mug")
    token = (await listed(shop, query="mug", page_size=1)).next_page_token

    for given in ({"query": "plate"}, {"status": ACTIVE}, {"category_id": await shelf(shop)}):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
            await listed(shop, **({"query": "mug"} | given), page_token=token)
    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await listed(shop.another(), query="mug", page_token=token)


async def test_refuses_a_status_that_there_is_none_of(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await listed(shop, status=9)

    assert said.violations.keys() == {"status"}


async def test_browsers_filter_in_the_url(shop):
    home = await shelf(shop, "Home")
    await shop.product(stock=0, name="Crème", category_id=home)
    await archived(shop, name="Creme", category_id=home)

    path = f"/v1/stores/{shop.store_id}/products?query=cr%C3%A8me&categoryId={home}"
    reply = await shop.rest("GET", f"{path}&status=PRODUCT_STATUS_ACTIVE")

    assert reply.status == 200, reply.body
    assert [product["name"] for product in reply.body["products"]] == ["Crème"]


async def test_customers_may_read(shop):
    await shop.product(stock=0, name="Mug")

    assert await names(shop.as_("customer", new_id())) == ["Mug"]
