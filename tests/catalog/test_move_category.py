"""MoveCategory."""

import random

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.shelves import answers, chain, listed, move, outline, shelf
from tests.shop import new_id, refused


async def test_takes_along_all_that_lies_in_it(shop):
    home, garden = await shelf(shop, "Home"), await shelf(shop, "Garden")
    lamps = await shelf(shop, "Lamps", home)
    desk = await shelf(shop, "Desk", lamps)
    await shelf(shop, "Arm", desk)

    moved = (await shop.category.MoveCategory(move(lamps, garden))).category

    assert (moved.category_id, moved.parent_id, moved.name, moved.depth) == (lamps, garden, "Lamps", 2)
    assert await outline(shop) == ["Garden", ".Lamps", "..Desk", "...Arm", "Home"]


async def test_moves_to_the_top(shop):
    home = await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)
    await shelf(shop, "Desk", lamps)

    moved = (await shop.category.MoveCategory(move(lamps))).category

    assert (moved.parent_id, moved.depth) == ("", 1)
    assert await outline(shop) == ["Home", "Lamps", ".Desk"]


async def test_moving_to_where_it_lies_changes_nothing(shop):
    home = await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)

    moved = (await shop.category.MoveCategory(move(lamps, home.upper()))).category

    assert (moved.parent_id, moved.depth) == (home, 2)
    assert await outline(shop) == ["Home", ".Lamps"]


async def test_refuses_to_put_a_category_within_itself(shop):
    home = await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)
    desk = await shelf(shop, "Desk", lamps)

    for parent in (home, lamps, desk, desk.upper()):
        with refused(ErrorReason.ERROR_REASON_CATEGORY_CYCLE, category_id=home, parent_id=parent.lower()):
            await shop.category.MoveCategory(move(home, parent))

    assert await outline(shop) == ["Home", ".Lamps", "..Desk"]


async def test_refuses_a_place_where_another_category_has_the_name(shop):
    home = await shelf(shop, "Home")
    lamps = await shelf(shop, "Lamps", home)
    await shelf(shop, "Lamps")

    with refused(ErrorReason.ERROR_REASON_CATEGORY_NAME_TAKEN, name="Lamps"):
        await shop.category.MoveCategory(move(lamps))

    assert await outline(shop) == ["Home", ".Lamps", "Lamps"]


async def test_of_many_of_one_name_at_once_one_gets_the_place(shop):
    places = [await shelf(shop, f"Place {number}") for number in range(8)]
    lamps = [await shelf(shop, "Lamps", place) for place in places]

    ended = await answers(*(shop.category.MoveCategory(move(each)) for each in lamps))

    assert sorted(ended) == 7 * ["CATEGORY_NAME_TAKEN"] + ["OK"]


async def test_of_two_opposite_moves_at_once_exactly_one_is_refused(shop):
    for each in range(20):
        one, other = await shelf(shop, f"One {each}"), await shelf(shop, f"Other {each}")

        ended = await answers(
            shop.category.MoveCategory(move(one, other)), shop.category.MoveCategory(move(other, one))
        )

        assert sorted(ended) == ["CATEGORY_CYCLE", "OK"]
    assert len(await listed(shop)) == 40


async def test_whatever_moves_at_once_a_tree_stays_a_tree(shop):
    dice = random.Random(7)
    shelves = [await shelf(shop, f"Shelf {number}") for number in range(12)]

    for _ in range(5):
        moves = [(dice.choice(shelves), dice.choice([*shelves, ""])) for _ in range(40)]
        ended = await answers(*(shop.category.MoveCategory(move(*each)) for each in moves))

        assert set(ended) <= {"OK", "CATEGORY_CYCLE"}
        assert "OK" in ended
        reachable = {category.category_id for category in await listed(shop)}
        assert reachable == set(shelves)


async def test_a_tree_may_be_two_thousand_levels_deep(shop):
    levels = await chain(shop, 2_000)
    home = await shelf(shop, "Home")

    moved = (await shop.category.MoveCategory(move(levels[0], home))).category
    with refused(ErrorReason.ERROR_REASON_CATEGORY_CYCLE):
        await shop.category.MoveCategory(move(home, levels[-1]))
    below = (await shop.category.MoveCategory(move(levels[1_000], levels[0]))).category

    assert (moved.depth, below.depth) == (2, 3)
    assert max(category.depth for category in await listed(shop)) == 1_002


async def test_one_request_id_is_one_move(shop):
    home, lamps = await shelf(shop, "Home"), await shelf(shop, "Lamps")
    request = move(lamps, home)

    first = await shop.category.MoveCategory(request)
    await shop.category.MoveCategory(move(lamps))
    await shop.category.MoveCategory(move(home, lamps))
    again = await shop.category.MoveCategory(request)

    assert again == first
    assert await outline(shop) == ["Lamps", ".Home"]


async def test_another_stores_category_is_refused_like_a_missing_one(shop):
    other = shop.another()
    home, foreign = await shelf(shop, "Home"), await shelf(other)

    for missing in (foreign, new_id()):
        for request in (move(missing), move(missing, home), move(home, missing)):
            with refused(ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND, category_id=missing) as said:
                await shop.category.MoveCategory(request)
            assert said.message == f"There is no category {missing}"

    assert (await outline(shop), await outline(other)) == (["Home"], ["Lamps"])


async def test_not_even_the_platform_moves_a_category_into_another_store(shop):
    foreign = await shelf(shop.another())

    with refused(ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND, category_id=foreign):
        await shop.as_("platform_admin").category.MoveCategory(move(await shelf(shop), foreign))


async def test_refuses_a_parent_that_is_no_id(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.category.MoveCategory(move(await shelf(shop), "top"))

    assert said.violations.keys() == {"parent_id"}


async def test_refuses_customers(shop):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.as_("customer", new_id()).category.MoveCategory(move(await shelf(shop)))

    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
