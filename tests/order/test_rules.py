"""The rules of an order, by property."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_pb2 import OrderLine, OrderState
from commerce.order.v1.order_service_pb2 import CreateOrderLine
from commerce.payment.v1.payment_pb2 import PaymentState
from hypothesis import given
from hypothesis import strategies as st

from services.order import rules
from services.runtime.refusals import Refusal

states = st.sampled_from([state for state in OrderState.values() if state])
steps = st.sampled_from(sorted({step for step, _ in rules.LIFE}))
prices = st.integers(0, 10**9)
lines = st.lists(st.tuples(prices, st.integers(1, 10_000)), min_size=1, max_size=100)


def line(price: int, quantity: int, currency: str = "EUR") -> OrderLine:
    return OrderLine(quantity=quantity, unit_price=Money(currency_code=currency, minor_units=price))


@given(lines)
def test_the_total_is_the_sum_of_the_lines_to_the_cent(wanted):
    total = rules.total(line(price, quantity) for price, quantity in wanted)
    assert total.minor_units == sum(price * quantity for price, quantity in wanted)
    assert total.currency_code == "EUR"


def test_refuses_lines_in_two_currencies():
    with pytest.raises(Refusal) as refusal:
        rules.total([line(1, 1, "EUR"), line(1, 1, "USD")])
    assert refusal.value.reason == ErrorReason.ERROR_REASON_ORDER_CURRENCIES_MIXED
    assert refusal.value.metadata == {"currencies": "EUR,USD"}


def test_refuses_a_total_beyond_any_payment():
    with pytest.raises(Refusal) as refusal:
        rules.total([line(10**15, 2)])
    assert refusal.value.reason == ErrorReason.ERROR_REASON_ORDER_TOTAL_TOO_LARGE


@given(steps, states)
def test_a_step_leads_where_the_table_says_or_is_refused(step, state):
    try:
        after = rules.step(step, state)
    except Refusal as refusal:
        assert (step, state) not in rules.LIFE
        assert refusal.reason == ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED
        assert refusal.metadata == {"step": step, "state": rules.name_of(state)}
    else:
        assert after == rules.LIFE.get((step, state))


@given(steps, st.sampled_from(sorted(rules.ENDS)))
def test_nothing_leaves_an_end(step, state):
    assert (step, state) not in rules.LIFE


def test_no_step_is_both_a_move_and_late_news():
    assert not rules.LATE & rules.LIFE.keys()


def test_every_end_and_only_an_end_has_no_way_out():
    sources = {state for _, state in rules.LIFE}
    assert set(rules.LIFE.values()) - sources == rules.ENDS


@given(st.sampled_from([state for state in PaymentState.values() if state]))
def test_every_state_of_a_payment_means_a_step_that_an_unpaid_order_knows(state):
    step = rules.payment_step(state)
    assert all((step, unpaid) in rules.LIFE or (step, unpaid) in rules.LATE for unpaid in rules.UNPAID)


def test_a_product_that_is_not_known_is_named():
    with pytest.raises(Refusal) as refusal:
        rules.lines([CreateOrderLine(product_id="x", quantity=1)], {})
    assert refusal.value.metadata == {"product_id": "x"}


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_the_back_off_grows_to_a_bound_and_is_never_nothing(attempts, chance):
    assert 0.1 <= rules.back_off_seconds(attempts, chance) <= 20
