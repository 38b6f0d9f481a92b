import asyncio
import math
import random
from datetime import UTC, datetime, timedelta
from itertools import product as every

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import OrderState
from google.protobuf.timestamp_pb2 import Timestamp

from services.order import lists
from tests.bulk import rows_read
from tests.order import bulk
from tests.order.asks import create
from tests.shop import Shop, new_id, refused

SORTINGS = {
    rpc.ORDER_SORTING_NEWEST_FIRST: lambda order: [-int(order.order_id.replace("-", ""), 16)],
    rpc.ORDER_SORTING_OLDEST_FIRST: lambda order: [order.order_id],
    rpc.ORDER_SORTING_LARGEST_FIRST: lambda order: [-order.total, -int(order.order_id.replace("-", ""), 16)],
    rpc.ORDER_SORTING_SMALLEST_FIRST: lambda order: [order.total, order.order_id],
}
BY_TOTAL = (rpc.ORDER_SORTING_LARGEST_FIRST, rpc.ORDER_SORTING_SMALLEST_FIRST)
MANY = 30_000
PAGE = 50
# Rows that may be read for a page; for totals within bounds by time, which no index can hold in order, a few more.
READ, READ_ACROSS = 20 * PAGE, 10 * math.isqrt(PAGE * MANY)


def ask(shop, **given):
    return rpc.ListOrdersRequest(store_id=shop.store_id, **given)


async def several(shop, count, **given):
    product = await shop.product(stock=100)
    return [await shop.order([(product, 1)], **given) for _ in range(count)]


async def paged(shop, size, **given):
    """Every order of a list, page by page."""
    seen, token = [], ""
    while True:
        page = await shop.orders.ListOrders(ask(shop, page_size=size, page_token=token, **given))
        assert len(page.orders) <= size
        seen += [order.order_id for order in page.orders]
        token = page.next_page_token
        if not token:
            return seen


async def test_lists_the_newest_first_page_by_page_each_once(shop):
    placed = await several(shop, 5)
    assert await paged(shop, 2) == placed[::-1]


async def test_lists_orders_with_all_their_lines(shop):
    one, two = await shop.product(), await shop.product()
    order_id = await shop.order([(one, 1), (two, 2)])
    (order,) = (await shop.orders.ListOrders(ask(shop))).orders
    assert order.order_id == order_id
    assert [(line.product_id, line.quantity) for line in order.lines] == [(one, 1), (two, 2)]


async def test_a_customer_sees_only_their_own(shop):
    customer = await shop.customer()
    own = await several(shop, 2, customer=customer)
    await several(shop, 2)
    theirs = shop.as_("customer", customer_id=customer)
    for given in ({}, {"customer_id": customer}, {"customer_id": customer.upper()}):
        page = await theirs.orders.ListOrders(ask(shop, **given))
        assert [order.order_id for order in page.orders] == own[::-1]


async def test_a_customer_who_asks_for_anothers_is_refused_whether_there_is_one_or_not(shop):
    one, another = await shop.customer(), await shop.customer()
    for asked in (another, new_id()):
        with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=asked):
            await shop.as_("customer", customer_id=one).orders.ListOrders(ask(shop, customer_id=asked))


async def test_lists_one_state_only_when_asked(shop):
    failed = await shop.order(state="PAYMENT_FAILED")
    await shop.order(until="CONFIRMED")
    page = await shop.orders.ListOrders(ask(shop, state=OrderState.ORDER_STATE_PAYMENT_FAILED))
    assert [order.order_id for order in page.orders] == [failed]


async def test_another_store_sees_nothing_of_it(shop):
    order_id = await shop.order()
    (order,) = (await shop.orders.ListOrders(ask(shop))).orders
    assert order.order_id == order_id
    other = shop.another()
    for given in ({}, {"customer_id": order.customer_id}):
        assert not (await other.orders.ListOrders(ask(other, **given))).orders
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await other.orders.ListOrders(ask(shop))


