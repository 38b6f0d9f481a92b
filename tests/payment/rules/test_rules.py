"""The rules of a payment, by property."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commerce.common.v1.money_pb2 import LineAmount, Money
from commerce.payment.v1.payment_pb2 import PaymentState
from hypothesis import given, settings
from hypothesis import strategies as st

import services.payment
from services.payment.rules import amounts, capture, disputes, give_up, life, owed, transitions
from services.payment.rules.change import waits
from services.payment.rules.life import DONE, LATE, LIFE, NEWS, Contradiction
from services.payment.rules.outcomes import DISPUTED, DisputeTold, Refused, Told, Unknown
from services.payment.rules.payment import (
    AT_ONCE,
    DISPUTE_LOST,
    DISPUTE_OPEN,
    DISPUTE_WON,
    MANUAL,
    ON_ACCEPTANCE,
    ON_SHIPMENT,
    OPEN,
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    OPERATION_WAITING,
    UNSETTLED,
    Kind,
    Line,
    Operation,
    Payment,
)
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from tools.life import diagram

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
AMOUNT = 1999
STATUSES = sorted(NEWS)
URL, SECRET = "https://bank.example/confirm", "pi_1_secret_2"
SHOE, HAT = str(new_id()), str(new_id())
LINES = (Line(SHOE, 1000, 100, 171), Line(HAT, 500, 0, 95), Line("", 300, 0, 33))

states = st.sampled_from([state for state in PaymentState.values() if state])
steps = st.sampled_from(sorted({step for step, _ in LIFE}))
outcomes = st.one_of(
    st.sampled_from(STATUSES),
    st.sampled_from(["step_not_allowed", "invalid_request", DISPUTED]).map(Refused),
    st.just(Unknown("silence")),
)


def euros(amount):
    return Money(currency_code="EUR", minor_units=amount)


def operation(kind=Kind.AUTHORIZE, amount=AMOUNT, state=OPERATION_PENDING, request_id=None, lines=()):
    return Operation(
        operation_id=str(new_id()),
        kind=kind,
        state=state,
        amount=amount,
        attempts=1,
        request_id=request_id,
        create_time=NOW,
        lines=lines,
    )


def payment(mode=ON_ACCEPTANCE):
    assert sum(line.total for line in LINES) == AMOUNT
    return Payment(
        payment_id=str(new_id()),
        order_id=str(new_id()),
        store_id=str(new_id()),
        customer_id=str(new_id()),
        state=life.START,
        amount=AMOUNT,
        currency_code="EUR",
        capture_mode=mode,
        lines=LINES,
        expire_time=NOW + timedelta(minutes=15),
        create_time=NOW,
        update_time=NOW,
        operations=(operation(),),
    )


class Books:
    """A payment as the driver leads it through whatever happens, what was booked, and the provider's own book."""

    def __init__(self, mode=ON_ACCEPTANCE):
        self.payment = payment(mode)
        self.booked = {}
        # What the provider did, by the operation's id, as it keys it.
        self.done = {}

    def apply(self, change):
        if change is None:
            return
        assert change.before == self.payment
        assert change.payment.version == self.payment.version + 1
        self.payment = change.payment
        for each in change.booked:
            assert each.transaction_id not in self.booked, "posted twice"
            self.booked[each.transaction_id] = each.postings
        if change.next:
            self.payment = self.payment.with_operation(change.next)

    def ask(self, kind, amount, request_id=None):
        lines = amounts.spread(kind, self.payment, amount) if kind in (Kind.CAPTURE, Kind.REFUND) else ()
        state = OPERATION_WAITING if waits(kind, self.payment) else OPERATION_PENDING
        self.payment = self.payment.with_operation(operation(kind, amount, state, request_id, lines))

    def sum(self, kind):
        return sum(one.amount for one in self.done.values() if one.kind == kind)

    def answer(self, asked, status):
        """What the provider tells of an operation: each is in its book once, and never beyond what may be."""
        fits = {
            "captured": AMOUNT - self.sum(Kind.CAPTURE),
            "refunded": self.sum(Kind.CAPTURE) - self.sum(Kind.REFUND),
        }
        if status in fits and asked.operation_id not in self.done:
            if asked.amount > fits[status]:
                return Refused("amount_too_large")
            if DONE[asked.kind] == status and asked.open:
                self.done[asked.operation_id] = asked
        return Told(
            status=status,
            reference="ch_1",
            amount=AMOUNT,
            currency_code="EUR",
            captured=self.sum(Kind.CAPTURE),
            refunded=self.sum(Kind.REFUND),
            next_action_url=URL if status == "requires_action" else "",
            client_secret=SECRET if status == "requires_action" else "",
        )

    def happen(self, what):
        """An outcome of some operation, a wish of a caller or of an order; what is refused changes nothing."""
        name, index, outcome, amount = what
        before = self.payment
        try:
            getattr(self, name)(index, outcome, amount)
        except (Contradiction, Refusal):
            assert self.payment == before

    def outcome(self, index, outcome, amount):
        asked = self.payment.operations[index % len(self.payment.operations)]
        if isinstance(outcome, str):
            outcome = self.answer(asked, outcome)
        self.apply(transitions.settled(self.payment, asked, outcome, NOW))

    def cancelled(self, index, outcome, amount):
        self.apply(give_up.cancelled(self.payment, NOW))

    def overdue(self, index, outcome, amount):
        self.apply(give_up.overdue(self.payment, LATER))

    def accepted(self, index, outcome, amount):
        if kind := capture.accepted(self.payment):
            self.ask(kind, amounts.left_to_take(self.payment))

    def shipped(self, index, outcome, amount):
        share = [LineAmount(product_id=HAT, amount=euros(amount))]
        if capture.takes_parcels(self.payment) and (
            due := amounts.shipped(self.payment, f"parcel {index}", share)
        ):
            self.ask(Kind.CAPTURE, due, f"parcel {index}")

    def returned(self, index, outcome, amount):
        if due := amounts.returned(self.payment, f"return {index}", euros(amount)):
            state = OPERATION_WAITING if waits(Kind.REFUND, self.payment) else OPERATION_PENDING
            lines = amounts.worth(self.payment, due, ())
            asked = operation(Kind.REFUND, due, state, f"return {index}", lines)
            asked = replace(asked, wanted=due)
            self.payment = self.payment.with_operation(
                owed.fitted(asked, self.payment) if asked.open else asked
            )

    def refund(self, index, outcome, amount):
        self.ask(Kind.REFUND, amounts.refund(self.payment, euros(amount) if amount else None))

    def capture(self, index, outcome, amount):
        self.ask(Kind.CAPTURE, amounts.capture(self.payment, euros(amount) if amount else None))

    def void(self, index, outcome, amount):
        give_up.check_may_void(self.payment)
        self.ask(Kind.VOID, self.payment.capturable)

    def unasked(self, index, outcome, amount):
        self.apply(transitions.unasked(self.payment, self.answer(self.payment.operations[0], "expired"), NOW))

    def disputed(self, index, outcome, amount):
        status = (DISPUTE_OPEN, DISPUTE_WON, DISPUTE_LOST)[amount % 3]
        news = DisputeTold(
            reference=f"dp {index % 3}", status=status, amount=100 + index % 3, currency_code="EUR", fee=15
        )
        if self.payment.kept >= news.amount or any(
            one.provider_reference == news.reference for one in self.payment.disputes
        ):
            self.apply(disputes.told(self.payment, news, str(new_id()), NOW))

    def settle(self):
        """Every answer comes, and all goes well."""
        while found := [one for one in self.payment.operations if one.open and one != self.customers()]:
            (asked,) = found
            outcome = transitions.foregone(asked, self.payment)
            if outcome is None:
                over = {life.FAILED: "declined", life.VOIDED: "voided", life.EXPIRED: "expired"}
                ended = over.get(self.payment.state)
                outcome = Refused("step_not_allowed", ended) if ended else None
            told = outcome or self.answer(asked, DONE[asked.kind])
            self.apply(transitions.settled(self.payment, asked, told, NOW))

    def customers(self):
        """The operation that waits for the customer."""
        first = self.payment.operations[0]
        return first if first.open and self.payment.provider_reference else None

    def balance(self, account):
        sides = [side for postings in self.booked.values() for side in postings if side.account == account]
        return sum(side.debit - side.credit for side in sides)

    def add_up(self):
        """The books balance and are the payment's; no more goes back than came, and the state says how much."""
        now = self.payment
        for postings in self.booked.values():
            assert sum(side.debit for side in postings) == sum(side.credit for side in postings)
            assert all((side.debit == 0) != (side.credit == 0) for side in postings)
        assert 0 <= now.refunded <= now.captured
        assert 0 <= now.voided <= now.amount - now.captured
        held = now.state in (life.AUTHORIZED, *life.TAKEN)
        assert self.balance("customer_receivable") == (now.capturable if held else 0)
        lost = sum(one.amount + one.fee for one in now.disputes if one.status != DISPUTE_WON)
        lost += sum(one.fee for one in now.disputes if one.status == DISPUTE_WON)
        assert self.balance("provider_clearing") == now.captured - now.refunded - lost
        done = [one for one in now.operations if one.state == OPERATION_SUCCEEDED]
        for kind, total in ((Kind.CAPTURE, now.captured), (Kind.REFUND, now.refunded)):
            assert total == sum(one.amount for one in done if one.kind == kind)
            assert all(
                sum(share.amount for share in one.lines) == one.amount for one in done if one.kind == kind
            )
        if now.state in life.TAKEN:
            assert now.state == life.stands(now)
        waits = now.state == life.REQUIRES_ACTION and now.operations[0].open
        assert (now.next_action_url, now.client_secret) == ((URL, SECRET) if waits else ("", ""))
        assert sum(one.open for one in now.operations) <= 1


