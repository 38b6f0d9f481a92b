"""What the writer makes of orders that come at the same time, on the cluster's own database: who goes with whom."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from services.order import baskets, placing
from services.runtime import times
from tests.order.buyers import CONNECTIONS, PATIENT_SECONDS, Buyer
from tests.shop import eventually, new_id


@pytest.fixture
async def keeper(cluster):
    """Somebody who holds what others need."""
    connection = await asyncpg.connect(cluster.admin_dsn)
    yield connection
    await connection.close()


async def placed(runtime, *buyers):
    """Place orders at once, the first by itself and the others behind it: what each was told."""
    writer = placing.Writer(runtime)
    return await asyncio.gather(*(buyer.place(writer, runtime) for buyer in buyers), return_exceptions=True)


async def transactions(shop, buyers):
    """In which transaction each order was placed; None where it was not."""
    rows = await shop.clients.rows(
        'SELECT order_id, xmin::text FROM "order".orders WHERE order_id = ANY($1)',
        [buyer.id for buyer in buyers],
    )
    found = {row["order_id"]: row["xmin"] for row in rows}
    return [found.get(buyer.id) for buyer in buyers]


def crowd(shop, count=6):
    return [Buyer(shop.store_id, range(1, number + 2)) for number in range(count)]


async def test_what_comes_meanwhile_is_placed_together_and_each_order_is_its_own(runtime, shop):
    buyers = crowd(shop)

    assert await placed(runtime, *buyers) == [None] * 6

    first, *others = await transactions(shop, buyers)
    assert len(set(others)) == 1
    assert first not in others
    for buyer in buyers:
        await buyer.agrees(shop)


async def test_what_customers_bought_is_counted_however_many_of_their_orders_come_at_once(runtime, shop):
    ours, theirs = new_id(), new_id()
    buyers = [Buyer(shop.store_id, customer=each) for each in (ours, theirs, ours, ours, theirs)]

    assert await placed(runtime, *buyers) == [None] * 5

    rows = await shop.clients.rows(
        'SELECT * FROM "order".customer_months WHERE customer_id = ANY($1)', [ours, theirs]
    )
    counted = {str(row["customer_id"]): row for row in rows}
    assert {customer: row["orders"] for customer, row in counted.items()} == {ours: 3, theirs: 2}
    first, last = (times.time_of(buyers[number].order.create_time) for number in (0, 3))
    assert (counted[ours]["first_order_time"], counted[ours]["last_order_time"]) == (first, last)


async def test_a_request_id_that_was_answered_or_comes_twice_fails_by_itself(runtime, shop):
    answered, *buyers = crowd(shop)
    assert await placed(runtime, answered) == [None]
    buyers[1] = Buyer(shop.store_id, request_id=answered.request_id.upper())
    buyers[3] = Buyer(shop.store_id, request_id=buyers[2].request_id.upper())

    told = await placed(runtime, *buyers)

    assert [getattr(each, "constraint_name", None) for each in told] == [
        None,
        "first_replies_pkey",
        None,
        "first_replies_pkey",
        None,
    ]
    _, second, third, fourth, fifth = await transactions(shop, buyers)
    assert (second, fourth) == (None, None)
    assert third == fifth
    await buyers[2].agrees(shop)
    await buyers[4].agrees(shop)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"order_total_minor_units": 1}, asyncpg.CheckViolationError),
        ({"order_actor": "\0"}, asyncpg.CharacterNotInRepertoireError),
        ({"order_state": "no number"}, asyncpg.DataError),
    ],
)
async def test_one_that_cannot_be_recorded_fails_alone(runtime, shop, value, fault):
    buyers = crowd(shop)
    buyers[3].values |= value

    told = await placed(runtime, *buyers)

    assert [type(each) for each in told] == [type(None)] * 3 + [fault] + [type(None)] * 2
    assert await buyers[3].published(shop) == []
    assert (await transactions(shop, buyers))[3] is None
    for buyer in (*buyers[:3], *buyers[4:]):
        await buyer.agrees(shop)


async def test_one_who_waits_for_whoever_holds_what_it_needs_does_not_keep_the_others(runtime, shop, keeper):
    await _be_patient(runtime.database)
    first, known, *others = crowd(shop)
    assert await placed(runtime, known) == [None]
    late = Buyer(shop.store_id, customer=known.order.customer_id)
    writer = placing.Writer(runtime)
    async with keeper.transaction():
        await keeper.execute(
            'SELECT FROM "order".customer_months WHERE customer_id = $1 FOR UPDATE',
            UUID(known.order.customer_id),
        )
        calls = [asyncio.create_task(buyer.place(writer, runtime)) for buyer in (first, late, *others)]
        async with asyncio.timeout(PATIENT_SECONDS / 2):
            await asyncio.gather(*(call for call in calls if call is not calls[1]))
        assert not calls[1].done()
    await calls[1]

    for buyer in (first, late, *others):
        await buyer.agrees(shop)


async def _be_patient(database):
    """Wait for a lock by oneself as long as it takes."""
    connections = [await database.take() for _ in range(CONNECTIONS)]
    for connection in connections:
        await connection.execute(f"SET lock_timeout = '{PATIENT_SECONDS}s'")
        database.give(connection)


async def test_one_whose_caller_leaves_is_placed_whole_or_not_at_all(runtime, shop, keeper):
    buyers = crowd(shop)
    writer = placing.Writer(runtime)
    async with keeper.transaction():
        await keeper.execute('LOCK TABLE "order".outbox IN SHARE MODE')
        calls = [asyncio.create_task(buyer.place(writer, runtime)) for buyer in buyers]
        await asyncio.sleep(0)
        calls[1].cancel()
        # The first stands at the lock; when it has been waited for, so do those behind it.
        sql = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%all_orders%'"
        await eventually(lambda: shop.clients.rows(sql))
        calls[2].cancel()
    told = await asyncio.gather(*calls, return_exceptions=True)

    left = [asyncio.CancelledError] * 2
    assert [type(each) for each in told] == [type(None), *left, *[type(None)] * 3]
    _, waited, went, *_ = await transactions(shop, buyers)
    assert waited is None
    for buyer in buyers[1:2] if went else buyers[1:3]:
        assert await buyer.published(shop) == []
    for buyer in (buyers[0], *buyers[2 if went else 3 :]):
        await buyer.agrees(shop)


async def test_what_a_work_has_done_before_it_places_its_order_goes_with_it(runtime, shop):
    """An order with a coupon holds the coupon's lock."""
    buyers = crowd(shop)
    writer = placing.Writer(runtime)
    customer = {"customer_id": buyers[3].order.customer_id, "store_id": shop.store_id}

    async def use(work):
        await work.rows(baskets.CUSTOMER_KNOWN, **customer)

    await asyncio.gather(
        *(buyer.place(writer, runtime, *([use] if buyer is buyers[3] else [])) for buyer in buyers)
    )

    (known,) = await shop.clients.rows(
        'SELECT xmin::text FROM "order".customers WHERE customer_id = $1', customer["customer_id"]
    )
    assert (await transactions(shop, buyers))[3] == known["xmin"]
    for buyer in buyers:
        await buyer.agrees(shop)
