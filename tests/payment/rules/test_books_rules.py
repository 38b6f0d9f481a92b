"""What is posted, by property: whatever the lines, however parted, in whichever order the provider answers."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from commerce.common.v1.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from services.payment.ledger.chain_rules import Chains, Recorded, following, held
from services.payment.rules import amounts, give_up, life, postings, transitions
from services.payment.rules.change import waits
from services.payment.rules.life import DONE, Contradiction
from services.payment.rules.outcomes import Told, Unknown
from services.payment.rules.payment import (
    MANUAL,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    OPERATION_WAITING,
    Kind,
    Line,
    Operation,
    Payment,
    Share,
)
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AMOUNT = 10_000


def operation(kind, amount, state=OPERATION_PENDING, lines=()):
    return Operation(
        operation_id=str(new_id()), kind=kind, state=state, amount=amount, create_time=NOW, lines=lines
    )


def payment(lines, amount=None):
    amount = sum(line.total for line in lines) if amount is None else amount
    return Payment(
        payment_id=str(new_id()),
        order_id=str(new_id()),
        store_id=str(new_id()),
        customer_id=str(new_id()),
        state=life.START,
        amount=amount,
        currency_code="EUR",
        capture_mode=MANUAL,
        lines=tuple(lines),
        create_time=NOW,
        update_time=NOW,
        operations=(operation(Kind.AUTHORIZE, amount),),
    )


def totals(transactions):
    """What each account has of each line; every transaction balances, and no entry has two sides or none."""
    found: Counter[tuple[str, str]] = Counter()
    for each in transactions:
        assert sum(side.debit for side in each.postings) == sum(side.credit for side in each.postings)
        for side in each.postings:
            assert (side.debit > 0) != (side.credit > 0) and min(side.debit, side.credit) == 0
            found[side.account, side.product_id] += side.debit - side.credit
    return {account: amount for account, amount in found.items() if amount}


@st.composite
def an_order(draw):
    """The lines of an order, the last one perhaps its shipping, each with some discount and tax."""
    lines = []
    for number in range(draw(st.integers(1, 5))):
        gross = draw(st.integers(0, 5_000))
        discount = draw(st.integers(0, gross))
        tax = draw(st.integers(0, 2_000)) if gross > discount else 0
        product_id = "" if number and draw(st.booleans()) else f"product {number}"
        lines.append(Line(product_id, gross, discount, tax))
    products = [line for line in lines if line.product_id]
    return [*products, *[line for line in lines if not line.product_id][:1]]


@st.composite
def a_parting(draw, lines):
    """The total of each line in parts, which are given to operations in any order."""
    pieces = []
    for line in lines:
        cuts = sorted(draw(st.lists(st.integers(0, line.total), max_size=4)))
        ends = [0, *cuts, line.total]
        pieces += [Share(line.product_id, end - begin) for begin, end in pairwise(ends) if end > begin]
    pieces = draw(st.permutations(pieces))
    bundles: list[list[Share]] = []
    for piece in pieces:
        fits = bundles and piece.product_id not in {each.product_id for each in bundles[-1]}
        if fits and draw(st.booleans()):
            bundles[-1].append(piece)
        else:
            bundles.append([piece])
    return bundles


@st.composite
def orders_and_partings(draw):
    lines = draw(an_order())
    return lines, draw(a_parting(lines)), draw(a_parting(lines))


def posted(lines, captures, refunds):
    """What is posted for captures, then refunds, of these shares."""
    now = payment(lines)
    transactions: list[postings.Transaction] = []
    for kind, book, parts in (
        (Kind.CAPTURE, postings.captured, captures),
        (Kind.REFUND, postings.refunded, refunds),
    ):
        for part in parts:
            amount = sum(share.amount for share in part)
            asked = operation(kind, amount, OPERATION_SUCCEEDED, tuple(part))
            transactions += book(now, asked)
            now = now.with_operation(asked)
    return totals(transactions)


@given(orders_and_partings())
def test_however_captures_and_refunds_are_parted_each_account_of_each_line_ends_the_same(given_order):
    lines, captures, refunds = given_order
    whole = [[Share(line.product_id, line.total) for line in lines if line.total]]
    assert posted(lines, captures, []) == posted(lines, whole, [])
    assert posted(lines, captures, refunds) == posted(lines, whole, whole if refunds else [])


@given(orders_and_partings())
def test_a_capture_of_all_says_what_the_order_says(given_order):
    lines, captures, _ = given_order
    found = posted(lines, captures, [])

    amount = sum(line.total for line in lines)
    assert found.get((postings.CLEARING, ""), 0) == amount
    assert found.get((postings.RECEIVABLE, ""), 0) == -amount
    for line in lines:
        if line.total:
            income = postings.REVENUE if line.product_id else postings.SHIPPING
            assert found.get((income, line.product_id), 0) == -line.gross
            assert found.get((postings.DISCOUNTS, line.product_id), 0) == line.discount
            assert found.get((postings.TAX, line.product_id), 0) == -line.tax


@given(orders_and_partings())
def test_what_is_all_given_back_leaves_no_tax(given_order):
    lines, captures, refunds = given_order
    found = posted(lines, captures, refunds)

    assert not [account for account, _ in found if account in (postings.TAX, postings.CLEARING)]


# The provider's answers, in any order.


@dataclass
class Till:
    """A payment, what was posted for it, and a provider that does each thing once and remembers what it said."""

    payment: Payment
    booked: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Told] = field(default_factory=dict)
    wished: list[tuple[str, int]] = field(default_factory=list)

    def wish(self, kind, amount):
        """Ask for an operation, or be refused."""
        money = Money(currency_code="EUR", minor_units=amount)
        try:
            if kind == Kind.VOID:
                give_up.check_may_void(self.payment)
                amount = self.payment.capturable
            else:
                amount = (amounts.capture if kind == Kind.CAPTURE else amounts.refund)(self.payment, money)
        except Refusal:
            return
        lines = amounts.spread(kind, self.payment, amount) if kind != Kind.VOID else ()
        state = OPERATION_WAITING if waits(kind, self.payment) else OPERATION_PENDING
        self.payment = self.payment.with_operation(operation(kind, amount, state, lines))
        self.wished.append((kind, amount))

    def perform(self):
        """What is open reaches the provider, which does it, if it has not."""
        for one in self.payment.operations:
            if (
                one.open
                and one.operation_id not in self.said
                and transitions.foregone(one, self.payment) is None
            ):
                self.said[one.operation_id] = self._told(one)

    def _told(self, asked):
        done = Counter({asked.kind: asked.amount})
        for one in self.payment.operations:
            if one.operation_id in self.said:
                done[one.kind] += one.amount
        return Told(
            status=DONE[asked.kind],
            reference="ch_1",
            amount=self.payment.amount,
            currency_code="EUR",
            captured=done[Kind.CAPTURE],
            refunded=done[Kind.REFUND],
        )

    def deliver(self, index, outcome=None):
        """An answer comes, perhaps again, perhaps late; or silence. What makes no sense changes nothing."""
        answered = [one for one in self.payment.operations if one.operation_id in self.said]
        if answered:
            one = answered[index % len(answered)]
            self.settle(one, outcome or self.said[one.operation_id])

    def settle(self, one, outcome):
        before = self.payment
        try:
            change = transitions.settled(before, one, outcome, NOW)
        except Contradiction:
            return
        if change is None:
            return
        self.payment = change.payment
        assert change.next is None
        for each in change.booked:
            assert each.transaction_id not in self.booked, "posted twice"
            self.booked[each.transaction_id] = each

    def finish(self):
        """Every answer comes."""
        while found := [one for one in self.payment.operations if one.open]:
            (one,) = found
            outcome = transitions.foregone(one, self.payment)
            if outcome is None:
                self.perform()
                outcome = self.said[one.operation_id]
            self.settle(one, outcome)

    def ends(self):
        """How it ends, whoever's ids it has."""
        now = self.payment
        operations = sorted((one.kind, one.amount, one.state) for one in now.operations)
        posted = sorted((each.kind, sorted(each.postings)) for each in self.booked.values())
        return now.state, now.captured, now.voided, now.refunded, operations, posted


