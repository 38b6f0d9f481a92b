"""ReserveStock."""

import random

import grpc
import pytest
from commerce.catalog.v1.catalog_service_pb2 import ArchiveProductRequest, RestoreProductRequest
from commerce.catalog.v1.stock_service_pb2 import ReserveStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderConfirmed

from services.cluster.traces.spans import Spans
from tests.catalog.orders import (
    at_once,
    commit,
    deadlocks,
    held,
    new_id,
    promised,
    release,
    reserve,
    said,
    stock,
    wants,
)
from tests.shop import eventually, refused

# Reservations that one customer may have open.
OPEN_AT_MOST = 500


async def test_sets_units_aside(shop):
    mug, cup = await shop.product(stock=5), await shop.product(stock=5)

    assert await reserve(shop, wants(shop, (mug, 2), (cup, 5))) == ["HELD"]

    assert await stock(shop, mug) == (5, 2, 3)
    assert await stock(shop, cup) == (5, 5, 0)


async def test_an_order_gets_all_of_its_lines_or_none(shop):
    mug, cup = await shop.product(stock=5), await shop.product(stock=1)
    request = ReserveStockRequest(reservations=[wants(shop, (mug, 1), (cup, 2))], request_id=new_id())

    (result,) = (await shop.as_service.stock.ReserveStock(request)).results

    assert result.product_id == cup and not result.state
    assert await stock(shop, mug) == (5, 0, 5)


async def test_decides_each_order_by_itself_in_the_order_asked(shop):
    product_id = await shop.product(stock=5)

    fared = await reserve(shop, *(wants(shop, (product_id, quantity)) for quantity in (3, 3, 2, 1)))

    assert fared == ["HELD", "STOCK_INSUFFICIENT", "HELD", "STOCK_INSUFFICIENT"]
    assert await stock(shop, product_id) == (5, 5, 0)


async def test_refuses_what_is_missing_or_another_stores(shop):
    own, foreign = await shop.product(), await shop.another().product()

    fared = await reserve(shop, wants(shop, (new_id(), 1)), wants(shop, (own, 1), (foreign, 1)))

    assert fared == ["PRODUCT_NOT_FOUND", "PRODUCT_NOT_FOUND"]
    assert await stock(shop, own) == (5, 0, 5)


async def test_refuses_another_price_or_currency_than_the_products(shop):
    product_id = await shop.product(price=1999, currency="EUR")

    fared = await reserve(
        shop, wants(shop, (product_id, 1), price=1998), wants(shop, (product_id, 1), currency="CHF")
    )

    assert fared == ["PRODUCT_PRICE_CHANGED", "PRODUCT_PRICE_CHANGED"]


async def test_refuses_a_product_that_is_no_longer_sold(shop):
    mug, cup = await shop.product(stock=5), await shop.product(stock=5)
    before = wants(shop, (mug, 1))
    assert await reserve(shop, before) == ["HELD"]
    await shop.catalog.ArchiveProduct(ArchiveProductRequest(product_id=mug, request_id=new_id()))
    request = ReserveStockRequest(
        reservations=[wants(shop, (cup, 1), (mug, 1)), wants(shop, (cup, 1)), before], request_id=new_id()
    )

    results = (await shop.as_service.stock.ReserveStock(request)).results

    assert said(results) == ["PRODUCT_ARCHIVED", "HELD", "HELD"]
    assert results[0].product_id == mug
    assert await commit(shop, before.order_id) == ["COMMITTED"]
    await shop.catalog.RestoreProduct(RestoreProductRequest(product_id=mug, request_id=new_id()))
    assert await reserve(shop, wants(shop, (mug, 1))) == ["HELD"]


async def test_refuses_a_customer_with_too_many_open_reservations(shop, tell):
    product_id, customer_id = await shop.product(stock=2 * OPEN_AT_MOST), new_id()
    first, second, third, *rest = [
        wants(shop, (product_id, 1), customer_id=customer_id) for _ in range(OPEN_AT_MOST)
    ]
    assert await reserve(shop, first, second, third, *rest) == ["HELD"] * OPEN_AT_MOST
    more = [wants(shop, (product_id, 1), customer_id=customer_id.upper()) for _ in range(4)]

    assert await reserve(shop, *more) == ["RESERVATIONS_TOO_MANY"] * 4
    assert await reserve(shop, first, wants(shop, (product_id, 1))) == ["HELD", "HELD"]

    # What is confirmed, sold or given back is no longer open.
    await tell(OrderConfirmed, first.order_id)
    await commit(shop, second.order_id)
    await release(shop, third.order_id)

    async def is_kept():
        return await shop.clients.rows(
            "SELECT 1 FROM catalog.reservations WHERE order_id = $1 AND expire_time IS NULL", first.order_id
        )

    await eventually(is_kept)
    assert await reserve(shop, *more) == ["HELD"] * 3 + ["RESERVATIONS_TOO_MANY"]


