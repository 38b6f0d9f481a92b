"""The checks of watches' promises: each finds what breaks its promise, and nothing in what keeps them all."""

import copy

import pytest
from commerce.order.v1.order_pb2 import Order, OrderUpdate

from tests.order import histories
from tests.order.histories import Session

TIMELINE = {(order_id, sequence): sequence for order_id in "ab" for sequence in range(1, 7)}


def one(sequence, order_id="a", token="", snapshot=False):
    order = Order(order_id=order_id, sequence=sequence) if snapshot else None
    return OrderUpdate(order_id=order_id, sequence=sequence, state=sequence, resume_token=token, order=order)


def mark(sequence=0, order_id="", token=""):
    return OrderUpdate(bookmark=True, order_id=order_id, sequence=sequence, resume_token=token)


def of_an_order():
    """One that is watched from its second transition on, with two breaks."""
    return [
        Session(0, [one(2, snapshot=True), one(3), mark(3, "a")]),
        Session(3, [mark(3, "a"), one(4)]),
        Session(4, [one(5), one(6)]),
    ]


def of_a_store():
    """One where b is new, a had two transitions before."""
    return [
        Session(
            "", [mark(token="0"), one(3, token="1"), one(1, "b", "2"), one(4, token="3"), mark(token="4")]
        ),
        Session("4", [one(2, "b", "5"), one(3, "b", "6"), one(5, token="7")]),
        Session(
            "7", [mark(token="8"), one(4, "b", "9"), one(6, token="10"), one(5, "b", "11"), one(6, "b", "12")]
        ),
    ]


def wanted(history):
    """What comes after the beginning."""
    if history[0].after == 0:
        return [("a", sequence) for sequence in range(3, 7)]
    return [("a", sequence) for sequence in range(3, 7)] + [("b", sequence) for sequence in range(1, 7)]


def promises(history):
    return set(histories.broken(history, TIMELINE, wanted(history)))


@pytest.mark.parametrize("made", [of_an_order, of_a_store])
def test_a_history_that_keeps_the_promises_breaks_none(made):
    assert promises(made()) == set()


def swap(told, one, other):
    told[one], told[other] = told[other], told[one]


def repeat_after_a_break(history):
    history[1].told.insert(0, copy.copy(history[0].transitions[-1]))


def forget(history):
    for session in history:
        session.told = [update for update in session.told if update.order_id != "b"]


SPOILED = {
    "two are told in the wrong order": (
        {"ordered"},
        lambda order: swap(order[2].told, 0, 1),
        lambda store: swap(store[1].told, 0, 1),
    ),
    "one is told twice in a stream": (
        {"unique"},
        lambda order: order[0].told.insert(2, one(3)),
        lambda store: store[0].told.insert(2, one(3, token="1")),
    ),
    "one is told again after a break": ({"unique", "resumable"}, repeat_after_a_break, repeat_after_a_break),
    "one is missing in the middle": (
        {"gapless"},
        lambda order: order[0].told.__delitem__(1),
        lambda store: store[0].told.__delitem__(3),
    ),
    "the last one is missing": (
        {"gapless"},
        lambda order: order[2].told.pop(),
        lambda store: store[2].told.pop(),
    ),
    "a whole order is missing": (
        {"gapless"},
        None,
        forget,
    ),
    "a state is another than the one on record": (
        {"gapless"},
        lambda order: setattr(order[2].told[0], "state", 9),
        lambda store: setattr(store[1].told[0], "state", 9),
    ),
    "one is told that never was": (
        {"gapless"},
        lambda order: order[2].told.append(one(7)),
        lambda store: store[2].told.append(one(1, "c", "13")),
    ),
    "a break skips one": (
        {"gapless", "resumable"},
        lambda order: order[2].told.__delitem__(0),
        None,
    ),
    "a stream that goes on begins with a snapshot": (
        {"unique", "resumable"},
        lambda order: order[1].told.insert(0, one(3, snapshot=True)),
        None,
    ),
    "a bookmark is ahead": ({"bookmarkable"}, lambda order: setattr(order[1].told[0], "sequence", 4), None),
    "a bookmark is behind": ({"bookmarkable"}, lambda order: setattr(order[0].told[2], "sequence", 2), None),
    "a message has no token": (
        {"bookmarkable"},
        None,
        lambda store: store[0].told[1].ClearField("resume_token"),
    ),
    "a bookmark has no token": (
        {"bookmarkable"},
        None,
        lambda store: store[2].told[0].ClearField("resume_token"),
    ),
    "a bookmark of a store names an order": (
        {"bookmarkable"},
        None,
        lambda store: setattr(store[2].told[0], "order_id", "a"),
    ),
    "a store's stream begins without a bookmark": (
        {"bookmarkable"},
        None,
        lambda store: store[0].told.__delitem__(0),
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_finds_that(how):
    expected, *spoil = SPOILED[how]
    for made, spoiled in zip((of_an_order, of_a_store), spoil, strict=True):
        if spoiled is not None:
            history = made()
            spoiled(history)
            assert promises(history) >= expected


def test_finds_that_a_token_leads_elsewhere():
    told = [update for session in of_a_store() for update in session.told]
    for after in range(len(told)):
        assert histories.goes_on(told, after, told[after + 1 :]) == []
        assert histories.goes_on(told, after, []) == []
    assert histories.goes_on(told, 2, told[4:])
    assert histories.goes_on(told, 2, told[2:])
    assert histories.goes_on(told, 1, [told[3], told[2]])