async def test_lists_what_was_placed_within_bounds_to_the_microsecond(shop):
    placed = bulk.orders(50, customers=5, days=1)
    async with bulk.administrator(shop) as connection:
        await bulk.write(connection, shop.store_id, placed)
    early, late = placed[10], placed[40]
    bounds = {"placed_from": early.create_time, "placed_before": late.create_time}
    assert await paged(shop, 7, **bounds) == [each.order_id for each in placed[10:40]][::-1]
    moment = timedelta(microseconds=1)
    bounds = {name: time + moment for name, time in bounds.items()}
    assert await paged(shop, 7, **bounds) == [each.order_id for each in placed[11:41]][::-1]


async def test_an_order_lies_between_the_moments_before_and_after_it_was_placed(shop):
    begin = datetime.now(UTC)
    order_id = await shop.order()
    end = datetime.now(UTC)
    assert await paged(shop, 5, placed_from=begin, placed_before=end) == [order_id]
    assert await paged(shop, 5, placed_from=end) == []
    assert await paged(shop, 5, placed_before=begin) == []


async def test_pages_neither_skip_nor_repeat_while_orders_are_being_placed(shop):
    """What is there at the beginning comes once; what comes meanwhile, at most once."""
    product, customer = await shop.product(stock=10_000), await shop.customer()

    async def buy():
        for _ in range(30):
            await shop.orders.CreateOrder(create(shop, customer, (product, random.randint(1, 9))))

    async def read(order_by):
        counts = []
        while not buying.done():
            there = await paged(shop, 500)
            given = {"currency_code": "EUR"} if order_by in BY_TOTAL else {}
            seen = await paged(shop, random.randint(3, 20), order_by=order_by, **given)
            assert len(seen) == len(set(seen))
            assert set(there) <= set(seen)
            counts.append(len(seen))
        return counts

    buying = asyncio.gather(*(buy() for _ in range(4)))
    counts = await asyncio.gather(*(read(order_by) for order_by in SORTINGS))
    await buying
    assert all(each == sorted(each) and each[0] < each[-1] for each in counts), counts


@pytest.fixture(scope="module")
async def many(clients):
    """A store with so many orders, the oldest first."""
    shop, placed = Shop(clients), bulk.orders(MANY, customers=200)
    async with bulk.administrator(shop) as connection:
        await bulk.write(connection, shop.store_id, placed)
        # Another store has as many: where nearly all are of one, PostgreSQL goes past those of all others.
        await bulk.write(connection, new_id(), bulk.orders(MANY, customers=200))
    return shop, placed


