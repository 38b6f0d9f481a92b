"""The rules of a payment, by property."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.payment_pb2 import PaymentState
from hypothesis import given
from hypothesis import strategies as st

import services.payment
from services.payment import ledger, refunds, rules
from services.payment.outcomes import Refused, Told, Unknown
from services.payment.payments import (
    OPEN,
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    OPERATION_WAITING,
    Operation,
    Payment,
)
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


def told(status, refunded=0):
    return Told(
        status=status,
        reference="ch_1",
        amount=AMOUNT,
        currency_code="EUR",
        captured=AMOUNT if status in ("captured", "refunded") else 0,
        refunded=refunded,
    )


outcomes = st.one_of(
    st.sampled_from(STATUSES),
    st.sampled_from(["step_not_allowed", "invalid_request"]).map(Refused),
    st.just(Unknown("silence")),
)


def euros(amount):
    return Money(currency_code="EUR", minor_units=amount)


def operation(kind="authorize", amount=AMOUNT, state=OPERATION_PENDING, request_id=None):
    return Operation(
        operation_id=str(new_id()),
        kind=kind,
        state=state,
        amount=amount,
        attempts=1,
        request_id=request_id,
        create_time=NOW,
    )


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
    """A payment as the driver leads it through whatever happens, what was booked, and the provider's own book."""

    def __init__(self):
        self.payment = payment()
        self.postings = []
        self.given_back = {}  # By the operation's id, as a provider keys it.

    def apply(self, change):
        if change is None:
            return
        assert change.before == self.payment
        assert change.payment.version == self.payment.version + 1
        self.payment = change.payment
        self.postings += change.postings
        if change.next:
            rest = self.payment.captured - self.payment.refunded
            amount = rest if change.next == "refund" else AMOUNT
            self.payment = self.payment.with_operation(operation(change.next, amount))

    def ask(self, kind, amount, request_id=None):
        state = OPERATION_WAITING if rules.waits(kind, self.payment) else OPERATION_PENDING
        self.payment = self.payment.with_operation(operation(kind, amount, state, request_id))

    def answer(self, asked, status):
        """What the provider tells of an operation: a refund is in its book once, and never beyond what it took."""
        if status != "refunded":
            return told(status)
        total = sum(self.given_back.values())
        if asked.operation_id not in self.given_back:
            if total + asked.amount > AMOUNT:
                return Refused("amount_exceeds_captured")
            if asked.kind == "refund" and asked.open:
                self.given_back[asked.operation_id] = asked.amount
        return told(status, sum(self.given_back.values()))

    def happen(self, what):
        """An outcome of some operation, a wish of a caller or of an order; what is refused changes nothing."""
        name, index, outcome, amount = what
        try:
            if name == "outcome":
                asked = self.payment.operations[index % len(self.payment.operations)]
                if isinstance(outcome, str):
                    outcome = self.answer(asked, outcome)
                self.apply(rules.settled(self.payment, asked, outcome, NOW))
            elif name == "cancelled":
                self.apply(rules.cancelled(self.payment, NOW))
            elif name == "accepted":
                if kind := rules.accepted(self.payment):
                    self.ask(kind, AMOUNT)
            elif name == "returned":
                if due := refunds.returned(self.payment, f"return {index}", euros(amount)):
                    self.ask("refund", due, f"return {index}")
            elif name == "refund":
                self.ask("refund", refunds.asked(self.payment, euros(amount) if amount else None))
            else:
                rules.may(name, self.payment)
                self.ask(name, AMOUNT)
        except (rules.Contradiction, Refusal):
            pass

    def settle(self):
        """Every answer comes, and all goes well."""
        while found := [one for one in self.payment.operations if one.open and one != self.customers()]:
            (asked,) = found
            outcome = rules.foregone(asked, self.payment)
            if outcome is None:
                over = {rules.FAILED: "declined", rules.VOIDED: "voided"}.get(self.payment.state)
                outcome = Refused("step_not_allowed", over) if over else None
            self.apply(
                rules.settled(self.payment, asked, outcome or self.answer(asked, rules.DONE[asked.kind]), NOW)
            )

    def customers(self):
        """The operation that waits for the customer."""
        first = self.payment.operations[0]
        return first if first.open and self.payment.state == rules.REQUIRES_ACTION else None

    def add_up(self):
        """The books balance and are the payment's; no more goes back than came, and the state says how much."""
        now = self.payment
        sides = [(posting.debit, posting.credit, posting.account) for posting in self.postings]
        assert sum(debit for debit, _, _ in sides) == sum(credit for _, credit, _ in sides)
        assert 0 <= now.refunded <= now.captured <= now.amount
        assert now.captured == sum(credit for _, credit, account in sides if account == "revenue")
        assert now.refunded == sum(debit for debit, _, account in sides if account == "refunds")
        done = [one for one in now.operations if one.state == OPERATION_SUCCEEDED]
        assert now.refunded == sum(one.amount for one in done if one.kind == "refund")
        assert refunds.left(now) >= 0 or now.state in (rules.VOIDED, rules.FAILED)
        assert (now.state == rules.REFUNDED) == (now.captured > 0 and now.refunded == now.captured)
        assert (now.state == rules.PARTIALLY_REFUNDED) == (0 < now.refunded < now.captured)
        assert sum(one.open for one in now.operations) <= 1
        others = [one.kind for one in done if one.kind != "refund"]
        assert len(others) == len(set(others))