happenings = st.tuples(
    st.sampled_from(
        [
            *["outcome"] * 5,
            *["capture", "shipped", "accepted", "refund", "returned", "returned"],
            *["cancelled", "overdue", "unasked", "void", "disputed", "disputed"],
        ]
    ),
    st.integers(0, 9),
    outcomes,
    st.integers(0, AMOUNT + 1),
)
modes = st.sampled_from([ON_ACCEPTANCE, AT_ONCE, ON_SHIPMENT, MANUAL])


@given(modes, st.lists(happenings, max_size=40))
def test_whatever_happens_in_whatever_order_the_money_adds_up(mode, story):
    books = Books(mode)
    for what in story:
        books.happen(what)
        books.add_up()


asked_for = st.tuples(
    st.sampled_from(["answered", "capture", "refund", "void", "overdue", "disputed", "disputed"]),
    st.integers(0, 9),
    st.none(),
    st.integers(0, AMOUNT + 1),
)


# A dispute is about 100 to 102, which may be all that was taken.
@given(st.sampled_from([101, 300, AMOUNT]), st.lists(asked_for, max_size=12))
@settings(max_examples=400)
def test_whatever_happened_meanwhile_what_the_provider_did_of_what_is_open_is_true(part, story):
    books = Books(MANUAL)
    books.happen(("outcome", 0, "authorized", 0))
    books.happen(("capture", 0, None, part))
    for what in [("answered", 0, None, 0), *story]:
        asked = books.payment.in_flight
        told = books.answer(asked, DONE[asked.kind]) if asked else None
        change = transitions.settled(books.payment, asked, told, NOW) if isinstance(told, Told) else None
        if what[0] == "answered":
            books.apply(change)
        else:
            books.happen(what)