async def test_an_order_that_cannot_be_had_takes_no_room(shop):
    product_id, customer_id = await shop.product(stock=OPEN_AT_MOST), new_id()
    orders = [wants(shop, (product_id, 1), customer_id=customer_id) for _ in range(OPEN_AT_MOST - 1)]
    hopeless = wants(shop, (product_id, 1), customer_id=customer_id, price=1)

    fared = await reserve(shop, hopeless, *orders)
    last = await reserve(shop, orders[0], wants(shop, (product_id, 1), customer_id=customer_id))

    assert fared == ["PRODUCT_PRICE_CHANGED", *["HELD"] * (OPEN_AT_MOST - 1)]
    assert last == ["HELD", "HELD"]


async def test_batches_of_one_customer_at_once_open_no_more_than_are_allowed(shop):
    # Of products of their own: nothing else makes the batches wait for each other.
    products = [await shop.product(stock=1000) for _ in range(5)]
    customers = [new_id() for _ in range(2)]

    def batch(product_id):
        orders = [
            wants(shop, (product_id, 1), customer_id=random.choice(customers)) for _ in range(OPEN_AT_MOST)
        ]
        return reserve(shop, *orders)

    fared = await at_once(*(batch(product_id) for product_id in products))

    words = [word for batch in fared for word in batch]
    assert words.count("HELD") == 2 * OPEN_AT_MOST
    assert words.count("RESERVATIONS_TOO_MANY") == 3 * OPEN_AT_MOST
    for customer_id in customers:
        (row,) = await shop.clients.rows(
            "SELECT count(*) AS open FROM catalog.reservations WHERE customer_id = $1", customer_id
        )
        assert row["open"] == OPEN_AT_MOST


async def test_an_order_that_is_reserved_already_is_answered_as_it_stands(shop):
    product_id = await shop.product(stock=5)
    first, second = [await held(shop, (product_id, 1)) for _ in range(2)]
    await commit(shop, second)

    fared = await reserve(shop, *(wants(shop, (product_id, 4), order_id=each) for each in (first, second)))

    assert fared == ["HELD", "COMMITTED"]
    assert await stock(shop, product_id) == (4, 1, 3)


async def test_an_order_twice_in_a_batch_is_one_reservation(shop):
    product_id = await shop.product(stock=5)
    order = wants(shop, (product_id, 2))

    assert await reserve(shop, order, order) == ["HELD", "HELD"]

    assert await stock(shop, product_id) == (5, 2, 3)


async def test_refuses_an_order_whose_reservation_was_released(shop):
    product_id = await shop.product(stock=5)
    before, never = await held(shop, (product_id, 1)), new_id()
    await release(shop, before, never)

    fared = await reserve(shop, *(wants(shop, (product_id, 1), order_id=each) for each in (before, never)))

    assert fared == ["RESERVATION_RELEASED", "RESERVATION_RELEASED"]
    assert await stock(shop, product_id) == (5, 0, 5)


async def test_serves_five_hundred_orders_in_one_call(shop):
    product_id = await shop.product(stock=499)

    fared = await reserve(shop, *(wants(shop, (product_id, 1)) for _ in range(500)))

    assert fared == ["HELD"] * 499 + ["STOCK_INSUFFICIENT"]
    assert await promised(shop, product_id) == (499, 0)


async def test_two_hundred_buyers_at_once_of_five_units_get_five(shop):
    product_id = await shop.product(stock=5)

    fared = await at_once(*(reserve(shop, wants(shop, (product_id, 1))) for _ in range(200)))

    assert fared.count(["HELD"]) == 5
    assert fared.count(["STOCK_INSUFFICIENT"]) == 195
    assert await stock(shop, product_id) == (5, 5, 0)
    assert await promised(shop, product_id) == (5, 0)