happenings = st.tuples(
    st.sampled_from(
        ["outcome", "outcome", "outcome", "cancelled", "accepted", "returned", "returned", *KINDS[1:]]
    ),
    st.integers(0, 9),
    outcomes,
    st.integers(0, AMOUNT + 1),
)


@given(st.lists(happenings, max_size=40))
def test_whatever_happens_in_whatever_order_the_money_adds_up(story):
    books = Books()
    for what in story:
        books.happen(what)
        books.add_up()


@given(st.lists(happenings, max_size=20))
def test_a_cancelled_order_keeps_no_money_once_every_answer_is_in(story):
    books = Books()
    for what in story:
        books.happen(what)
    books.happen(("cancelled", 0, None, 0))

    books.settle()

    by_hand = any(
        one.state == OPERATION_FAILED for one in books.payment.operations if one.kind in ("void", "refund")
    )
    assert by_hand or books.payment.state in (rules.VOIDED, rules.REFUNDED, rules.FAILED)


wishes = st.one_of(
    st.tuples(st.just("refund"), st.just(0), st.none(), st.integers(0, AMOUNT)),
    st.tuples(st.just("returned"), st.integers(0, 9), st.none(), st.integers(0, AMOUNT // 2)),
    st.tuples(
        st.just("outcome"), st.integers(0, 9), st.sampled_from(["refunded", Unknown("silence")]), st.none()
    ),
)


@given(st.lists(wishes, max_size=30))
def test_any_refunds_that_fit_are_all_given_back_and_the_provider_says_the_same(story):
    books = Books()
    books.settle()
    books.ask("capture", AMOUNT)
    books.settle()
    for what in story:
        books.happen(what)
        books.add_up()

    books.settle()

    books.add_up()
    asked = [one for one in books.payment.operations if one.kind == "refund"]
    assert {one.state for one in asked} <= {OPERATION_SUCCEEDED}
    assert books.payment.refunded == sum(one.amount for one in asked) == sum(books.given_back.values())


@given(st.lists(st.integers(1, AMOUNT // 3), min_size=1, max_size=3), st.booleans())
def test_returns_that_come_before_the_capture_wait_for_it_or_fail_with_it(amounts, captured):
    books = Books()
    books.settle()
    for number, amount in enumerate(amounts):
        books.happen(("returned", number, None, amount))
    assert books.payment.promised == sum(amounts)
    assert not books.payment.in_flight

    books.happen(("accepted" if captured else "cancelled", 0, None, 0))
    books.settle()

    books.add_up()
    assert books.payment.waiting is None
    assert books.payment.refunded == (sum(amounts) if captured else 0)


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
