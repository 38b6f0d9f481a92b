"""ListCustomers."""

import uuid

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import ListCustomersRequest

from tests.shop import refused


async def listed(shop, **given):
    request = ListCustomersRequest(store_id=shop.store_id, **given)
    reply = await shop.customers.ListCustomers(request)
    return [customer.customer_id for customer in reply.customers], reply.next_page_token


@pytest.fixture
async def five(shop):
    """Five customers, the newest first."""
    created = [await shop.customer() for _ in range(5)]
    return sorted(created, reverse=True)


async def test_lists_the_newest_first_and_no_other_stores(shop, five):
    await shop.another().customer()

    assert await listed(shop) == (five, "")


async def test_an_empty_store_has_one_empty_page(shop):
    assert await listed(shop) == ([], "")


async def test_pages_hold_every_customer_once_and_the_last_one_says_so(shop, five):
    seen, token = await listed(shop, page_size=2)
    pages = 1
    while token:
        more, token = await listed(shop, page_size=2, page_token=token)
        seen += more
        pages += 1

    assert (seen, pages) == (five, 3)


async def test_a_page_that_is_just_full_is_the_last_one(shop, five):
    assert await listed(shop, page_size=5) == (five, "")


async def test_a_customer_created_between_two_pages_moves_nothing(shop, five):
    first, token = await listed(shop, page_size=3)
    await shop.customer()

    assert first + (await listed(shop, page_token=token))[0] == five


@pytest.mark.parametrize("query", ["hopper", "GRACE", "ce ho", "@Navy.mil", "4915", "+49", "e"])
async def test_finds_any_part_of_a_name_a_mail_address_or_a_telephone_number(shop, query):
    grace = await shop.customer(full_name="Grace Hopper", email="grace@navy.mil", phone="+4915112345678")
    await shop.customer(full_name="Bo", email="bo@xx.dk")

    assert await listed(shop, query=query) == ([grace], "")


@pytest.mark.parametrize(
    "query",
    [
        "Zoë",
        "Zoe\u0308",
        "zoe",
        "ZOË",
        " zoë ",
        "müller",
        "MULLER",
        "Zoe\u0308 Mu\u0308ller",
        "ｚｏｅ",
        "zoë  müller",
    ],
)
@pytest.mark.parametrize("name", ["Zoë Müller", "Zoe\u0308 Mu\u0308ller"])
async def test_finds_a_name_however_its_letters_are_put_together(shop, name, query):
    zoe = await shop.customer(full_name=name)
    await shop.customer(full_name="Bo")

    assert await listed(shop, query=query) == ([zoe], "")


@pytest.mark.parametrize("query", ["+49 151 12345678", "+49 (151) 1234-5678", "+4915112345678"])
async def test_finds_a_telephone_number_as_people_write_it(shop, query):
    grace = await shop.customer(phone="+4915112345678")
    await shop.customer(phone="+4915187654321")

    assert await listed(shop, query=query) == ([grace], "")


@pytest.mark.parametrize("query", ["%", "_", "\\", "100%", "a_b", "a\\b"])
async def test_a_character_that_sql_gives_a_meaning_means_itself(shop, query):
    await shop.customer(full_name="a b 100")
    odd = await shop.customer(full_name="a_b a\\b 100%")

    assert await listed(shop, query=query) == ([odd], "")


async def test_pages_through_what_a_query_finds(shop):
    hoppers = sorted([await shop.customer(full_name=f"Hopper {n}") for n in range(3)], reverse=True)
    await shop.customer()

    first, token = await listed(shop, query="hopper", page_size=2)
    assert first + (await listed(shop, query="hopper", page_token=token))[0] == hoppers


async def test_refuses_a_page_token_of_another_query_another_store_or_nobody(shop, five):
    _, token = await listed(shop, page_size=2)
    another = shop.another()

    for ask in (
        lambda: listed(shop, query="a", page_token=token),
        lambda: listed(another, page_token=token),
        lambda: listed(shop, page_token=token[:-4] + "AAAA"),
        lambda: listed(shop, page_token="WyJmZmZmIl0="),
        lambda: listed(shop, page_token="ünreadable"),
    ):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID) as said:
            await ask()
        assert "page_token" in said.violations


async def test_refuses_a_page_larger_than_the_contract_allows(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await listed(shop, page_size=501)

    assert "page_size" in said.violations


async def test_a_customer_may_not_list_the_others(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="CUSTOMER"):
        await listed(shop.as_("customer", str(uuid.uuid4())))


async def test_a_browser_searches_by_its_address_line(shop):
    grace = await shop.customer(full_name="Grace Hopper & Söhne")
    await shop.customer()

    reply = await shop.rest(
        "GET", f"/v1/stores/{shop.store_id}/customers", params={"query": "& söhne", "pageSize": "1"}
    )

    assert [customer["customerId"] for customer in reply.body["customers"]] == [grace]
    assert reply.body["nextPageToken"] == ""
