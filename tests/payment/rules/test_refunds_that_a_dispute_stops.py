"""A refund that the provider refuses because of a dispute: what people are owed goes back once that is decided."""

import pytest

from services.payment.rules import disputes, transitions
from services.payment.rules.life import REFUNDED
from services.payment.rules.outcomes import DISPUTED, DisputeTold, Refused
from services.payment.rules.payment import (
    AT_ONCE,
    DISPUTE_LOST,
    DISPUTE_OPEN,
    DISPUTE_WON,
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    Kind,
)
from services.runtime.ids import new_id
from tests.payment.rules.test_rules import AMOUNT, NOW, Books

STOPPED = Refused(DISPUTED)
PART = 500


def taken():
    """What is owed can be given back at once."""
    books = Books(AT_ONCE)
    books.settle()
    return books


def refuse(books, outcome=STOPPED):
    books.apply(transitions.settled(books.payment, books.payment.in_flight, outcome, NOW))


def tell(books, status, amount=AMOUNT, reference="dp"):
    news = DisputeTold(reference=reference, status=status, amount=amount, currency_code="EUR")
    books.apply(disputes.told(books.payment, news, str(new_id()), NOW))


def refunds(books):
    return [
        (one.request_id, one.amount, one.state) for one in books.payment.operations if one.kind == Kind.REFUND
    ]


def codes(books):
    return [one.failure_code for one in books.payment.operations if one.kind == Kind.REFUND]


FAILED, DONE = OPERATION_FAILED, OPERATION_SUCCEEDED


@pytest.mark.parametrize("told_before_the_answer", [True, False])
def test_a_return_is_asked_for_anew_when_the_dispute_is_won(told_before_the_answer):
    books = taken()
    books.happen(("returned", 0, None, PART))
    if told_before_the_answer:
        tell(books, DISPUTE_OPEN)
    refuse(books)
    assert (books.payment.in_flight, refunds(books)) == (None, [("return 0", PART, FAILED)])
    if not told_before_the_answer:
        tell(books, DISPUTE_OPEN)
    assert books.payment.in_flight is None

    tell(books, DISPUTE_WON)
    first, again = [one for one in books.payment.operations if one.kind == Kind.REFUND]
    assert again.state == OPERATION_PENDING
    assert first.operation_id != again.operation_id
    assert (again.wanted, again.lines, again.reason) == (first.wanted, first.lines, first.reason)
    books.settle()

    books.add_up()
    assert refunds(books) == [("return 0", PART, FAILED), ("return 0", PART, DONE)]


def test_one_whose_dispute_was_won_before_its_answer_came_is_asked_for_anew_at_once():
    books = taken()
    books.happen(("returned", 0, None, PART))
    tell(books, DISPUTE_OPEN)
    tell(books, DISPUTE_WON)

    refuse(books)

    assert refunds(books) == [("return 0", PART, FAILED), ("return 0", PART, OPERATION_PENDING)]
    # Another dispute, of which nothing is known yet: it is not asked for again and again.
    refuse(books)
    assert books.payment.in_flight is None
    tell(books, DISPUTE_OPEN, reference="other")
    tell(books, DISPUTE_WON, reference="other")
    books.settle()
    assert [state for *_, state in refunds(books)] == [FAILED, FAILED, DONE]


def test_what_our_own_books_have_stopped_is_asked_for_anew_too():
    books = taken()
    books.happen(("returned", 0, None, PART))
    tell(books, DISPUTE_OPEN)
    books.settle()
    assert codes(books) == [DISPUTED]

    tell(books, DISPUTE_WON)
    books.settle()

    assert [state for *_, state in refunds(books)] == [FAILED, DONE]


@pytest.mark.parametrize(
    ("lost", "given", "code"), [(AMOUNT, 0, "charged_back"), (AMOUNT - PART + 1, PART - 1, ""), (1, PART, "")]
)
def test_of_a_lost_dispute_what_is_left_goes_back_and_nothing_left_is_told(lost, given, code):
    books = taken()
    books.happen(("returned", 0, None, PART))
    refuse(books)

    tell(books, DISPUTE_OPEN, lost)
    tell(books, DISPUTE_LOST, lost)
    books.settle()

    books.add_up()
    assert books.payment.refunded == given
    assert codes(books) == [DISPUTED, code]


def test_several_returns_are_asked_for_one_after_the_other():
    books = taken()
    for number in range(3):
        books.happen(("returned", number, None, PART))
    for _ in range(3):
        refuse(books)
    tell(books, DISPUTE_OPEN)
    tell(books, DISPUTE_WON)
    books.settle()

    books.add_up()
    assert books.payment.refunded == 3 * PART


def test_what_was_given_back_by_hand_meanwhile_is_not_given_again():
    books = taken()
    books.happen(("returned", 0, None, PART))
    refuse(books)
    books.happen(("refund", 0, None, PART))
    books.settle()

    tell(books, DISPUTE_OPEN, 1)
    tell(books, DISPUTE_WON, 1)
    books.settle()

    assert books.payment.refunded == PART


def test_what_was_refused_for_another_reason_is_left_to_a_person():
    books = taken()
    books.happen(("returned", 0, None, PART))
    refuse(books, Refused("not_today"))

    tell(books, DISPUTE_OPEN)
    tell(books, DISPUTE_WON)

    assert refunds(books) == [("return 0", PART, FAILED)]


def test_what_somebody_gives_by_hand_is_theirs_to_ask_for_again():
    books = taken()
    books.happen(("refund", 0, None, PART))
    refuse(books)

    tell(books, DISPUTE_OPEN)
    tell(books, DISPUTE_WON)

    assert refunds(books) == [(None, PART, FAILED)]


@pytest.mark.parametrize("told_before_the_answer", [True, False])
def test_a_cancelled_orders_money_goes_back_when_the_dispute_is_won(told_before_the_answer):
    books = taken()
    books.happen(("cancelled", 0, None, 0))
    if told_before_the_answer:
        tell(books, DISPUTE_OPEN)
        tell(books, DISPUTE_WON)
    refuse(books)
    if not told_before_the_answer:
        assert books.payment.in_flight is None
        tell(books, DISPUTE_OPEN)
        tell(books, DISPUTE_WON)
    books.settle()

    books.add_up()
    assert books.payment.state == REFUNDED