def _questions(shop, placed):
    """Every kind of question, each once."""
    one = placed[MANY // 2]
    moment = {"placed_from": placed[MANY // 3].create_time, "placed_before": placed[MANY // 2].create_time}
    filters = [
        ({}, {"state": OrderState.ORDER_STATE_SHIPPED}),
        ({}, {"customer_id": one.customer_id}),
        ({}, moment),
        ({}, {"currency_code": "EUR"}, {"currency_code": "CHF"}, _between(90_000, 95_000)),
    ]
    for chosen in every(*filters):
        given = {name: value for each in chosen for name, value in each.items()}
        for order_by in SORTINGS:
            if "currency_code" in given or order_by not in BY_TOTAL:
                yield ask(shop, order_by=order_by, **given)


def _between(total_from, total_before):
    return {"currency_code": "EUR", "total_from": total_from, "total_before": total_before}


def _answer(placed, asked):
    """What a list should say, found without the database."""
    begin = asked.placed_from.ToDatetime(tzinfo=UTC) if asked.HasField("placed_from") else None
    end = asked.placed_before.ToDatetime(tzinfo=UTC) if asked.HasField("placed_before") else None
    found = [
        each
        for each in placed
        if asked.state in (0, each.state)
        and asked.customer_id in ("", each.customer_id)
        and asked.currency_code in ("", each.currency_code)
        and (not asked.HasField("total_from") or each.total >= asked.total_from)
        and (not asked.HasField("total_before") or each.total < asked.total_before)
        and (begin is None or each.create_time >= begin)
        and (end is None or each.create_time < end)
    ]
    return [each.order_id for each in sorted(found, key=SORTINGS[asked.order_by])]


async def test_answers_every_kind_of_question(many):
    shop, placed = many
    empty = 0
    for asked in _questions(shop, placed):
        expected = _answer(placed, asked)
        empty += not expected
        asked.page_size = 40
        for page in range(2):
            reply = await shop.orders.ListOrders(asked)
            assert [order.order_id for order in reply.orders] == expected[40 * page : 40 * (page + 1)], asked
            assert bool(reply.next_page_token) == (len(expected) > 40 * (page + 1))
            asked.page_token = reply.next_page_token
            if not asked.page_token:
                break
    assert empty < 20


async def test_pages_through_thousands_of_orders_with_equal_totals_each_once(many):
    shop, placed = many
    for order_by in BY_TOTAL:
        asked = ask(shop, order_by=order_by, currency_code="USD")
        expected = _answer(placed, asked)
        assert len(expected) > 5000
        assert await paged(shop, 500, order_by=order_by, currency_code="USD") == expected


async def test_no_kind_of_question_reads_many_more_rows_than_its_page_holds(many):
    """As PostgreSQL runs them: a plan for their values, or, once prepared, whichever it has settled for."""
    shop, placed = many
    plain, too_much = 0, {}
    async with bulk.administrator(shop) as connection:
        for asked in _questions(shop, placed):
            statement, values = lists.question(asked)
            arguments = statement.arguments(values | {"size": PAGE + 1})
            plain += not statement.fresh_plan
            scans = await rows_read(connection, statement, arguments)
            across = asked.HasField("total_from") and asked.order_by not in BY_TOTAL
            if scans.total() > (READ_ACROSS if across else READ):
                too_much[str(asked)] = scans
    assert plain >= 3
    assert not too_much, "\n".join(f"{asked}{scans}" for asked, scans in too_much.items())


async def test_refuses_a_page_token_of_another_query_or_a_forged_one(shop):
    await several(shop, 2)
    token = (await shop.orders.ListOrders(ask(shop, page_size=1))).next_page_token
    for request in (
        ask(shop, page_token=token, state=OrderState.ORDER_STATE_PENDING),
        ask(shop, page_token=token, customer_id=new_id()),
        ask(shop, page_token=token, placed_from=Timestamp(seconds=1)),
        ask(shop, page_token=token, currency_code="EUR"),
        ask(shop, page_token=token, order_by=rpc.ORDER_SORTING_OLDEST_FIRST),
        ask(shop, page_token=token[:-4] + "AAAA"),
        ask(shop, page_token="x"),
    ):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID) as said:
            await shop.orders.ListOrders(request)
        assert set(said.violations) == {"page_token"}


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("state", {"state": 99}),
        ("order_by", {"order_by": 99}),
        ("page_size", {"page_size": 501}),
        ("customer_id", {"customer_id": "somebody"}),
        ("currency_code", {"currency_code": "euro"}),
        ("total_from", {"currency_code": "EUR", "total_from": -1}),
        ("placed_from", {"placed_from": Timestamp(seconds=10**15)}),
        ("placed_before", {"placed_before": Timestamp(nanos=-1)}),
    ],
)
async def test_refuses_what_cannot_be_and_names_it(shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.ListOrders(ask(shop, **given))
    assert set(said.violations) == {field}


@pytest.mark.parametrize(
    "given",
    [{"total_from": 1}, {"total_before": 1}, {"total_before": 0}, *({"order_by": each} for each in BY_TOTAL)],
)
async def test_asks_for_a_currency_where_totals_are_compared(shop, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.ListOrders(ask(shop, **given))
    assert "currency_code" in said.message
