"""The judges of the races see each kind of wrong; otherwise the races would prove nothing."""

from commerce.order.v1.order_pb2 import Order, OrderEvent

from services.order import life
from tests.saga.meetings import MONEY, Meeting, illegal, owed, untrue

TOTAL = 1999


def meeting(state=life.CANCELLED, told="", **sums):
    """An order that met something, and its charge at the provider, as it should be unless something else is given."""
    charge = dict.fromkeys(MONEY, 0) | {"status": "authorized"} | sums
    order = Order(state=state, sequence=2)
    order.total.minor_units = TOTAL
    return Meeting(order, told, charges=[charge])


def told(meeting, captured=0, refunded=0):
    payment = {"captured_minor_units": captured, "refunded_minor_units": refunded}
    return list(owed(meeting, payment))


def test_money_that_is_still_held_or_was_kept():
    assert told(meeting(authorized_minor_units=TOTAL)) == [f"0 kept and {TOTAL} held of {TOTAL}"]
    assert told(meeting(authorized_minor_units=TOTAL, voided_minor_units=TOTAL)) == []
    kept = meeting(authorized_minor_units=TOTAL, captured_minor_units=TOTAL)
    assert told(kept, TOTAL) == [f"{TOTAL} kept and 0 held of {TOTAL}"]
    kept.charges[0]["refunded_minor_units"] = TOTAL
    assert told(kept, TOTAL, TOTAL) == []


def test_money_that_is_not_there():
    assert told(meeting(life.CONFIRMED)) == [f"0 kept and 0 held of {TOTAL}"]
    assert told(meeting(life.CONFIRMED, authorized_minor_units=TOTAL)) == []
    assert told(meeting(life.SHIPPED, authorized_minor_units=TOTAL)) == [
        f"0 kept and {TOTAL} held of {TOTAL}"
    ]


def test_a_second_charge():
    twice = meeting(life.CONFIRMED, authorized_minor_units=TOTAL)
    twice.charges *= 2
    assert "charged twice" in told(twice)


def test_a_charge_that_somebody_may_still_confirm():
    assert told(meeting(status="requires_action")) == ["may still be charged"]


def test_books_that_differ():
    assert told(meeting(), captured=TOTAL) == [f"our books say ({TOTAL}, 0)"]


def test_an_end_that_is_another_than_was_told():
    assert list(untrue(meeting(told="EXPIRED"))) == ["told otherwise"]
    assert list(untrue(meeting(told="CANCELLED"))) == []
    assert list(untrue(meeting(life.RESERVED))) == ["not settled"]


def test_a_timeline_that_cannot_be():
    begun = OrderEvent(sequence=1, step="create", state=life.PENDING)
    ended = OrderEvent(sequence=2, step="cancel", state=life.CANCELLED)
    order = meeting().order
    assert list(illegal([begun, ended], order)) == []
    assert list(illegal([begun], order)) == ["a gap", "another beginning or end"]
    skipped = OrderEvent(sequence=2, step="accept", state=life.CANCELLED)
    assert list(illegal([begun, skipped], order)) == ["no legal step: accept at PENDING"]
