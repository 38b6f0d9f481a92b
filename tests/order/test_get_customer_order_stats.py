import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import Order

from services.order import life, rules, statistics
from services.order.payment_news_rules import Known, News, learn
from tests.bulk import id_at
from tests.order import bulk
from tests.order.asks import accept, cancel, create, deliver, get, given_back, name, ship, take_back
from tests.order.deals import new_coupon, set_up
from tests.shop import new_id, refused

PAID = ("CONFIRMED", "ACCEPTED", "SHIPPED", "DELIVERED", "RETURNED")
METHODS = ("pm_sandbox_ok",) * 4 + ("pm_sandbox_declined", "pm_sandbox_requires_action", "pm_sandbox_slow")

# What the months should say, from the timeline and the returns, which others write.
FACTS = """
WITH steps AS (
  SELECT orders.*, (SELECT array_agg(step) FROM order_events WHERE order_events.order_id = orders.order_id) AS steps,
    total_minor_units - refunded_minor_units AS worth
  FROM orders WHERE store_id = $1),
facts AS (
  SELECT customer_id, date_trunc('month', create_time AT TIME ZONE 'UTC')::date AS month, currency_code,
    count(*) AS orders, count(*) FILTER (WHERE 'cancel' = ANY(steps)) AS cancelled,
    count(*) FILTER (WHERE 'authorize' = ANY(steps) AND 'cancel' <> ALL(steps)) AS paid,
    coalesce(sum(worth) FILTER (WHERE 'authorize' = ANY(steps) AND 'cancel' <> ALL(steps)), 0) AS spent_minor_units,
    min(create_time) AS first_order_time, max(create_time) AS last_order_time
  FROM steps GROUP BY 1, 2, 3)
"""
ROW = """
customer_id, month, currency_code, orders, cancelled, paid, spent_minor_units, first_order_time, last_order_time
"""
WRONG = f"""
{FACTS}, kept AS (SELECT {ROW} FROM customer_months WHERE store_id = $1)
SELECT 'kept', * FROM (SELECT {ROW} FROM kept EXCEPT SELECT {ROW} FROM facts) AS wrong
UNION ALL SELECT 'true', * FROM (SELECT {ROW} FROM facts EXCEPT SELECT {ROW} FROM kept) AS missing
"""
# For orders that were written without a timeline.
MONTHS = f"""
INSERT INTO customer_months ({ROW}, store_id)
SELECT customer_id, date_trunc('month', create_time AT TIME ZONE 'UTC'), currency_code, count(*),
  count(*) FILTER (WHERE state = 11), count(*) FILTER (WHERE state IN (5, 6, 7, 8, 13)),
  coalesce(sum(total_minor_units) FILTER (WHERE state IN (5, 6, 7, 8, 13)), 0), min(create_time), max(create_time),
  any_value(store_id)
FROM orders WHERE customer_id = $1 GROUP BY 1, 2, 3
"""


def ask(customer):
    return rpc.GetCustomerOrderStatsRequest(customer_id=customer)


async def stats_of(shop, customer):
    return await shop.orders.GetCustomerOrderStats(ask(customer))


def spent(stats):
    """(total, orders, average) by currency."""
    return {
        each.total_spent.currency_code: (
            each.total_spent.minor_units,
            each.paid_orders,
            each.average_order_value.minor_units,
        )
        for each in stats.spending
    }


async def test_a_customer_without_orders_has_zeros(shop):
    customer = await shop.customer()
    for by, asked in (
        (shop, customer),
        (shop, new_id()),
        (shop.as_("customer", customer_id=customer), customer),
    ):
        assert await stats_of(by, asked) == rpc.GetCustomerOrderStatsResponse(customer_id=asked)


async def test_counts_what_was_placed_paid_cancelled_and_given_back(shop):
    customer, product = await shop.customer(), await shop.product(stock=50, price=1000)
    placed = [
        kept := await shop.order([(product, 3)], customer=customer, state="DELIVERED"),
        await shop.order([(product, 1)], customer=customer, state="PAYMENT_FAILED"),
        await shop.order([(product, 1)], customer=customer, state="CANCELLED"),
        await shop.order([(product, 1)], customer=customer, until="CONFIRMED"),
    ]
    await shop.orders.ReturnOrder(take_back(kept, (product, 1)))
    await given_back(shop, kept)

    stats = await stats_of(shop, customer)

    assert (stats.total_orders, stats.cancelled_orders, stats.cancellation_rate) == (4, 1, 0.25)
    assert spent(stats) == {"EUR": (3000, 2, 1500)}
    times = [(await shop.orders.GetOrder(get(order_id))).order.create_time for order_id in placed]
    assert (stats.first_order_time, stats.last_order_time) == (times[0], times[-1])
    # A month may begin between two of them.
    months = Counter(f"{time.ToDatetime(UTC):%Y-%m}" for time in times)
    assert stats.months == [rpc.MonthlyOrders(month=each, orders=months[each]) for each in sorted(months)]


