"""The rules of a payment, by property."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commerce.payment.v1.payment_pb2 import PaymentState
from hypothesis import given
from hypothesis import strategies as st

import services.payment
from services.payment import ledger, rules
from services.payment.outcomes import Refused, Told, Unknown
from services.payment.payments import OPEN, OPERATION_FAILED, OPERATION_SUCCEEDED, Operation, Payment
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from tools.life import diagram

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AMOUNT = 1999
STATUSES = sorted(rules.NEWS)
KINDS = ("authorize", "capture", "void", "refund")

states = st.sampled_from([state for state in PaymentState.values() if state])
steps = st.sampled_from(sorted({step for step, _ in rules.LIFE}))
amounts = st.integers(0, 10**15)


def told(status):
    return Told(
        status=status,
        reference="ch_1",
        amount=AMOUNT,
        currency_code="EUR",
        captured=AMOUNT if status in ("captured", "refunded") else 0,
        refunded=AMOUNT if status == "refunded" else 0,
    )


outcomes = st.one_of(
    st.sampled_from(STATUSES).map(told),
    st.sampled_from(["step_not_allowed", "invalid_request"]).map(Refused),
    st.just(Unknown("silence")),
)


def operation(kind="authorize"):
    return Operation(operation_id=str(new_id()), kind=kind, amount=AMOUNT, attempts=1, create_time=NOW)


def payment():
    return Payment(
        payment_id=str(new_id()),
        order_id=str(new_id()),
        store_id=str(new_id()),
        customer_id=str(new_id()),
        state=rules.PENDING,
        amount=AMOUNT,
        currency_code="EUR",
        create_time=NOW,
        update_time=NOW,
        operations=(operation(),),
    )


class Books:
    """A payment as the driver leads it through whatever happens, and everything that was booked."""

    def __init__(self):
        self.payment = payment()
        self.postings = []

    def apply(self, change):
        if change is None:
            return
        assert change.before == self.payment
        assert change.payment.version == self.payment.version + 1
        self.payment = change.payment
        self.postings += change.postings
        if change.next:
            self.payment = self.payment.with_operation(operation(change.next))

    def happen(self, what):
        """An outcome of some operation, a caller's wish, or the order's end; what is refused changes nothing."""
        name, index, outcome = what
        try:
            if name == "outcome":
                asked = self.payment.operations[index % len(self.payment.operations)]
                self.apply(rules.settled(self.payment, asked, outcome, NOW))
            elif name == "cancelled":
                self.apply(rules.cancelled(self.payment, NOW))
            elif name == "accepted":
                if kind := rules.accepted(self.payment):
                    self.payment = self.payment.with_operation(operation(kind))
            else:
                rules.may(name, self.payment)
                self.payment = self.payment.with_operation(operation(name))
        except (rules.Contradiction, Refusal):
            pass


happenings = st.tuples(
    st.sampled_from(["outcome", "outcome", "outcome", "cancelled", "accepted", *KINDS[1:]]),
    st.integers(0, 9),
    outcomes,
)


@given(st.lists(happenings, max_size=40))
def test_whatever_happens_in_whatever_order_the_money_adds_up(story):
    books = Books()
    for what in story:
        books.happen(what)
        now = books.payment
        assert sum(posting.debit for posting in books.postings) == sum(
            posting.credit for posting in books.postings
        )
        assert 0 <= now.refunded <= now.captured <= now.amount
        assert now.captured == sum(
            posting.credit for posting in books.postings if posting.account == "revenue"
        )
        assert now.refunded == sum(
            posting.debit for posting in books.postings if posting.account == "refunds"
        )
        assert sum(one.open for one in now.operations) <= 1
        succeeded = [one.kind for one in now.operations if one.state == OPERATION_SUCCEEDED]
        assert len(succeeded) == len(set(succeeded))


@given(st.lists(happenings, max_size=20))
def test_a_cancelled_order_keeps_no_money_once_every_answer_is_in(story):
    books = Books()
    for what in story:
        books.happen(what)
    books.happen(("cancelled", 0, None))

    for _ in range(10):
        for asked in books.payment.operations:
            if asked.open:
                over = {rules.FAILED: "declined", rules.VOIDED: "voided"}.get(books.payment.state)
                answer = Refused("step_not_allowed", over) if over else told(rules.DONE[asked.kind])
                books.apply(rules.settled(books.payment, asked, answer, NOW))

    by_hand = any(
        one.state == OPERATION_FAILED for one in books.payment.operations if one.kind in ("void", "refund")
    )
    assert by_hand or books.payment.state in (rules.VOIDED, rules.REFUNDED, rules.FAILED)


@given(steps, states)
def test_a_step_leads_where_the_table_says_or_contradicts(step, state):
    standing = replace(payment(), state=state)
    if (step, state) in rules.LATE:
        assert rules.step(step, standing) == state
    elif (step, state) in rules.LIFE:
        assert rules.step(step, standing) == rules.LIFE[step, state]
    else:
        with pytest.raises(rules.Contradiction):
            rules.step(step, standing)


@given(states)
def test_the_order_always_knows_what_it_wants_of_a_payment(state):
    assert rules.ON_CANCELLED[state] in ("", "void", "refund")


def test_no_news_is_both_late_and_a_step():
    assert not rules.LIFE.keys() & rules.LATE


@given(st.sampled_from(sorted(rules.NEWS)), amounts)
def test_every_posting_balances(status, amount):
    step, _ = rules.NEWS[status]
    booked = ledger.postings(step, amount)
    assert sum(posting.debit for posting in booked) == sum(posting.credit for posting in booked)
    assert all((posting.debit == 0) != (posting.credit == 0) for posting in booked)


def test_silence_leaves_a_payment_unknown_and_its_operation_open():
    lost = payment()
    change = rules.settled(lost, lost.operations[0], Unknown("silence"), NOW)
    assert change is not None
    assert change.payment.state == rules.UNKNOWN
    assert change.operation.state in OPEN


@pytest.mark.parametrize(
    ("charge", "state", "progress"),
    [
        ("declined", rules.FAILED, OPERATION_FAILED),
        ("voided", rules.VOIDED, OPERATION_SUCCEEDED),
        ("captured", rules.REQUIRES_ACTION, OPERATION_FAILED),
    ],
)
def test_a_void_that_is_refused_ends_where_the_charge_has_ended(charge, state, progress):
    waiting = replace(payment(), state=rules.REQUIRES_ACTION, provider_reference="ch_1", cancelled=True)
    waiting = waiting.with_operation(operation("void"))

    change = rules.settled(waiting, waiting.operations[1], Refused("step_not_allowed", charge), NOW)

    assert change is not None
    assert (change.payment.state, change.operation.state, change.next) == (state, progress, "")


def test_the_readme_draws_the_life_as_it_is():
    readme = Path(services.payment.__file__).with_name("README.md").read_text()
    assert diagram(rules.LIFE, rules.STATES, rules.START) in readme
