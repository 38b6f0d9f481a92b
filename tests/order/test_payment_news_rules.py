"""What the news of a payment does to an order, in any order and however often it comes."""

from itertools import permutations

import pytest
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_pb2 import Order, OrderLine

from services.order import life
from services.order.payment_news_rules import Known, News, learn


def known(shipped=1, captured=0, state=life.SHIPPED):
    """An order of three units at 1000 each."""

    def money(amount):
        return Money(currency_code="EUR", minor_units=amount)

    line = OrderLine(product_id="hat", quantity=3, unit_price=money(1000), shipped_quantity=shipped)
    return Known(Order(state=state, total=money(3000), lines=[line]), captured)


def happens(order, *news):
    """The notes of news, one after the other."""
    return [note.step for each in news for note in learn(order, each)[1]]


def failed():
    return News(order_id="", unpaid_reason="card_declined")


def taken(amount):
    return News(order_id="", captured=amount)


def given_back(amount):
    return News(order_id="", refunded=amount)


def test_a_capture_that_failed_is_made_good_by_one_that_pays_for_what_was_sent():
    order = known()
    assert happens(order, failed(), failed(), taken(999), taken(1000)) == ["uncover", "cover"]
    assert order.order.unpaid_reason == ""


@pytest.mark.parametrize("reason", ["expired", "voided"])
def test_a_promise_that_has_ended_is_made_good_by_nothing_but_all_of_the_money(reason):
    order = known(captured=1000)
    assert happens(order, News(order_id="", unpaid_reason=reason), taken(2000)) == ["uncover"]
    assert order.order.unpaid_reason == reason
    assert happens(order, taken(3000)) == ["cover"]


def test_an_order_all_of_whose_money_was_taken_is_never_unpaid():
    assert happens(known(captured=3000), failed()) == []
    assert happens(known(), News(order_id="", captured=3000, unpaid_reason="voided")) == []


@pytest.mark.parametrize("state", [life.CANCELLED, life.EXPIRED, life.PAYMENT_FAILED])
def test_an_order_that_came_to_nothing_learns_its_sums_and_tells_nothing(state):
    order = known(state=state)
    bought, notes = learn(order, News(order_id="", refunded=3000, unpaid_reason="voided", note="dispute"))
    assert (any(bought), notes, order.order.refunded.minor_units) == (False, [], 3000)


def test_in_whatever_order_refunds_are_told_they_count_once():
    for told in permutations([given_back(1), given_back(1000), given_back(1999), given_back(1999)]):
        order = known(captured=3000)
        assert sum(learn(order, news)[0].spent for news in told) == -1999
        assert order.order.refunded.minor_units == 1999