@given(modes, st.lists(happenings, max_size=20))
def test_a_cancelled_order_keeps_no_money_once_every_answer_is_in(mode, story):
    books = Books(mode)
    for what in story:
        books.happen(what)
    books.happen(("cancelled", 0, None, 0))

    books.settle()

    books.add_up()
    by_hand = any(
        one.state == OPERATION_FAILED
        for one in books.payment.operations
        if one.kind in (Kind.VOID, Kind.REFUND, Kind.EXPIRE)
    )
    ends = (life.VOIDED, life.REFUNDED, life.FAILED, life.EXPIRED, life.DISPUTED)
    assert by_hand or books.payment.state in ends


@given(modes, st.lists(happenings, max_size=25))
def test_what_is_left_when_time_is_over_is_given_up_once_every_answer_is_in(mode, story):
    books = Books(mode)
    for what in story:
        books.happen(what)
    books.settle()
    books.payment = replace(books.payment, expire_time=NOW)
    books.happen(("overdue", 0, None, 0))

    books.settle()

    books.add_up()
    failed = any(
        one.state == OPERATION_FAILED
        for one in books.payment.operations
        if one.kind in (Kind.VOID, Kind.EXPIRE)
    )
    waits = books.payment.state in life.UNDECIDED and books.payment.in_flight
    assert (
        failed
        or waits
        or not books.payment.capturable
        or books.payment.state in (life.FAILED, life.VOIDED, life.EXPIRED)
    )