stories = st.lists(
    st.one_of(
        st.tuples(
            st.just("wish"),
            st.sampled_from([Kind.CAPTURE, Kind.CAPTURE, Kind.REFUND, Kind.REFUND, Kind.VOID]),
            st.integers(1, AMOUNT // 2),
        ),
        st.tuples(st.just("perform")),
        st.tuples(st.just("deliver"), st.integers(0, 9)),
        st.tuples(st.just("deliver"), st.integers(0, 9), st.just(Unknown("silence"))),
    ),
    max_size=40,
)
LINES = [Line("shoe", 6_001, 500, 999), Line("hat", 2_500, 0, 333), Line("", 600, 0, 67)]


@given(stories)
def test_answers_in_any_order_late_twice_or_lost_for_a_while_end_as_if_each_had_come_at_once(story):
    assert sum(line.total for line in LINES) == AMOUNT
    till = Till(payment(LINES))
    for name, *what in story:
        getattr(till, name)(*what)
        _adds_up(till)
    till.finish()
    _adds_up(till)

    plain = Till(payment(LINES))
    plain.finish()
    for kind, amount in till.wished:
        plain.wish(kind, amount)
        plain.finish()

    assert plain.wished == till.wished
    assert plain.ends() == till.ends()
    for index in range(10):
        till.deliver(index)
    assert plain.ends() == till.ends()


def _adds_up(till):
    now = till.payment
    found: Counter[str] = Counter()
    for (account, _), amount in totals(till.booked.values()).items():
        found[account] += amount
    held_back = now.state in (life.AUTHORIZED, *life.TAKEN)
    assert (
        found[postings.RECEIVABLE] == -found[postings.AUTHORIZATIONS] == (now.capturable if held_back else 0)
    )
    assert found[postings.CLEARING] == now.captured - now.refunded
    assert found[postings.RECEIVABLE] + now.captured + now.voided in (0, now.amount)
    done = [one for one in now.operations if one.state == OPERATION_SUCCEEDED and one.kind in DONE]
    assert len(till.booked) == len([one for one in done if one.amount])


# The chain.

digests = st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=20)


