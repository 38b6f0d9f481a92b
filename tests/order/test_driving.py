"""What the driver decides, by property."""

from datetime import UTC, datetime, timedelta

from commerce.order.v1.order_pb2 import Order, OrderState
from commerce.payment.v1.payment_pb2 import Payment, PaymentState
from hypothesis import given
from hypothesis import strategies as st

from services.order import driving_rules, life, rules
from services.order.driving_rules import Driven
from services.runtime.refusals import Refusal

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
states = st.sampled_from([state for state in OrderState.values() if state])
driven = st.sampled_from(driving_rules.DRIVEN)
# How far away an order's expiry is, in seconds; None for an order of old, which has none.
distances = st.none() | st.floats(-1000, 1000).filter(lambda seconds: abs(seconds) > 0.001)
errors = st.sampled_from(["UNAVAILABLE: away", "OVERLOADED: busy", "INTERNAL: ours", "ValueError: no lines"])
chances = st.floats(0, 1, exclude_max=True)


def order(state, seconds):
    placed = Order(state=state)
    if seconds is not None:
        placed.expire_time.FromDatetime(NOW + timedelta(seconds=seconds))
    return placed


@given(states, distances)
def test_an_order_expires_when_its_time_is_over_and_it_is_not_paid_for(state, seconds):
    expired = driving_rules.expired(order(state, seconds), NOW)
    assert expired == (state in driving_rules.DRIVEN and seconds is not None and seconds < 0)
    assert not expired or ("expire", state) in life.LIFE


@given(st.sampled_from([state for state in PaymentState.values() if state]), states, distances)
def test_good_news_of_a_payment_that_comes_too_late_lets_the_order_expire(payment, state, seconds):
    step = rules.payment_step(payment)
    taken = driving_rules.news(step, order(state, seconds), NOW)
    late = state in driving_rules.DRIVEN and seconds is not None and seconds < 0
    assert taken == ("expire" if late and step != "decline" else step)


@given(st.sampled_from([state for state in PaymentState.values() if state]), driven, distances)
def test_why_an_order_came_to_nothing_is_told(payment, state, seconds):
    step = driving_rules.news(rules.payment_step(payment), order(state, seconds), NOW)
    reason = driving_rules.reason(step, Payment(state=payment))
    assert (reason != "") == (step in ("decline", "expire"))
    assert (reason == driving_rules.OVERDUE) == (step == "expire")
    assert (reason == driving_rules.LAPSED) == (payment == PaymentState.PAYMENT_STATE_EXPIRED)


def test_the_providers_own_reason_is_told_when_it_has_one():
    declined = Payment(state=PaymentState.PAYMENT_STATE_FAILED, decline_code="insufficient_funds")
    assert driving_rules.reason("decline", declined) == "insufficient_funds"


@given(states)
def test_an_order_whose_payment_expired_fails_is_called_off_or_is_for_a_person_to_look_at(state):
    try:
        after = life.step(driving_rules.lapsed(state), state)
    except Refusal:
        assert state in (*life.SENT, life.PENDING, life.REJECTED)
        return
    if state in life.UNPAID:
        assert after == life.PAYMENT_FAILED
    elif state in (life.CONFIRMED, life.ACCEPTED):
        assert after == life.CANCELLED
    else:
        assert after is None
        assert state in life.FAILED


@given(states, st.sampled_from(["", "the payment"]))
def test_only_an_order_that_failed_with_a_payment_hears_no_more_of_it(state, payment_id):
    failed = Order(state=state, payment_id=payment_id)
    expected = state == life.PAYMENT_FAILED and payment_id == "the payment"
    assert driving_rules.outlived(failed, "the payment") == expected


def test_no_payment_will_ever_come_of_some_refusals_and_of_no_silence():
    for error in ("GATEWAY_UNKNOWN: none takes it", "PAYMENT_METHOD_NOT_FOUND: gone", "INVALID_ARGUMENT"):
        assert driving_rules.is_hopeless(error)
    for error in ("PAYMENT_MISMATCH: another sum", "INTERNAL", *driving_rules.AWAY):
        assert not driving_rules.is_hopeless(error)


@given(states)
def test_without_a_reservation_an_order_expires_is_called_off_or_is_past_caring(state):
    step, reason = driving_rules.unreserved(state)
    if step:
        assert life.step(step, state) in (life.EXPIRED, life.CANCELLED)
        assert reason
    else:
        assert state in life.ENDS | {life.SHIPPED}


@given(driven, distances, st.floats(0, 2000))
def test_nothing_is_due_later_than_it_expires(state, seconds, wait):
    due = rules.due(order(state, seconds), NOW, wait)
    assert due >= NOW
    assert seconds is None or seconds < 0 or due <= NOW + timedelta(seconds=seconds)
    assert due <= NOW + timedelta(seconds=wait)


@given(st.lists(errors, min_size=1, max_size=30), driven, distances, st.booleans(), chances)
def test_an_order_is_parked_when_its_step_fails_eight_times_in_a_row_and_nobody_is_away(
    happened, state, seconds, last, chance
):
    placed, in_a_row = Driven(order(state, seconds)), 0
    for error in happened:
        back = driving_rules.failed(placed, error, NOW, chance, last)
        in_a_row = 0 if driving_rules.is_away(error) else in_a_row + 1
        expires = seconds is not None and seconds < 0 and not last
        assert back.parked == (in_a_row >= 8 and not expires)
        assert back.last_error == error
        assert back.parked or (back.due_time is not None and back.due_time > NOW)
        placed = Driven(placed.order, attempts=back.attempts, last_error=back.last_error)


@given(driven, distances)
def test_one_that_is_parked_is_looked_at_again_when_it_expires_if_ever(state, seconds):
    placed = Driven(order(state, seconds), attempts=7, last_error="INTERNAL: ours")
    back = driving_rules.failed(placed, "INTERNAL: ours", NOW, 0.5, last=True)
    assert back.parked
    expires = seconds is not None and seconds > 0
    assert back.due_time == (NOW + timedelta(seconds=seconds) if expires else None)


@given(driven, st.integers(0, 100), st.sampled_from(["", "UNAVAILABLE: away"]))
def test_asking_again_for_a_payment_is_no_failure_and_becomes_more_seldom(state, attempts, last_error):
    back = driving_rules.unsettled(Driven(order(state, None), attempts=attempts, last_error=last_error), NOW)
    assert not back.parked
    assert back.last_error == ""
    assert back.attempts == (1 if last_error else attempts + 1)
    assert back.due_time is not None
    assert NOW + timedelta(seconds=5) <= back.due_time <= NOW + timedelta(minutes=5)


def test_an_error_is_kept_as_far_as_there_is_room():
    back = driving_rules.failed(Driven(order(life.PENDING, None)), "INTERNAL: " + "x" * 1000, NOW, 0.5)
    assert len(back.last_error) == 500


@given(st.integers(0, 1000), chances)
def test_the_back_off_grows_to_a_bound_and_is_never_nothing(attempts, chance):
    assert 0.1 <= driving_rules.back_off_seconds(attempts, chance) <= 20