@given(st.lists(st.integers(1, AMOUNT), min_size=1, max_size=12), st.integers(1, 5))
def test_however_a_capture_and_its_refund_are_parted_each_account_of_each_line_ends_the_same(parts, refunds):
    def accounts(captures, refunds):
        books = Books(MANUAL)
        books.settle()
        for part in captures:
            books.happen(("capture", 0, None, min(part, amounts.left_to_take(books.payment))))
            books.settle()
        books.happen(("capture", 0, None, 0))
        books.settle()
        for _ in range(refunds - 1):
            books.happen(("refund", 0, None, AMOUNT // (refunds + 1)))
            books.settle()
        books.happen(("refund", 0, None, 0))
        books.settle()
        assert books.payment.state == life.REFUNDED
        totals: Counter[tuple[str, str]] = Counter()
        for postings in books.booked.values():
            for side in postings:
                totals[side.account, side.product_id] += side.debit - side.credit
        return totals

    assert accounts(parts, refunds) == accounts([], 1)


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
    books.ask(Kind.CAPTURE, AMOUNT)
    books.settle()
    for what in story:
        books.happen(what)
        books.add_up()

    books.settle()

    books.add_up()
    asked = [one for one in books.payment.operations if one.kind == Kind.REFUND]
    done = [one for one in asked if one.state == OPERATION_SUCCEEDED]
    short = [one for one in asked if one not in done or one.amount < one.wanted]
    # Only a return may ask for more than is left; then all of it is given back.
    assert all(one.wanted for one in short)
    assert books.payment.refunded == sum(one.amount for one in done) == books.sum(Kind.REFUND)
    assert not short or books.payment.refunded == AMOUNT


@given(st.lists(st.integers(1, AMOUNT // 3), min_size=1, max_size=3), st.booleans())
def test_returns_that_come_before_the_capture_wait_for_it_or_fail_with_it(amounts, captured):
    books = Books()
    books.settle()
    for number, amount in enumerate(amounts):
        books.happen(("returned", number, None, amount))
    assert books.payment.unsettled(Kind.REFUND) == sum(amounts)
    assert not books.payment.in_flight

    books.happen(("accepted" if captured else "cancelled", 0, None, 0))
    books.settle()

    books.add_up()
    assert not any(one.state in UNSETTLED for one in books.payment.operations)
    assert books.payment.refunded == (sum(amounts) if captured else 0)


@given(st.lists(st.integers(1, AMOUNT), min_size=1, max_size=8))
def test_parcels_that_are_sent_at_once_are_captured_one_after_the_other(amounts):
    books = Books(ON_SHIPMENT)
    books.settle()
    fitting = [amount for n, amount in enumerate(amounts) if sum(amounts[: n + 1]) <= AMOUNT]
    for number, amount in enumerate(fitting):
        books.happen(("shipped", number, None, amount))
    books.happen(("shipped", 0, None, fitting[0] if fitting else 1))

    books.settle()

    books.add_up()
    assert books.payment.captured == (sum(fitting) if fitting else 1)


def test_a_final_capture_gives_up_the_rest():
    books = Books(MANUAL)
    books.settle()
    asked = replace(
        operation(Kind.CAPTURE, 500, lines=amounts.spread(Kind.CAPTURE, books.payment, 500)), final=True
    )
    books.payment = books.payment.with_operation(asked)

    books.settle()

    books.add_up()
    now = books.payment
    assert (now.state, now.captured, now.voided) == (life.CAPTURED, 500, AMOUNT - 500)


def test_a_final_capture_gives_up_the_rest_also_when_a_return_has_waited_for_it():
    books = Books(MANUAL)
    books.settle()
    asked = replace(
        operation(Kind.CAPTURE, 500, lines=amounts.spread(Kind.CAPTURE, books.payment, 500)), final=True
    )
    books.payment = books.payment.with_operation(asked)
    books.happen(("returned", 0, None, 200))
    books.happen(("capture", 0, None, 30))
    assert [one.kind for one in books.payment.operations] == [Kind.AUTHORIZE, Kind.CAPTURE, Kind.REFUND]

    books.settle()

    books.add_up()
    now = books.payment
    assert (now.captured, now.refunded, now.voided) == (500, 200, AMOUNT - 500)


def test_what_waits_to_be_taken_comes_before_what_waits_to_be_given_back():
    books = Books(MANUAL)
    books.settle()
    books.happen(("capture", 0, None, 400))
    books.happen(("returned", 0, None, 700))
    books.happen(("capture", 1, None, 600))

    books.settle()

    books.add_up()
    assert (books.payment.captured, books.payment.refunded) == (1000, 700)


@pytest.mark.parametrize(("kind", "wanted"), [("refund", "void"), ("void", "refund")])
def test_of_a_cancelled_order_one_refusal_does_not_keep_the_other_half(kind, wanted):
    books = Books(MANUAL)
    books.settle()
    books.happen(("capture", 0, None, 500))
    books.settle()
    books.happen((kind, 0, None, 100))
    books.happen(("cancelled", 0, None, 0))

    change = transitions.settled(books.payment, books.payment.operations[-1], Refused("not_today"), NOW)

    assert change is not None
    assert change.next is not None
    assert change.next.kind == wanted


def test_a_void_of_what_was_taken_behind_our_back_is_not_believed():
    books = Books(MANUAL)
    books.settle()
    books.happen(("void", 0, None, 0))
    told = replace(books.answer(books.payment.operations[-1], "voided"), captured=40)

    with pytest.raises(Contradiction, match=r"captured is 0\.40 EUR there and 0\.00 EUR here"):
        transitions.settled(books.payment, books.payment.operations[-1], told, NOW)


def test_a_capture_that_finds_the_charge_voided_gives_the_promise_up():
    books = Books(MANUAL)
    books.settle()
    books.happen(("capture", 0, None, 0))

    books.apply(
        transitions.settled(books.payment, books.payment.operations[-1], Refused("gone", "voided"), NOW)
    )

    books.add_up()
    assert books.payment.state == life.VOIDED


@pytest.mark.parametrize(
    "what",
    [
        *[(("outcome", 0, status, 0)) for status in ("authorized", "declined", "voided", "expired")],
        ("outcome", 0, Refused("card_declined"), 0),
        ("cancelled", 0, None, 0),
        ("overdue", 0, None, 0),
        ("unasked", 0, None, 0),
    ],
    ids=lambda what: what[2] if isinstance(what[2], str) else what[0],
)
def test_what_the_customer_confirms_with_is_kept_while_they_are_waited_for_and_no_longer(what):
    books = Books()
    books.happen(("outcome", 0, "requires_action", 0))
    # Old news that comes late, and the same once more.
    for status in ("processing", "requires_action"):
        books.happen(("outcome", 0, status, 0))
        assert (books.payment.next_action_url, books.payment.client_secret) == (URL, SECRET)

    books.happen(what)

    assert (books.payment.next_action_url, books.payment.client_secret) == ("", "")


@given(steps, states)
def test_a_step_leads_where_the_table_says_or_contradicts(step, state):
    standing = replace(payment(), state=state)
    if (step, state) in LATE:
        assert life.step(step, standing) == state
    elif (step, state) in LIFE:
        assert life.step(step, standing) == LIFE[step, state]
    else:
        with pytest.raises(Contradiction):
            life.step(step, standing)


def test_no_news_is_both_late_and_a_step():
    assert not LIFE.keys() & LATE


def test_silence_leaves_a_payment_unknown_and_its_operation_open():
    lost = payment()
    change = transitions.settled(lost, lost.operations[0], Unknown("silence"), NOW)
    assert change is not None
    assert change.payment.state == life.UNKNOWN
    assert change.operation.state in OPEN


@pytest.mark.parametrize(
    ("charge", "state", "progress"),
    [
        ("declined", life.FAILED, OPERATION_FAILED),
        ("voided", life.VOIDED, OPERATION_SUCCEEDED),
        ("captured", life.REQUIRES_ACTION, OPERATION_FAILED),
    ],
)
def test_a_void_that_is_refused_ends_where_the_charge_has_ended(charge, state, progress):
    waiting = replace(payment(), state=life.REQUIRES_ACTION, provider_reference="ch_1", cancelled=True)
    waiting = waiting.with_operation(operation(Kind.VOID))

    change = transitions.settled(waiting, waiting.operations[1], Refused("step_not_allowed", charge), NOW)

    assert change is not None
    assert (change.payment.state, change.operation.state, change.next) == (state, progress, None)


def test_the_readme_draws_the_life_as_it_is():
    readme = Path(services.payment.__file__).with_name("README.md").read_text()
    assert diagram(life.LIFE, life.STATES, life.START) in readme