async def test_keeps_currencies_apart_and_rounds_half_away_from_zero(shop):
    customer = await shop.customer()
    for price, currency in ((100, "EUR"), (101, "EUR"), (7, "CHF"), (5, "JPY")):
        product = await shop.product(price=price, currency=currency)
        until = "PAYMENT_FAILED" if currency == "JPY" else "CONFIRMED"
        await shop.order([(product, 1)], customer=customer, state=until)
    assert spent(await stats_of(shop, customer)) == {"CHF": (7, 1, 7), "EUR": (201, 2, 101)}


async def test_an_order_that_came_back_whole_was_paid_for_and_is_worth_nothing(shop):
    customer, product = await shop.customer(), await shop.product(price=1000)
    order_id = await shop.order([(product, 2)], customer=customer, state="DELIVERED")
    await shop.orders.ReturnOrder(take_back(order_id, (product, 2)))
    await given_back(shop, order_id)
    assert spent(await stats_of(shop, customer)) == {"EUR": (0, 1, 0)}


async def test_whoever_may_see_the_store_or_is_the_customer_sees_the_same(shop):
    customer = await shop.customer()
    await shop.order(customer=customer, until="CONFIRMED")
    expected = await stats_of(shop, customer)
    assert expected.total_orders == 1
    for by in (
        shop.as_("customer", customer_id=customer),
        shop.as_("store_manager"),
        shop.as_("platform_admin"),
        shop.as_service,
    ):
        assert await stats_of(by, customer.upper()) == expected


async def test_another_store_sees_a_customer_who_never_bought(shop):
    customer = await shop.customer()
    await shop.order(customer=customer)
    nothing = rpc.GetCustomerOrderStatsResponse(customer_id=customer)
    assert await stats_of(shop.another(), customer) == nothing


async def test_refuses_a_customer_who_asks_for_anothers_whether_there_is_one_or_not(shop):
    customer = await shop.customer()
    for asked in (await shop.customer(), new_id()):
        with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=asked):
            await stats_of(shop.as_("customer", customer_id=customer), asked)