async def test_batches_that_share_an_order_reserve_it_once(shop):
    mug, cup = await shop.product(stock=100), await shop.product(stock=100)
    shared = [wants(shop, (mug, 1), (cup, 1)) for _ in range(5)]

    fared = await at_once(
        *(
            reserve(shop, *random.sample(shared, 5), wants(shop, (random.choice([mug, cup]), 1)))
            for _ in range(20)
        )
    )

    assert fared == [["HELD"] * 6] * 20
    (_, mugs, _), (_, cups, _) = await stock(shop, mug), await stock(shop, cup)
    assert mugs + cups == 5 * 2 + 20


async def test_batches_that_ask_for_an_order_with_other_lines_hold_only_one_of_them(shop):
    products = [await shop.product(stock=5) for _ in range(10)]
    order_id = new_id()

    fared = await at_once(*(reserve(shop, wants(shop, (each, 1), order_id=order_id)) for each in products))

    assert fared == [["HELD"]] * 10
    assert sum([(await stock(shop, each))[1] for each in products]) == 1


async def test_a_release_at_once_with_its_reservation_leaves_nothing_reserved(shop):
    product_id = await shop.product(stock=1000)
    orders = [new_id() for _ in range(100)]
    calls = [reserve(shop, wants(shop, (product_id, 1), order_id=each)) for each in orders]
    calls += [release(shop, each) for each in orders]
    random.shuffle(calls)

    fared = await at_once(*calls)

    assert {word for (word,) in fared} <= {"HELD", "RELEASED", "RESERVATION_RELEASED"}
    assert await stock(shop, product_id) == (1000, 0, 1000)


async def test_batches_in_any_order_of_products_wait_for_each_other_in_no_circle(shop):
    products = [await shop.product(stock=10_000) for _ in range(8)]
    before = deadlocks(shop)
    kept: list[str] = []
    given_back: list[str] = []

    def batch():
        orders = [wants(shop, *((each, 1) for each in random.sample(products, 4))) for _ in range(5)]
        (kept if len(kept) < len(given_back) else given_back).extend(order.order_id for order in orders)
        return reserve(shop, *orders)

    fared = await at_once(*(batch() for _ in range(40)))
    random.shuffle(given_back)
    await at_once(
        *(release(shop, *given_back[start : start + 10]) for start in range(0, len(given_back), 10)),
        *(commit(shop, *kept[start : start + 10]) for start in range(0, len(kept), 10)),
        *(reserve(shop, wants(shop, *((each, 1) for each in reversed(products)))) for _ in range(20)),
    )

    assert fared == [["HELD"] * 5] * 40
    assert deadlocks(shop) == before
    totals = [await stock(shop, each) for each in products]
    assert sum(10_000 - on_hand for on_hand, _, _ in totals) == len(kept) * 4
    assert [reserved for _, reserved, _ in totals] == [20] * 8
    assert [(await promised(shop, each))[0] for each in products] == [20] * 8


async def test_shows_in_the_trace_of_each_order(shop):
    product_id = await shop.product(stock=1)
    traces = [f"{random.getrandbits(128):032x}" for _ in range(2)]

    await reserve(
        shop, *(wants(shop, (product_id, 1), traceparent=f"00-{each}-{'a' * 16}-01") for each in traces)
    )

    spans = Spans(shop.clients.cluster.spans_file)

    async def both():
        found = [[span for span in spans.trace(each) if span.trace_id == each] for each in traces]
        return found if all(found) else None

    first, second = await eventually(both)
    assert [span.name for span in (*first, *second)] == ["reserve", "reserve"]
    assert first[0].links == second[0].links and len(first[0].links) == 1


async def test_refuses_everybody_but_services(shop):
    request = ReserveStockRequest(reservations=[wants(shop, (await shop.product(), 1))], request_id=new_id())

    for other in (shop, shop.as_("customer", new_id()), shop.as_("platform_admin")):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await other.stock.ReserveStock(request)
        assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("field", "value"), [("customer_id", "ada"), ("expire_time", None), ("lines", [])])
async def test_names_what_is_wrong_with_a_request(shop, field, value):
    order = wants(shop, (new_id(), 1), **{field: value})

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as problem:
        await reserve(shop, order)

    assert problem.violations.keys() == {f"reservations[0].{field}"}