def chain_of(found):
    chains = Chains({})
    links = [chains.add("store", str(number), digest) for number, digest in enumerate(found)]
    return [Recorded(link.number, link.hash, digest) for link, digest in zip(links, found, strict=True)]


@given(digests, st.integers(0, 30))
def test_a_chain_holds_from_any_link_on(found, start):
    links = chain_of(found)
    start %= len(links)
    before = links[start - 1].hash if start else b""
    assert held(start, before, links[start:]) == (len(links), links[-1].hash, 0)


@given(digests, st.integers(0, 30), st.sampled_from(["digest", "hash", "gone", "missing", "swapped"]))
def test_a_chain_breaks_where_it_was_touched(found, at, how):
    links = chain_of(found)
    at %= len(links)
    if how == "gone":
        links[at] = links[at]._replace(digest=None)
    elif how == "missing":
        del links[at]
    elif how == "swapped":
        links[at] = links[at]._replace(number=links[at].number + 1)
    else:
        links[at] = links[at]._replace(**{how: b"another"})

    number, _, broken = held(0, b"", links)

    if how == "missing" and at == len(links):
        assert (number, broken) == (at, 0)  # Its end: who knows its number finds that out.
    else:
        assert (number, broken) == (at, at + 1)


@given(st.lists(st.tuples(st.sampled_from(["one", "other"]), st.binary(min_size=1)), max_size=20))
def test_each_stores_chain_is_its_own(story):
    chains, ends = Chains({"other": (7, b"before")}), {"one": (0, b""), "other": (7, b"before")}
    for number, (store, digest) in enumerate(story):
        link = chains.add(store, str(number), digest)
        last, before = ends[store]
        assert (link.number, link.hash) == (last + 1, following(before, digest))
        ends[store] = link.number, link.hash
