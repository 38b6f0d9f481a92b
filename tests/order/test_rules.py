"""The rules of an order, by property."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderDelivered, OrderParcelDelivered
from commerce.order.v1.order_pb2 import Order, OrderState
from commerce.payment.v1.payment_pb2 import PaymentState
from hypothesis import given
from hypothesis import strategies as st

from services.order import life, rules
from services.runtime.refusals import Refusal

states = st.sampled_from([state for state in OrderState.values() if state])
steps = st.sampled_from(sorted({step for step, _ in life.LIFE}))


@given(steps, states)
def test_a_step_leads_where_the_table_says_or_is_refused(step, state):
    try:
        after = life.step(step, state)
    except Refusal as refusal:
        assert (step, state) not in life.LIFE
        assert refusal.reason == ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED
        assert refusal.metadata == {"step": step, "state": life.name_of(state)}
    else:
        assert after == life.LIFE.get((step, state))


@given(steps, st.sampled_from(sorted(life.ENDS)))
def test_only_what_comes_back_leaves_an_end(step, state):
    assert (step, state) not in life.LIFE or (state == life.DELIVERED and step in ("return", "return_part"))


def test_no_step_is_both_a_move_and_late_news():
    assert not life.LATE & life.LIFE.keys()


def test_every_end_and_only_an_end_has_no_way_out():
    sources = {state for _, state in life.LIFE}
    assert set(life.LIFE.values()) - sources == life.ENDS - {life.DELIVERED}


def test_a_step_that_leads_nowhere_else_is_one_of_many_of_its_kind():
    stays = {step for (step, state), after in life.LIFE.items() if state == after}
    assert stays == {"ship", "assign_courier", "deliver_parcel", "return_part", "apply_coupon"}


@given(steps, st.text(max_size=20))
def test_an_event_tells_of_its_order_as_the_step_left_it(step, reason):
    order = Order(order_id="order", store_id="store", customer_id="customer", sequence=7)
    brought = [OrderParcelDelivered(shipment_id="first"), OrderParcelDelivered(shipment_id="second")]
    *parcels, own = rules.told("deliver", order, 8, reason, brought)
    assert [each.shipment_id for each in parcels] == ["first", "second"]
    assert type(own) is OrderDelivered
    for event in (*parcels, own, *rules.told(step, order, 8, reason, [])):
        assert event.order == rules.reference(order, 8)
        assert getattr(event, "reason", reason) == reason


@given(st.sampled_from([state for state in PaymentState.values() if state]))
def test_every_state_of_a_payment_means_a_step_that_an_unpaid_order_knows(state):
    step = rules.payment_step(state)
    assert all((step, unpaid) in life.LIFE or (step, unpaid) in life.LATE for unpaid in life.UNPAID)
