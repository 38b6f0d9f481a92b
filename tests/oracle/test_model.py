"""What the oracle's model says of goods and money: nothing of what adds up, something of whatever does not."""

from dataclasses import replace
from typing import Any

import pytest

from tests.oracle import model
from tests.oracle.model import Expected, Line

# Three units for 1000, of which two were sent and one came back; 490 for the way.
HAT = Line(units=3, paid=1000, sent=2, back=1)
SENT, BACK, TOTAL = 667, 333, 1490


def order(state="SHIPPED", mode="ON_ACCEPTANCE", **given):
    return Expected({"hat": replace(HAT)}, 490, mode, state, **given)


def wrong(expected, taken, gone_back, lost=0, not_given=0, unpaid=""):
    return list(model.money(expected, taken, gone_back, lost, not_given, unpaid))


def test_units_are_worth_their_share_and_all_of_them_what_was_paid():
    assert [HAT.worth(units) for units in range(4)] == [0, 333, 667, 1000]
    whole = order()
    whole.lines["hat"] = replace(HAT, sent=3, back=3)
    assert (whole.sent(), whole.back()) == (TOTAL, TOTAL)


ADDS_UP: dict[str, tuple[Expected, dict[str, Any]]] = {
    "all taken when it was accepted": (order(), {"taken": TOTAL, "gone_back": BACK}),
    "each parcel taken when it was sent": (order(mode="ON_SHIPMENT"), {"taken": SENT, "gone_back": BACK}),
    "taken by hand": (order(mode="MANUAL", captured=500), {"taken": 500, "gone_back": BACK}),
    "taken at once": (order("CONFIRMED", "AT_ONCE", refunded=BACK), {"taken": TOTAL, "gone_back": 2 * BACK}),
    "given back by hand": (order(refunded=7), {"taken": TOTAL, "gone_back": BACK + 7}),
    "nothing left to give back": (
        order(refunded=1400),
        {"taken": TOTAL, "gone_back": TOTAL, "not_given": BACK - 90},
    ),
    "not paid for, and told so": (order(), {"taken": 500, "gone_back": BACK, "unpaid": "voided"}),
    "called off": (order("CANCELLED"), {"taken": TOTAL, "gone_back": TOTAL}),
    "called off after the bank had it": (
        order("CANCELLED"),
        {"taken": TOTAL, "gone_back": 490, "lost": 1000},
    ),
}


@pytest.mark.parametrize("case", ADDS_UP)
def test_says_nothing_of_what_adds_up(case):
    expected, sums = ADDS_UP[case]
    assert wrong(expected, **sums) == []


@pytest.mark.parametrize("case", ADDS_UP)
@pytest.mark.parametrize("change", [{"taken": 1}, {"gone_back": -1}, {"gone_back": 1}])
def test_says_something_when_one_cent_is_another(case, change):
    expected, sums = ADDS_UP[case]
    if sums.get("unpaid") and "taken" in change:
        pytest.skip("how much of what is not paid for was taken is told by the payment alone")
    assert wrong(expected, **{**sums, **{name: sums[name] + by for name, by in change.items()}})


def test_says_something_when_less_was_taken_and_nobody_tells():
    assert wrong(order(), taken=TOTAL - 1, gone_back=BACK)


def test_says_something_when_money_was_there_and_is_told_as_not_given_back():
    assert wrong(order(), taken=TOTAL, gone_back=BACK - 1, not_given=1)


@pytest.mark.parametrize(("lost", "enough"), [(TOTAL - BACK, True), (TOTAL - BACK + 1, False)])
def test_what_a_bank_has_is_not_there(lost, enough):
    assert bool(wrong(order(), taken=TOTAL, gone_back=BACK - 1, lost=lost, not_given=1)) == enough


@pytest.mark.parametrize(
    ("state", "gone", "set_aside"),
    [("PENDING", 0, 3), ("CONFIRMED", 0, 3), ("ACCEPTED", 3, 0), ("RETURNED", 3, 0), ("CANCELLED", 0, 0)],
)
def test_units_are_set_aside_until_they_are_sold_and_back_when_it_came_to_nothing(state, gone, set_aside):
    assert model.shelf(order(state), HAT) == (gone, set_aside)


def test_what_came_back_and_can_be_sold_again_is_on_the_shelf():
    assert model.shelf(order(), replace(HAT, on_shelf=1)) == (2, 0)
