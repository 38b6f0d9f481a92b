"""ListPayments."""

import asyncio
import math
import random
from datetime import UTC, datetime, timedelta
from itertools import product as every

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import PaymentState
from commerce.payment.v1.payment_service_pb2 import ListPaymentsRequest
from google.protobuf.timestamp_pb2 import Timestamp

from services.payment.payments import lists
from tests.bulk import rows_read
from tests.payment import bulk
from tests.shop import Shop, new_id, refused

MANY = 30_000
PAGE = 50
# Rows that may be read for a page; for amounts within bounds, which no index can hold in order of time, a few more.
READ, READ_ACROSS = 20 * PAGE, 10 * math.isqrt(PAGE * MANY)


def ask(shop, **given):
    return ListPaymentsRequest(store_id=shop.store_id, **given)


def ids(page):
    return [payment.payment_id for payment in page.payments]


async def listed(shop, **given):
    return ids(await shop.payments.ListPayments(ask(shop, **given)))


async def paged(shop, size, **given):
    """Every payment of a list, page by page."""
    seen, token = [], ""
    while True:
        page = await shop.payments.ListPayments(ask(shop, page_size=size, page_token=token, **given))
        assert len(page.payments) <= size
        seen += ids(page)
        token = page.next_page_token
        if not token:
            return seen


async def several(till, count, **given):
    return [(await till.authorize(**given)).payment_id for _ in range(count)]


async def test_lists_the_newest_first_page_by_page_each_once(till, shop):
    made = await several(till, 5)
    assert await paged(shop, 2) == made[::-1]


async def test_tells_all_of_a_payment_but_its_operations_disputes_and_lines(till, shop):
    payment = await till.capture(await till.authorize())

    (found,) = (await shop.payments.ListPayments(ask(shop))).payments

    for field in ("operations", "disputes", "lines"):
        payment.ClearField(field)
    assert found == payment


async def test_lists_what_is_asked_for_only(till, shop):
    failed = await till.authorize("declined")
    small = await till.authorize(minor_units=100)
    page = await shop.payments.ListPayments(ask(shop, state=PaymentState.PAYMENT_STATE_FAILED))
    assert ids(page) == [failed.payment_id]
    assert await listed(shop, customer_id=small.customer_id.upper()) == [small.payment_id]
    assert await listed(shop, gateway="sandbox") == [small.payment_id, failed.payment_id]
    assert await listed(shop, gateway="elsewhere") == []
    assert await listed(shop, currency_code="EUR", amount_before=1999) == [small.payment_id]
    assert await listed(shop, currency_code="EUR", amount_from=101) == [failed.payment_id]
    assert await listed(shop, currency_code="EUR", amount_before=0) == []
    assert await listed(shop, currency_code="USD") == []


@pytest.mark.parametrize("role", ["store_manager", "store_admin", "platform_admin", "service"])
async def test_whoever_may_see_the_store_sees_the_same(till, shop, role):
    made = await several(till, 1)
    assert await listed(shop.as_(role)) == made


