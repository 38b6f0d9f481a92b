from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import name, timeline
from tests.shop import new_id, refused


async def test_tells_each_transition_with_its_actor_and_its_trace(shop):
    order_id = await shop.order(state="DELIVERED")
    events = (await shop.orders.ListOrderEvents(timeline(order_id))).events
    assert [event.sequence for event in events] == list(range(1, 7))
    assert [(event.step, name(event.state)) for event in events] == [
        ("create", "PENDING"),
        ("reserve", "RESERVED"),
        ("authorize", "CONFIRMED"),
        ("accept", "ACCEPTED"),
        ("ship", "SHIPPED"),
        ("deliver", "DELIVERED"),
    ]
    assert events[0].actor.startswith("STORE_ADMIN ")
    assert events[1].actor == "SERVICE order"
    assert all(len(event.trace_id) == 32 for event in events)
    assert len({event.trace_id for event in events[:3]}) == 1
    times = [event.time.ToNanoseconds() for event in events]
    assert times == sorted(times)


async def test_keeps_the_reason(shop):
    order_id = await shop.order(state="CANCELLED")
    events = (await shop.orders.ListOrderEvents(timeline(order_id))).events
    assert (events[-1].step, events[-1].reason) == ("cancel", "changed my mind")


async def test_refuses_a_foreign_order_like_a_missing_one(shop):
    order_id = await shop.order()
    for by, asked in ((shop.another(), order_id), (shop, new_id())):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked):
            await by.orders.ListOrderEvents(timeline(asked))
