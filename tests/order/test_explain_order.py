import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import OrderState

from tests.order.asks import order_of, timeline
from tests.order.deals import held_back
from tests.order.operations import POISONS, explain, parked, situation_of
from tests.shop import new_id, refused


@pytest.mark.parametrize(
    ("state", "waits_for"),
    [
        ("AWAITING_CUSTOMER", "for its customer to confirm the payment; it is asked for again at 20"),
        (
            "PAYMENT_UNKNOWN",
            "for the provider to say what became of the payment; it is asked for again at 20",
        ),
        ("CONFIRMED", "for the store to accept it"),
        ("ACCEPTED", "for the store to ship it"),
        ("SHIPPED", "for its parcels to be at the door"),
        ("DELIVERED", "for nothing: it is at the door"),
        ("CANCELLED", "for nothing: it has ended"),
        ("REJECTED", "for nothing: it has ended"),
    ],
)
async def test_says_what_it_waits_for_and_since_when(shop, state, waits_for):
    order_id = await shop.order(state=state)
    events = (await shop.orders.ListOrderEvents(timeline(order_id))).events

    situation = await situation_of(shop, order_id)

    if state != "PAYMENT_UNKNOWN":  # By now the provider may have said it.
        assert situation.state == OrderState.Value(f"ORDER_STATE_{state}")
        assert situation.waits_for.startswith(waits_for)
        assert (situation.update_time, situation.trace_id) == (events[-1].time, events[-1].trace_id)
    assert situation.store_id == shop.store_id
    assert not situation.parked
    assert situation.last_error == ""
    assert situation.attempts == 0


async def test_says_when_it_is_looked_at_and_when_it_expires_while_it_is_not_paid_for(shop):
    order_id = await shop.order(state="AWAITING_CUSTOMER")
    situation = await situation_of(shop, order_id)
    assert situation.expire_time == (await order_of(shop, order_id)).expire_time
    assert situation.due_time.ToNanoseconds() > situation.update_time.ToNanoseconds()

    paid = await situation_of(shop, await shop.order(state="CONFIRMED"))
    assert not paid.HasField("expire_time")
    assert not paid.HasField("due_time")


async def test_says_that_a_driver_has_it_in_hand(shop):
    product = await shop.product()
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)])
        waits_for = (await situation_of(shop, order_id)).waits_for
        assert waits_for.startswith("for its units to be reserved; a driver has it in hand until 20")


async def test_says_how_a_parked_one_failed_and_what_to_do(shop):
    situation = await situation_of(shop, await parked(shop))
    assert situation.parked
    assert situation.attempts == 8
    assert situation.last_error == "ValueError: the order has no lines"
    assert "the driver has given up: mend what failed, then retry it" in situation.waits_for


@pytest.mark.parametrize("sql", POISONS.values(), ids=POISONS)
async def test_explains_one_that_cannot_be_read(shop, sql):
    order_id = await parked(shop)
    await shop.clients.rows(sql, order_id)
    assert (await situation_of(shop, order_id)).parked


async def test_refuses_another_stores_order_like_a_missing_one(shop):
    order_id, missing = await shop.order(), new_id()
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id) as foreign:
        await shop.another().operations.ExplainOrder(explain(order_id))
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=missing) as unknown:
        await shop.operations.ExplainOrder(explain(missing))
    assert foreign.message.replace(order_id, "") == unknown.message.replace(missing, "")


async def test_refuses_a_customer_and_names_the_field_that_is_wrong(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_("customer", customer_id=new_id()).operations.ExplainOrder(explain(new_id()))
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.operations.ExplainOrder(explain("x"))
    assert "order_id" in said.violations
