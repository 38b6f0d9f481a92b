"""An order is read from what was placed, or from its columns and lines: whichever it is, it is the same order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.options.v1 import options_pb2
from commerce.order.v1.order_pb2 import Order, OrderLine
from commerce.order.v1.order_service_pb2 import ListOrdersRequest
from hypothesis import given
from hypothesis import strategies as st

from services.order import life, lists, placing, queries
from services.runtime.times import timestamp
from tests.order import bulk
from tests.order.asks import accept, assign, create, deliver, order_of, ship, take_back
from tests.order.deals import apply, costs, held_back, new_coupon, set_up, ships, tax, to

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

amounts = st.integers(0, 10**9)
numbers = st.integers(0, 2**31 - 1)
texts = st.text(max_size=20)
ids = st.uuids().map(str)
addresses = st.builds(PostalAddress, recipient=texts, city=texts, country_code=st.sampled_from(("DE", "CH")))
times = st.integers(0, 4 * 10**15).map(lambda since: EPOCH + timedelta(microseconds=since))


@st.composite
def placed_orders(draw):
    """Orders as CreateOrder makes them, in every field that it fills."""
    currency = draw(st.sampled_from(["JPY", "EUR", "KWD"]))

    def money():
        return Money(currency_code=currency, minor_units=draw(amounts))

    moment, sums = (
        timestamp(draw(times)),
        ("total", "subtotal", "discount", "tax", "shipping", "shipping_tax"),
    )
    lines = [
        OrderLine(
            product_id=draw(ids),
            sku=draw(texts),
            name=draw(texts),
            quantity=draw(numbers),
            unit_price=money(),
            discount=money(),
            tax=money(),
            tax_rate_ppm=draw(numbers),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    return Order(
        order_id=draw(ids),
        store_id=draw(ids),
        customer_id=draw(ids),
        state=life.START,
        lines=lines,
        sequence=1,
        create_time=moment,
        update_time=moment,
        expire_time=timestamp(draw(times)),
        payment_method=draw(texts),
        delivery_address=draw(st.none() | addresses),
        tax_included=draw(st.booleans()),
        shipping_tax_rate_ppm=draw(numbers),
        coupon_code=draw(texts),
        refunded=Money(currency_code=currency, minor_units=0),
        **{name: money() for name in sums},
    )


# What moves write to a row.
changes = st.fixed_dictionaries(
    {
        "state": st.sampled_from(life.STATES.values()),
        "sequence": numbers,
        "update_time": times,
        "refunded_minor_units": amounts,
        "unpaid_reason": texts,
        "reason": texts,
        "payment_id": st.none() | st.uuids(),
        "next_action_url": texts,
        "payment_expire_time": st.none() | times,
    }
)


def row_of(order):
    """The row that CreateOrder writes, and its lines as they are read."""
    values = placing.placed(order)
    row = {name.removeprefix("order_"): value for name, value in values.items() if name.startswith("order_")}
    row["order_id"] = values["order_order_id"]
    names = list(placing._LINE_COLUMNS)[1:]
    return row, [(*line, 0, 0) for line in zip(*(values[name] for name in names), strict=True)]


@given(placed_orders(), changes)
def test_whatever_was_placed_and_has_changed_since(order, changed):
    row, lines = row_of(order)
    row |= changed

    from_placed = queries.orders_of([row | {"lines": None}])

    assert queries.orders_of([row | {"placed": None, "lines": lines}]) == from_placed
    joined = [row | dict(zip((column.name for column in queries.LINE), line, strict=True)) for line in lines]
    assert queries.orders_of([each | {"placed": None} for each in joined]) == from_placed


@given(placed_orders())
def test_as_it_was_placed(order):
    row, _ = row_of(order)
    created = dict.fromkeys(("payment_id", "payment_expire_time")) | {"refunded_minor_units": 0}
    empty = dict.fromkeys(("unpaid_reason", "reason", "next_action_url"), "")
    assert queries.orders_of([row | created | empty]) == [order]


def personal(message):
    """The fields of a message, and of those within, that the contract calls personal."""
    for field, value in message.ListFields():
        if field.GetOptions().Extensions[options_pb2.pii]:
            yield field.full_name
        elif field.message_type:
            for inner in value if field.is_repeated else [value]:
                yield from personal(inner)


@given(placed_orders())
def test_what_is_personal_is_in_no_second_place(order):
    assert set(personal(Order(payment_method="pm_1", delivery_address=to("DE"))))
    assert list(personal(Order.FromString(queries.as_placed(order)))) == []


async def reads(shop, order_id):
    """How an order is read, by itself and in a list: as it is on record, and as if a version of before had placed it.

    Also tells whether the first was read from what was placed.
    """
    ask, values = lists.question(ListOrdersRequest(store_id=shop.store_id))
    listed = ask.arguments(values | {"size": 100})

    async def read():
        rows = [await connection.fetch(queries.ORDER.sql, UUID(order_id))]
        rows.append([row for row in await connection.fetch(ask.sql, *listed) if row["order_id"] == row_id])
        return [queries.orders_of(each) for each in rows], rows[0][0]["placed"] is not None

    row_id = UUID(order_id)
    async with bulk.administrator(shop) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM orders WHERE order_id = $1 FOR UPDATE", row_id)
        (single, of_list), from_placed = await read()
        await connection.execute("UPDATE orders SET placed = NULL WHERE order_id = $1", row_id)
        as_before, never = await read()
        await transaction.rollback()
    assert not never
    assert [single, of_list] == as_before
    assert single == of_list
    return single[0], from_placed


async def check(shop, order_id, from_placed):
    order, told = await reads(shop, order_id)
    assert told == from_placed, order
    return order


async def priced(shop):
    await set_up(
        shop,
        tax_included=True,
        tax_rates=[tax(190_000)],
        shipping_rates=[ships(490)],
        shipping_tax_class="",
    )


async def test_after_every_step_to_the_door_and_back(shop):
    await priced(shop)
    product, other = await shop.product(price=3333), await shop.product(price=1)
    customer = await shop.customer()
    async with held_back(shop, product):
        request = create(shop, customer, (product, 3), (other, 2), delivery_address=to("DE"))
        placed = (await shop.orders.CreateOrder(request)).order
        order_id = placed.order_id
        assert await check(shop, order_id, from_placed=True) == placed
    await shop.until(order_id, "CONFIRMED")
    await check(shop, order_id, from_placed=True)
    await shop.orders.AcceptOrder(accept(order_id))
    order = await check(shop, order_id, from_placed=True)
    assert (order.lines, order.total, order.delivery_address) == (placed.lines, placed.total, to("DE"))

    sent = (await shop.orders.ShipOrder(ship(order_id, (product, 2)))).order
    order = await check(shop, order_id, from_placed=False)
    assert [line.shipped_quantity for line in order.lines] == [2, 0]
    first = sent.shipments[0].shipment_id
    for step, request in (
        ("AssignCourier", assign(order_id, first, "kim")),
        ("DeliverOrder", deliver(order_id, first)),
        ("ReturnOrder", take_back(order_id, (product, 1))),
        ("ShipOrder", ship(order_id)),
        ("DeliverOrder", deliver(order_id)),
        ("ReturnOrder", take_back(order_id, (product, 2), (other, 2))),
    ):
        await getattr(shop.orders, step)(request)
        order = await check(shop, order_id, from_placed=False)
    assert [line.returned_quantity for line in order.lines] == [3, 2]


@pytest.mark.parametrize(
    "state", ["AWAITING_CUSTOMER", "PAYMENT_UNKNOWN", "REJECTED", "PAYMENT_FAILED", "CANCELLED"]
)
async def test_where_it_waits_or_has_ended(shop, state):
    await priced(shop)
    order_id = await shop.order(state=state, delivery_address=to("DE"))
    await check(shop, order_id, from_placed=True)


async def test_a_price_that_the_catalog_has_changed_since_changes_nothing(shop):
    product = await shop.product(price=1000)
    order_id = await shop.order([(product, 1)], until="CONFIRMED")
    before = await check(shop, order_id, from_placed=True)

    await costs(shop, product, 2000)

    assert await check(shop, order_id, from_placed=True) == before


async def test_with_a_coupon_prices_are_those_after_it_whoever_has_applied_it(shop):
    await new_coupon(shop)
    await priced(shop)
    product, customer = await shop.product(price=3333), await shop.customer()
    at_once = await shop.order([(product, 1)], customer=customer, coupon_code="TEN", until="CONFIRMED")
    await check(shop, at_once, from_placed=False)
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], customer=customer)
        before = await check(shop, order_id, from_placed=True)
        after = (await shop.orders.ApplyCoupon(apply(order_id))).order
        assert await check(shop, order_id, from_placed=False) == after
        assert await order_of(shop, order_id) == after
    assert (before.total.minor_units, after.total.minor_units) == (3823, 3490)
