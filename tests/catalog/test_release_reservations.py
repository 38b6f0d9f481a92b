"""ReleaseReservations."""

from tests.catalog.orders import at_once, commit, held, new_id, promised, release, reserve, stock, wants


async def test_gives_units_back(shop):
    mug, cup = await shop.product(stock=5), await shop.product(stock=5)
    order_id = await held(shop, (mug, 2), (cup, 1))

    assert await release(shop, order_id) == ["RELEASED"]

    assert await stock(shop, mug) == await stock(shop, cup) == (5, 0, 5)


async def test_gives_committed_units_back_too(shop):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))
    await commit(shop, order_id)

    assert await release(shop, order_id) == ["RELEASED"]

    assert await stock(shop, product_id) == (5, 0, 5)


async def test_twice_gives_units_back_once(shop):
    product_id = await shop.product(stock=5)
    first, second = [await held(shop, (product_id, 2)) for _ in range(2)]

    assert await release(shop, first, first) == ["RELEASED", "RELEASED"]
    assert await at_once(*(release(shop, first) for _ in range(20))) == [["RELEASED"]] * 20

    assert await stock(shop, product_id) == (5, 2, 3)
    assert await release(shop, first, second) == ["RELEASED", "RELEASED"]
    assert await stock(shop, product_id) == (5, 0, 5)


async def test_remembers_an_order_that_reserved_nothing(shop):
    product_id, order_id = await shop.product(stock=5), new_id()

    assert await at_once(*(release(shop, order_id) for _ in range(10))) == [["RELEASED"]] * 10

    assert await reserve(shop, wants(shop, (product_id, 1), order_id=order_id)) == ["RESERVATION_RELEASED"]
    assert await commit(shop, order_id) == ["RESERVATION_RELEASED"]


async def test_what_comes_back_can_be_reserved_again(shop):
    product_id = await shop.product(stock=1)
    order_id = await held(shop, (product_id, 1))
    assert await reserve(shop, wants(shop, (product_id, 1))) == ["STOCK_INSUFFICIENT"]

    await release(shop, order_id)

    assert await reserve(shop, wants(shop, (product_id, 1))) == ["HELD"]
    assert await promised(shop, product_id) == (1, 0)
