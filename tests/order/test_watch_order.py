import asyncio

from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import accept, cancel, deliver, name, order_of, ship, take_back, watch
from tests.shop import WAIT_SECONDS, new_id, refused


async def collected(shop, order_id, after=0):
    return [update async for update in shop.orders.WatchOrder(watch(order_id, after), timeout=WAIT_SECONDS)]


async def test_begins_with_a_snapshot_then_tells_every_transition_and_ends_with_the_order(shop):
    order_id = await shop.order()
    watching = asyncio.create_task(collected(shop, order_id))
    await shop.until(order_id, "CONFIRMED")
    for step, ask in (("Accept", accept), ("Ship", ship), ("Deliver", deliver)):
        await getattr(shop.orders, f"{step}Order")(ask(order_id))

    snapshot, *updates = await watching

    assert snapshot.order.order_id == order_id
    assert snapshot.sequence == snapshot.order.sequence
    transitions = [update for update in updates if not update.bookmark]
    assert [update.sequence for update in transitions] == list(range(snapshot.sequence + 1, 7))
    assert name(transitions[-1].state) == "DELIVERED"
    assert not any(update.HasField("order") for update in updates)


async def test_resumes_after_a_sequence_without_a_snapshot_gap_or_repeat(shop):
    order_id = await shop.order(state="DELIVERED")
    for after in range(1, 7):
        updates = await collected(shop, order_id, after)
        assert [update.sequence for update in updates] == list(range(after + 1, 7))


async def test_resumed_it_tells_what_came_back_after_the_order_was_delivered(shop):
    product = await shop.product()
    order_id = await shop.order([(product, 3)], state="DELIVERED")
    for _ in range(3):
        await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
        last = (await order_of(shop, order_id)).sequence
        for after in range(1, last + 1):
            updates = await collected(shop, order_id, after)
            assert [update.sequence for update in updates] == list(range(after + 1, last + 1))
    updates = await collected(shop, order_id, 5)
    assert [(update.step, name(update.state), update.reason) for update in updates] == [
        ("deliver", "DELIVERED", ""),
        ("return_part", "DELIVERED", "too large"),
        ("return_part", "DELIVERED", "too large"),
        ("return", "RETURNED", "too large"),
    ]


async def test_ends_live_with_a_return_of_everything_that_was_on_its_way(shop):
    product = await shop.product()
    order_id = await shop.order([(product, 2)], state="ACCEPTED")
    watching = asyncio.create_task(collected(shop, order_id, 1))
    await shop.orders.ShipOrder(ship(order_id, (product, 1)))
    await shop.orders.DeliverOrder(deliver(order_id))
    await shop.orders.ShipOrder(ship(order_id))
    for _ in range(2):
        await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
    updates = [update for update in await watching if not update.bookmark]
    assert [update.sequence for update in updates] == list(range(2, 10))
    assert [update.step for update in updates[-5:]] == [
        "ship",
        "deliver_parcel",
        "ship",
        "return_part",
        "return",
    ]


async def test_an_order_that_has_ended_is_one_snapshot(shop):
    order_id = await shop.order(state="CANCELLED")
    (snapshot,) = await collected(shop, order_id)
    assert name(snapshot.order.state) == "CANCELLED"
    assert snapshot.reason == "changed my mind"


async def test_many_watchers_of_one_order_see_the_same(shop):
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    watchers = [asyncio.create_task(collected(shop, order_id, 1)) for _ in range(50)]
    await shop.orders.CancelOrder(cancel(order_id))
    seen = {tuple((update.sequence, update.state) for update in await each) for each in watchers}
    assert len(seen) == 1
    assert [sequence for sequence, _ in seen.pop()] == [2, 3, 4]


async def test_refuses_a_sequence_in_the_future_and_says_where_the_order_is(shop):
    order_id = await shop.order(until="CONFIRMED")
    with refused(ErrorReason.ERROR_REASON_ORDER_SEQUENCE_UNKNOWN, sequence="3"):
        await collected(shop, order_id, 99)


async def test_refuses_a_foreign_order_like_a_missing_one(shop):
    order_id = await shop.order()
    for by, asked in ((shop.another(), order_id), (shop, new_id())):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked):
            await collected(by, asked)
