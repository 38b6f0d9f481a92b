"""What a return gives back: its worth, or what was taken and is left; the rest is told with its reason.

In every capture mode, whether money is taken before or after the goods come back, and however a dispute ends that the
provider has told of, or has not told of yet.
"""

from itertools import product

import pytest
from commerce.payment.v1.payment_events_pb2 import PaymentOperationFailed, PaymentRefunded

from services.payment.payments import messages
from services.payment.rules import amounts
from services.payment.rules.payment import (
    AT_ONCE,
    DISPUTE_LOST,
    DISPUTE_OPEN,
    DISPUTE_WON,
    MANUAL,
    ON_ACCEPTANCE,
    ON_SHIPMENT,
    Kind,
)
from tests.payment.rules.test_refunds_that_a_dispute_stops import refuse, tell
from tests.payment.rules.test_rules import AMOUNT, Books, euros

PART, WORTH, HELD = 500, 700, 300
MODES = {"on acceptance": ON_ACCEPTANCE, "at once": AT_ONCE, "on shipment": ON_SHIPMENT, "manual": MANUAL}
ENDS = {"open": (), "won": (DISPUTE_WON,), "lost": (DISPUTE_LOST,)}
NEWS = (("", ""), *product(("told before", "told while", "told later"), ENDS))
# Where all is taken at once that comes first; and before something is taken no bank can dispute it.
CASES = [
    (mode, first, *news)
    for mode, first, news in product(MODES, ("taken first", "back first"), NEWS)
    if first == "taken first" or (mode != "at once" and news[0] != "told before")
]


class Told(Books):
    """Books that remember what was told of refunds."""

    def __init__(self, mode):
        super().__init__(mode)
        self.told = []
        self.settle()

    def apply(self, change):
        super().apply(change)
        for event in messages.told(change) if change else ():
            if isinstance(event, PaymentRefunded):
                rest = event.unrefunded.minor_units, event.unrefunded_reason
                self.told.append((event.given_back.minor_units, *rest))
            elif isinstance(event, PaymentOperationFailed) and event.kind == "refund":
                self.told.append((None, event.amount.minor_units, event.reason))


def take(books):
    """Take a part by hand or for a parcel, and then whatever the store takes by itself."""
    if books.payment.capture_mode == ON_SHIPMENT:
        books.happen(("shipped", 0, None, PART))
    elif books.payment.capture_mode != AT_ONCE:
        books.happen(("capture", 0, None, PART))
        books.happen(("accepted", 0, None, 0))


def carried(books):
    """Carry what is open, but not the return's refund."""
    while books.payment.in_flight and books.payment.in_flight.kind != Kind.REFUND:
        asked = books.payment.in_flight
        books.happen(("outcome", books.payment.operations.index(asked), "captured", 0))


@pytest.mark.parametrize(("mode", "first", "heard", "end"), CASES)
def test_its_worth_or_what_was_taken_and_is_left(mode, first, heard, end):
    books = Told(MODES[mode])
    if first == "taken first":
        take(books)
        books.settle()
    if heard == "told before":
        tell(books, DISPUTE_OPEN, HELD)
    books.happen(("returned", 0, None, WORTH))
    if first == "back first":
        take(books)
    carried(books)
    if heard in ("told while", "told later"):
        assert books.payment.in_flight is not None
        if heard == "told later":
            refuse(books)
        tell(books, DISPUTE_OPEN, HELD)
    books.settle()
    for status in ENDS.get(end, ()):
        tell(books, status, HELD)
    books.settle()

    books.add_up()
    taken = books.payment.captured
    assert taken == (PART if mode in ("on shipment", "manual") else AMOUNT)
    left = {"open": 0, "lost": taken - HELD}.get(end, taken)
    assert books.payment.refunded == min(WORTH, left)
    short = WORTH - books.payment.refunded
    if end == "open":
        waits = books.payment.unsettled(Kind.REFUND) == WORTH
        assert waits or books.told == [(None, WORTH, books.told[-1][2])]
        assert waits or "disputed" in books.told[-1][2]
        return
    given_back, rest, reason = books.told[-1]
    assert (given_back, rest) == (books.payment.refunded, short)
    causes = {"not_captured": taken < AMOUNT, "charged_back": end == "lost"}
    assert reason == ", ".join(cause for cause, holds in causes.items() if holds and short)


@pytest.mark.parametrize("mode", ["on shipment", "manual"])
@pytest.mark.parametrize("parts", [(1,), (1, 1, 198), (200,), (AMOUNT - PART,), (1, AMOUNT - PART - 1)])
def test_what_is_missing_goes_back_as_soon_as_more_is_taken_and_no_more_than_that(mode, parts):
    books = Told(MODES[mode])
    take(books)
    books.settle()
    books.happen(("returned", 0, None, WORTH))
    books.settle()
    assert books.told == [(PART, WORTH - PART, "not_captured")]

    for number, part in enumerate(parts, 1):
        share = ("shipped", number, None, part) if mode == "on shipment" else ("capture", 0, None, part)
        books.happen(share)
        books.settle()
        # It is told twice: nothing more happens.
        assert amounts.returned(books.payment, "return 0", euros(WORTH)) == 0

    books.add_up()
    assert books.payment.refunded == min(WORTH, PART + sum(parts))
    assert books.told[-1][:2] == (books.payment.refunded, WORTH - books.payment.refunded)
    assert len(books.told) <= 1 + len(parts)


def test_nobody_is_given_twice_what_came_back_once_when_two_returns_wait_for_money():
    books = Told(MANUAL)
    books.happen(("capture", 0, None, 100))
    books.settle()
    for number in range(2):
        books.happen(("returned", number, None, 400))
        books.settle()

    books.happen(("capture", 0, None, 0))
    books.settle()

    books.add_up()
    assert books.payment.refunded == 800