async def test_names_an_id_that_is_no_uuid(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await stats_of(shop, "Ada")
    assert set(said.violations) == {"customer_id"}


async def test_a_repeated_call_counts_once(shop):
    customer, product = await shop.customer(), await shop.product(price=1000)
    placing, cancelling = create(shop, customer, (product, 1)), new_id()
    for _ in range(2):
        order_id = (await shop.orders.CreateOrder(placing)).order.order_id
    await shop.until(order_id, "CONFIRMED")
    for _ in range(2):
        await shop.orders.CancelOrder(cancel(order_id, cancelling))
    stats = await stats_of(shop, customer)
    assert (stats.total_orders, stats.cancelled_orders, spent(stats)) == (1, 1, {})


@pytest.mark.parametrize("repetition", range(2))
async def test_is_exact_at_every_instant_of_a_storm(shop, repetition):
    """Many customers do everything at once; two clients of one order do different things to it."""
    customers = [await shop.customer() for _ in range(4)]
    products = [await shop.product(stock=10_000, price=price) for price in (100, 1999)]
    products.append(await shop.product(stock=10_000, price=7, currency="CHF"))
    await new_coupon(shop, "TEN")

    async def live():
        product = random.choice(products)
        method, code = random.choice(METHODS), random.choice(("", "TEN"))
        lines = (product, random.randint(1, 3))
        asked = create(shop, random.choice(customers), lines, method=method, coupon_code=code)
        order_id = (await shop.orders.CreateOrder(asked)).order.order_id
        steps = [accept(order_id), ship(order_id), deliver(order_id)] + 2 * [
            take_back(order_id, (product, 1))
        ]
        if method == "pm_sandbox_requires_action":
            steps = [cancel(order_id)]
        elif random.random() < 0.7:
            with suppress(AssertionError):
                await shop.until(order_id, "CONFIRMED")
        await asyncio.gather(_all(shop, steps[: random.randint(1, 9)]), _at_some_time(shop, cancel(order_id)))

    async def storm():
        await asyncio.gather(*(_one_after_the_other(live, 12) for _ in range(10)))

    storming = asyncio.create_task(storm())
    watching = [asyncio.create_task(_agrees(shop, each, storming)) for each in customers]
    async with bulk.administrator(shop) as connection:
        looks = 0
        while not storming.done():
            assert await connection.fetch(WRONG, shop.store_id) == []
            looks += 1
        await storming
        assert await connection.fetch(WRONG, shop.store_id) == []
    assert looks > 10
    agreed = await asyncio.gather(*watching)
    assert all(agreed), agreed
    total = Counter[str]()
    for customer in customers:
        stats = await stats_of(shop, customer)
        total.update(placed=stats.total_orders, cancelled=stats.cancelled_orders)
        total.update(paid=sum(each.paid_orders for each in stats.spending))
    assert total["placed"] == 120
    assert total["paid"] > 10 and total["cancelled"] > 10


async def _one_after_the_other(live, count):
    for _ in range(count):
        await live()


async def _all(shop, steps):
    for step in steps:
        rpc_name = type(step).__name__.removesuffix("Request")
        with suppress(grpc.aio.AioRpcError):
            await getattr(shop.orders, rpc_name)(step)


async def _at_some_time(shop, cancelling):
    if random.random() < 0.5:
        await asyncio.sleep(random.uniform(0, 0.1))
        await _all(shop, [cancelling])


async def _agrees(shop, customer, storming):
    """Look at the stats between two looks at the list. Where nothing has moved, they say the same to the cent."""
    agreed = 0
    while not storming.done():
        before, stats, after = (
            await _list(shop, customer),
            await stats_of(shop, customer),
            await _list(shop, customer),
        )
        assert len(before) <= stats.total_orders <= len(after)
        assert _in(before, "CANCELLED") <= stats.cancelled_orders <= _in(after, "CANCELLED")
        if before == after:
            assert _stats(customer, before) == stats
            agreed += 1
    return agreed


async def _list(shop, customer):
    request = rpc.ListCustomerOrdersRequest(customer_id=customer, page_size=500)
    return list((await shop.orders.ListCustomerOrders(request)).orders)


def _in(orders, state):
    return sum(name(order.state) == state for order in orders)


def _stats(customer, orders):
    """What the stats should say of a list."""
    stats = rpc.GetCustomerOrderStatsResponse(
        customer_id=customer, total_orders=len(orders), cancelled_orders=_in(orders, "CANCELLED")
    )
    if not orders:
        return stats
    stats.cancellation_rate = stats.cancelled_orders / stats.total_orders
    times = sorted((order.create_time for order in orders), key=lambda time: time.ToNanoseconds())
    stats.first_order_time.CopyFrom(times[0])
    stats.last_order_time.CopyFrom(times[-1])
    worth: dict[str, list[int]] = {}
    for order in orders:
        if name(order.state) in PAID:
            left = order.total.minor_units - order.refunded.minor_units
            worth.setdefault(order.total.currency_code, []).append(left)
    for code, each in sorted(worth.items()):
        average = (2 * sum(each) + len(each)) // (2 * len(each))
        stats.spending.add(
            total_spent=Money(currency_code=code, minor_units=sum(each)),
            paid_orders=len(each),
            average_order_value=Money(currency_code=code, minor_units=average),
        )
    placed = Counter(f"{order.create_time.ToDatetime():%Y-%m}" for order in orders)
    for month in sorted(placed):
        stats.months.add(month=month, orders=placed[month])
    return stats


async def test_a_hundred_thousand_orders_are_read_from_a_few_hundred_rows(shop):
    customer = await shop.customer()
    placed = [each._replace(customer_id=customer) for each in bulk.orders(100_000, customers=1, days=1500)]
    async with bulk.administrator(shop) as connection:
        await bulk.write(connection, shop.store_id, placed, lines=False)
        await connection.execute(MONTHS, customer)
        ((plan,),) = await connection.fetch(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + statistics.MONTHS.sql, customer
        )
    plan = json.loads(plan)[0]["Plan"]
    stats = await stats_of(shop, customer)

    assert stats.total_orders == 100_000
    assert stats.cancelled_orders == sum(each.state == life.CANCELLED for each in placed)
    paid = [each for each in placed if name(each.state) in PAID]
    assert {code: (total, count) for code, (total, count, _) in spent(stats).items()} == {
        code: (sum(totals), len(totals))
        for code in ("EUR", "USD", "CHF")
        if (totals := [each.total for each in paid if each.currency_code == code])
    }
    assert sum(each.orders for each in stats.months) == 100_000
    assert [each.month for each in stats.months] == sorted({f"{each.create_time:%Y-%m}" for each in placed})
    assert stats.first_order_time.ToDatetime(tzinfo=UTC) == placed[0].create_time
    assert stats.last_order_time.ToDatetime(tzinfo=UTC) == placed[-1].create_time
    assert plan["Actual Rows"] <= 3 * len(stats.months)


# When orders were placed in UTC; and their number by month as clocks in a zone show it.
PLACED = [
    "2025-03-31T21:30", "2025-03-31T22:30", "2025-04-01T06:30",  # 23:30 and 00:30 in Berlin; 23:30 in Los Angeles
    "2025-10-31T22:30", "2025-10-31T23:30", "2025-11-01T06:30",  # The same after the clocks went back.
    "2024-12-31T23:30", "2025-01-01T07:30", "2025-01-15T12:00",
]  # fmt: skip
MONTHS_IN = {
    "UTC": {"2025-03": 2, "2025-04": 1, "2025-10": 2, "2025-11": 1, "2024-12": 1, "2025-01": 2},
    "Europe/Berlin": {"2025-03": 1, "2025-04": 2, "2025-10": 1, "2025-11": 2, "2025-01": 3},
    "America/Los_Angeles": {"2025-03": 3, "2025-10": 3, "2024-12": 2, "2025-01": 1},
    "Pacific/Kiritimati": {"2025-04": 3, "2025-11": 3, "2025-01": 3},
}


async def months_of(shop, customer):
    return {each.month: each.orders for each in (await stats_of(shop, customer)).months}


@pytest.fixture
async def regular(shop):
    """A customer who bought about the edges of months, in two currencies."""
    customer = await shop.customer()
    template = bulk.orders(len(PLACED), customers=1)
    placed = []
    for number, (each, time) in enumerate(zip(template, PLACED, strict=True)):
        moment = datetime.fromisoformat(time).replace(tzinfo=UTC)
        currency = ("EUR", "CHF")[number % 2]
        placed.append(
            each._replace(
                customer_id=customer, create_time=moment, order_id=id_at(moment), currency_code=currency
            )
        )
    async with bulk.administrator(shop) as connection:
        await bulk.write(connection, shop.store_id, placed, lines=False)
        await connection.execute(MONTHS, customer)
    return customer


@pytest.mark.parametrize("zone", MONTHS_IN)
async def test_months_begin_when_the_stores_clocks_say_so(shop, regular, zone):
    await set_up(shop, time_zone=zone)

    assert await months_of(shop, regular) == MONTHS_IN[zone]


async def test_another_zone_counts_all_months_anew_at_once_and_nothing_else(shop, regular):
    before = await stats_of(shop, regular)

    for zone in (*MONTHS_IN, ""):
        await set_up(shop, time_zone=zone)
        stats = await stats_of(shop, regular)
        assert {each.month: each.orders for each in stats.months} == MONTHS_IN[zone or "UTC"]
        stats.ClearField("months")
        stats.months.extend(before.months)
        assert stats == before


async def test_an_order_that_is_placed_in_a_zone_counts_in_its_month_now(shop):
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        await set_up(shop, time_zone=zone)
        customer = await shop.customer()
        order_id = await shop.order(customer=customer, until="CONFIRMED")
        order = (await shop.orders.GetOrder(get(order_id))).order
        local = order.create_time.ToDatetime(tzinfo=UTC).astimezone(ZoneInfo(zone))
        assert await months_of(shop, customer) == {f"{local:%Y-%m}": 1}


def lives(state, taken=()):
    """Every way through the life of an order that takes no step twice in one state."""
    yield taken
    for (step, before), after in life.LIFE.items():
        if before == state and (step, before) not in taken:
            yield from lives(after, (*taken, (step, before)))


def test_what_the_steps_of_any_life_add_up_to_is_what_its_end_says():
    every = list(lives(life.START))
    assert len(every) > 1000
    for steps in every:
        order = Order(state=life.START, total=Money(currency_code="EUR", minor_units=1000))
        sums, left = [0, 0, 0], 1000
        for step, state in steps:
            sums = [had + more for had, more in zip(sums, rules.bought(step, order), strict=True)]
            back = {"return_part": 7, "return": left}.get(step, 0)
            known = Known(order, 0)
            bought, _ = learn(known, News(order_id="", refunded=1000 - left + back))
            sums = [had + more for had, more in zip(sums, bought, strict=True)]
            left -= back
            order.state = life.LIFE[step, state]
        paid = name(order.state) in PAID
        assert sums == [order.state == life.CANCELLED, paid, left if paid else 0], steps