async def test_another_store_sees_nothing_of_it_and_customers_ask_otherwise(till, shop):
    payment = await till.authorize()
    other = shop.another()
    assert await listed(other) == await listed(other, customer_id=payment.customer_id) == []
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await other.payments.ListPayments(ask(shop))
    for role in ("customer", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await listed(shop.as_(role, customer_id=payment.customer_id))
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await listed(shop.as_nobody)


async def test_lists_what_was_created_within_bounds_to_the_microsecond(shop):
    made = bulk.payments(50, customers=5, days=1)
    async with bulk.administrator(shop) as connection:
        await bulk.write(connection, shop.store_id, made)
    bounds = {"created_from": made[10].create_time, "created_before": made[40].create_time}
    assert await paged(shop, 7, **bounds) == [each.payment_id for each in made[10:40]][::-1]
    moment = timedelta(microseconds=1)
    bounds = {name: time + moment for name, time in bounds.items()}
    assert await paged(shop, 7, **bounds) == [each.payment_id for each in made[11:41]][::-1]


async def test_a_payment_lies_between_the_moments_before_and_after_it_was_asked_for(till, shop):
    begin = datetime.now(UTC)
    made = await several(till, 1)
    end = datetime.now(UTC)
    assert await listed(shop, created_from=begin, created_before=end) == made
    assert await listed(shop, created_from=end) == await listed(shop, created_before=begin) == []


async def test_pages_neither_skip_nor_repeat_while_payments_are_being_asked_for(till, shop):
    """What is there at the beginning comes once; what comes meanwhile, at most once."""
    asking = asyncio.gather(*(several(till, 15) for _ in range(4)))
    while not asking.done():
        there = await paged(shop, 500)
        seen = await paged(shop, random.randint(3, 20))
        assert len(seen) == len(set(seen))
        assert set(there) <= set(seen)
    assert len(await paged(shop, 500)) == sum(map(len, await asking))


@pytest.fixture(scope="module")
async def many(payment_clients):
    """A store with so many payments, the oldest first."""
    shop, made = Shop(payment_clients), bulk.payments(MANY, customers=200)
    async with bulk.administrator(shop) as connection:
        await bulk.write(connection, shop.store_id, made)
        # Another store has as many: where nearly all are of one, PostgreSQL goes past those of all others.
        await bulk.write(connection, new_id(), bulk.payments(MANY, customers=200))
    return shop, made


def _questions(shop, made):
    """Every kind of question, each once."""
    moment = {"created_from": made[MANY // 3].create_time, "created_before": made[MANY // 2].create_time}
    filters = [
        ({}, {"state": PaymentState.PAYMENT_STATE_AUTHORIZED}),
        ({}, {"customer_id": made[MANY // 2].customer_id}),
        ({}, {"gateway": "stripe"}),
        ({}, moment),
        ({}, {"currency_code": "EUR"}, {"currency_code": "CHF"}, _between(90_000, 95_000)),
    ]
    for chosen in every(*filters):
        yield ask(shop, **{name: value for each in chosen for name, value in each.items()})


def _between(amount_from, amount_before):
    return {"currency_code": "EUR", "amount_from": amount_from, "amount_before": amount_before}


def _answer(made, asked):
    """What a list should say, found without the database."""
    begin = asked.created_from.ToDatetime(tzinfo=UTC) if asked.HasField("created_from") else None
    end = asked.created_before.ToDatetime(tzinfo=UTC) if asked.HasField("created_before") else None
    return [
        each.payment_id
        for each in reversed(made)
        if asked.state in (0, each.state)
        and asked.customer_id in ("", each.customer_id)
        and asked.gateway in ("", each.gateway)
        and asked.currency_code in ("", each.currency_code)
        and (not asked.HasField("amount_from") or each.amount >= asked.amount_from)
        and (not asked.HasField("amount_before") or each.amount < asked.amount_before)
        and (begin is None or each.create_time >= begin)
        and (end is None or each.create_time < end)
    ]


async def test_answers_every_kind_of_question(many):
    shop, made = many
    # In one millisecond ids are in no order.
    by_id = sorted(made, key=lambda each: each.payment_id)
    empty = 0
    for asked in _questions(shop, made):
        expected = _answer(by_id, asked)
        empty += not expected
        asked.page_size = 40
        for page in range(2):
            reply = await shop.payments.ListPayments(asked)
            assert ids(reply) == expected[40 * page : 40 * (page + 1)], asked
            assert bool(reply.next_page_token) == (len(expected) > 40 * (page + 1))
            asked.page_token = reply.next_page_token
            if not asked.page_token:
                break
    assert empty < 20


async def test_no_kind_of_question_reads_many_more_rows_than_its_page_holds(many):
    """As PostgreSQL runs them: a plan for their values, or, once prepared, whichever it has settled for."""
    shop, made = many
    plain, too_much = 0, {}
    async with bulk.administrator(shop) as connection:
        for asked in _questions(shop, made):
            statement, values = lists.question(asked)
            arguments = statement.arguments(values | {"size": PAGE + 1})
            plain += not statement.fresh_plan
            scans = await rows_read(connection, statement, arguments)
            across = asked.HasField("amount_from")
            if scans.total() > (READ_ACROSS if across else READ):
                too_much[str(asked)] = scans
    assert plain >= 4
    assert not too_much, "\n".join(f"{asked}{scans}" for asked, scans in too_much.items())


async def test_refuses_a_page_token_of_another_query_or_a_forged_one(till, shop):
    await several(till, 2)
    token = (await shop.payments.ListPayments(ask(shop, page_size=1))).next_page_token
    for request in (
        ask(shop, page_token=token, state=PaymentState.PAYMENT_STATE_PENDING),
        ask(shop, page_token=token, customer_id=new_id()),
        ask(shop, page_token=token, gateway="sandbox"),
        ask(shop, page_token=token, created_from=Timestamp(seconds=1)),
        ask(shop, page_token=token, currency_code="EUR"),
        ask(shop, page_token=token[:-4] + "AAAA"),
        ask(shop, page_token="x"),
    ):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID) as told:
            await shop.payments.ListPayments(request)
        assert set(told.violations) == {"page_token"}


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("state", {"state": 99}),
        ("page_size", {"page_size": 501}),
        ("customer_id", {"customer_id": "somebody"}),
        ("gateway", {"gateway": "x" * 41}),
        ("currency_code", {"currency_code": "euro"}),
        ("amount_from", {"currency_code": "EUR", "amount_from": -1}),
        ("created_from", {"created_from": Timestamp(seconds=10**15)}),
        ("created_before", {"created_before": Timestamp(nanos=-1)}),
    ],
)
async def test_refuses_what_cannot_be_and_names_it(shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await listed(shop, **given)
    assert set(told.violations) == {field}


@pytest.mark.parametrize("given", [{"amount_from": 1}, {"amount_before": 1}, {"amount_before": 0}])
async def test_asks_for_a_currency_where_amounts_are_compared(shop, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await listed(shop, **given)
    assert "currency_code" in told.message


async def test_by_rest(till, shop):
    made = await several(till, 2)
    path = f"/v1/stores/{shop.store_id}/payments"
    first = await shop.rest("GET", f"{path}?pageSize=1&gateway=sandbox")
    token = first.body["nextPageToken"]
    second = await shop.rest("GET", f"{path}?pageSize=1&gateway=sandbox&pageToken={token}")
    found = [payment["paymentId"] for reply in (first, second) for payment in reply.body["payments"]]
    assert found == made[::-1]
