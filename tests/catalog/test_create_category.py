"""CreateCategory."""

import asyncio
import uuid

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.shelves import answers, create, listed, many, outline, shelf
from tests.shop import new_id, refused


async def test_answers_with_the_category_as_it_is_kept(shop):
    top = (await shop.category.CreateCategory(create(shop, "Home"))).category
    within = (await shop.category.CreateCategory(create(shop, "Lamps", top.category_id))).category

    assert (top.store_id, top.parent_id, top.name, top.depth) == (shop.store_id, "", "Home", 1)
    assert (within.parent_id, within.name, within.depth) == (top.category_id, "Lamps", 2)
    assert uuid.UUID(within.category_id).version == 7
    assert list(await listed(shop)) == [top, within]


async def test_refuses_a_name_that_another_category_has_at_that_place(shop):
    home = await shelf(shop, "Home")
    await shelf(shop, "Lamps", home)

    for name, parent in (("Home", ""), ("Lamps", home)):
        with refused(ErrorReason.ERROR_REASON_CATEGORY_NAME_TAKEN, name=name):
            await shop.category.CreateCategory(create(shop, name, parent))

    assert await outline(shop) == ["Home", ".Lamps"]


async def test_one_name_may_be_at_many_places(shop):
    home = await shelf(shop, "Home")
    await shelf(shop, "Home", home)
    await shelf(shop.another(), "Home")

    assert await outline(shop) == ["Home", ".Home"]


async def test_of_many_at_once_with_one_name_one_is_created(shop):
    ended = await answers(*(shop.category.CreateCategory(create(shop)) for _ in range(20)))

    assert sorted(ended) == 19 * ["CATEGORY_NAME_TAKEN"] + ["OK"]


async def test_one_request_id_is_one_category(shop):
    request = create(shop)

    replies = await asyncio.gather(*(shop.category.CreateCategory(request) for _ in range(10)))

    assert len({reply.SerializeToString() for reply in replies}) == 1
    assert await outline(shop) == ["Lamps"]


async def test_another_stores_category_is_no_parent_just_like_a_missing_one(shop):
    for parent in (await shelf(shop.another()), new_id()):
        with refused(ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND, category_id=parent) as said:
            await shop.category.CreateCategory(create(shop, parent=parent))
        assert said.message == f"There is no category {parent}"

    assert await outline(shop) == []


async def test_a_parent_is_the_same_in_capitals(shop):
    home = await shelf(shop, "Home")

    made = (await shop.category.CreateCategory(create(shop, parent=home.upper()))).category

    assert made.parent_id == home


async def test_a_store_has_ten_thousand_and_no_more(shop):
    await many(shop, 9_997)

    ended = await answers(
        *(shop.category.CreateCategory(create(shop, f"Lamps {number}")) for number in range(10))
    )

    assert sorted(ended) == 7 * ["CATEGORIES_TOO_MANY"] + 3 * ["OK"]
    assert len(await listed(shop)) == 10_000
    with refused(ErrorReason.ERROR_REASON_CATEGORIES_TOO_MANY, limit="10000"):
        await shelf(shop, "One more")
    await shelf(shop.another(), "Of another store")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 201 * "a"),
        ("name", "a\0b"),
        ("parent_id", "top"),
        ("store_id", ""),
        ("request_id", ""),
    ],
)
async def test_refuses_a_field_that_breaks_its_rule(shop, field, value):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.as_service.category.CreateCategory(create(shop, **{field: value}))

    assert said.violations.keys() == {field}


@pytest.mark.parametrize("role", ["customer", "courier"])
async def test_refuses_who_does_not_run_the_store(shop, role):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.as_(role, new_id()).category.CreateCategory(create(shop))

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_browsers_create_and_list_them(shop):
    path = f"/v1/stores/{shop.store_id}/categories"

    made = await shop.rest("POST", path, {"name": "Home", "requestId": new_id()})

    assert (made.status, made.body["category"]["name"]) == (200, "Home")
    assert (await shop.rest("GET", path)).body == {
        "categories": [made.body["category"]],
        "nextPageToken": "",
    }
