"""What becomes of moves that the driver records together, on the cluster's own database."""

import asyncio
from dataclasses import replace

import pytest
from commerce.order.v1.order_events_pb2 import OrderConfirmed, OrderPaymentFailed

from services.order import life, placing
from services.order.records import Records
from services.order.transitions import Move, Transitions
from tests.catalog.orders import release
from tests.order.buyers import PRICE, Buyer
from tests.shop import new_id


@pytest.fixture
def records(runtime):
    async def nothing(*_):
        raise AssertionError("nobody watches")

    return Records(runtime, Transitions(runtime.hub("order", nothing, nothing), lambda store_id: None))


async def pending(runtime, shop, count, **of):
    """Orders that were placed, that no driver will look at, and of which the catalog takes any news for late."""
    buyers = [Buyer(shop.store_id, **of) for _ in range(count)]
    assert await release(shop, *(buyer.order.order_id for buyer in buyers))
    writer = placing.Writer(runtime)
    await asyncio.gather(*(buyer.place(writer, runtime) for buyer in buyers))
    return [buyer.order for buyer in buyers]


def move(order, step, **news):
    state = life.step(step, order.state)
    assert state is not None
    return Move(order, step, state, "SERVICE order", None, **news)


async def reserved(records, orders):
    assert await records.record([move(order, "reserve") for order in orders]) == ids(orders)
    return orders


def ids(orders):
    return {order.order_id for order in orders}


async def on_record(shop, order):
    """State, sequence and steps of an order, in which transaction it moved last, and what was published of it."""
    (row,) = await shop.clients.rows(
        'SELECT state, sequence, xmin::text FROM "order".orders WHERE order_id = $1', order.order_id
    )
    steps = await shop.clients.rows(
        'SELECT step FROM "order".order_events WHERE order_id = $1 ORDER BY sequence', order.order_id
    )
    told = [
        event
        for event in await shop.published(OrderConfirmed, OrderPaymentFailed)
        if event.order.order_id == order.order_id
    ]
    return row["state"], row["sequence"], [each["step"] for each in steps], row["xmin"], told


async def months(shop, *customers):
    rows = await shop.clients.rows(
        'SELECT paid, spent_minor_units AS spent FROM "order".customer_months WHERE customer_id = ANY($1) '
        "ORDER BY paid",
        list(customers),
    )
    return [(row["paid"], row["spent"]) for row in rows]


async def test_moves_that_come_together_are_one_transaction_and_each_order_is_told_of_by_itself(
    runtime, records, shop
):
    orders = await reserved(records, await pending(runtime, shop, 4))
    paid, refused = orders[:3], orders[3]

    held = await records.record(
        [*(move(order, "authorize") for order in paid), move(refused, "decline", reason="stolen")]
    )

    assert held == ids(orders)
    found = [await on_record(shop, order) for order in orders]
    assert len({transaction for *_, transaction, _ in found}) == 1
    for order, (state, sequence, steps, _, told) in zip(paid, found, strict=False):
        assert (state, sequence, steps) == (life.CONFIRMED, 3, ["create", "reserve", "authorize"])
        assert (order.state, order.sequence) == (state, sequence)
        (event,) = told
        assert (event.order.sequence, event.order.total) == (3, order.total)
    assert found[3][:3] == (life.PAYMENT_FAILED, 3, ["create", "reserve", "decline"])
    assert [(type(event), event.reason) for event in found[3][4]] == [(OrderPaymentFailed, "stolen")]
    assert (refused.state, refused.reason) == (life.PAYMENT_FAILED, "stolen")


async def test_an_order_that_somebody_else_has_moved_stays_and_nothing_is_told_or_counted_of_it(
    runtime, records, shop
):
    ours, theirs = new_id(), new_id()
    (first,) = await reserved(records, await pending(runtime, shop, 1, customer=ours))
    (second,) = await reserved(records, await pending(runtime, shop, 1, customer=theirs))
    stale = move(second, "authorize")
    assert await records.record([move(second, "challenge")]) == ids([second])

    assert await records.record([stale, move(first, "authorize")]) == ids([first])

    assert second.sequence == 3
    state, sequence, steps, _, told = await on_record(shop, second)
    assert (state, sequence, steps) == (life.AWAITING_CUSTOMER, 3, ["create", "reserve", "challenge"])
    assert told == []
    assert await months(shop, ours) == [(1, PRICE)]
    assert await months(shop, theirs) == [(0, 0)]


async def test_moves_that_are_recorded_twice_count_once(runtime, records, shop):
    """A commit whose answer was lost."""
    customer = new_id()
    orders = await reserved(records, await pending(runtime, shop, 3, customer=customer))
    moves = [move(order, "authorize") for order in orders]

    assert await records.record([replace(each) for each in moves]) == ids(orders)
    for order in orders:
        order.sequence, order.state = 2, life.RESERVED
    assert await records.record(moves) == set()

    assert await months(shop, customer) == [(3, 3 * PRICE)]
    for order in orders:
        *_, told = await on_record(shop, order)
        assert len(told) == 1


async def test_a_crowd_of_moves_of_the_same_customers_does_not_wait_in_a_circle(runtime, records, shop):
    customers = [new_id() for _ in range(4)]
    orders = []
    for customer in customers:
        orders += await reserved(records, await pending(runtime, shop, 6, customer=customer))
    batches = [orders[at::6] for at in range(6)]

    done = await asyncio.gather(
        *(
            records.record([move(order, "authorize") for order in (batch if at % 2 else batch[::-1])])
            for at, batch in enumerate(batches)
        )
    )

    assert set().union(*done) == ids(orders)
    assert await months(shop, *customers) == [(6, 6 * PRICE)] * 4
