"""CommitReservations."""

import pytest

from tests.catalog.orders import at_once, commit, held, new_id, promised, release, reserve, stock, wants


async def test_takes_the_units_out_of_the_stock(shop):
    mug, cup = await shop.product(stock=5), await shop.product(stock=5)
    order_id = await held(shop, (mug, 2), (cup, 1))

    assert await commit(shop, order_id) == ["COMMITTED"]

    assert await stock(shop, mug) == (3, 0, 3)
    assert await stock(shop, cup) == (4, 0, 4)


async def test_twice_takes_the_units_once(shop):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))

    assert await commit(shop, order_id, order_id) == ["COMMITTED", "COMMITTED"]
    assert await commit(shop, order_id) == ["COMMITTED"]

    assert await stock(shop, product_id) == (3, 0, 3)


async def test_many_at_once_take_the_units_once(shop):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))

    assert await at_once(*(commit(shop, order_id) for _ in range(20))) == [["COMMITTED"]] * 20

    assert await stock(shop, product_id) == (3, 0, 3)


async def test_answers_each_order_by_itself_in_the_order_asked(shop):
    product_id = await shop.product(stock=5)
    first, released, last = [await held(shop, (product_id, 1)) for _ in range(3)]
    await release(shop, released)

    fared = await commit(shop, new_id(), first, released, last)

    assert fared == ["RESERVATION_NOT_FOUND", "COMMITTED", "RESERVATION_RELEASED", "COMMITTED"]
    assert await stock(shop, product_id) == (3, 0, 3)


async def test_a_reservation_that_was_refused_is_not_remembered(shop):
    product_id, order_id = await shop.product(stock=1), new_id()
    await reserve(shop, wants(shop, (product_id, 2), order_id=order_id))

    assert await commit(shop, order_id) == ["RESERVATION_NOT_FOUND"]
    assert await reserve(shop, wants(shop, (product_id, 1), order_id=order_id)) == ["HELD"]


@pytest.mark.parametrize("times", range(3))
async def test_a_release_at_once_with_the_commit_wins_in_the_end(shop, times):
    product_id = await shop.product(stock=100)
    orders = [await held(shop, (product_id, 1)) for _ in range(20)]

    fared = await at_once(
        *(verb(shop, order_id) for order_id in orders for verb in (commit, release, commit))
    )

    assert {word for (word,) in fared} <= {"COMMITTED", "RELEASED", "RESERVATION_RELEASED"}
    assert await stock(shop, product_id) == (100, 0, 100)
    assert await promised(shop, product_id) == (0, 0)
