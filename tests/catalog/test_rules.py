"""The rules, for whatever may be asked in whatever order."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from commerce.catalog.v1.stock_service_pb2 import ReservationLine, ReservationRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_pb2 import ReturnLine
from hypothesis import given
from hypothesis import strategies as some

from services.catalog import levels, rules
from services.catalog.levels import Change, Move, Stock
from services.catalog.rules import (
    COMMITTED,
    HELD,
    LATE,
    LIFE,
    NONE,
    REFUSED,
    RELEASED,
    Offer,
    Reservation,
    Return,
    Step,
)

ORDERS = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(6)]
PRODUCTS = [f"aaaaaaaa-0000-0000-0000-00000000000{n}" for n in range(4)]
CUSTOMERS = [f"c0000000-0000-0000-0000-00000000000{n}" for n in range(2)]
STORES = ["b0000000-0000-0000-0000-000000000000", "b0000000-0000-0000-0000-000000000001"]


def offer(available, price=5, currency="EUR", archived=False):
    return Offer(Stock(PRODUCTS[0], STORES[0], available + 2, 2), currency, price, archived)


lines = some.builds(
    ReservationLine,
    product_id=some.sampled_from(PRODUCTS),
    quantity=some.integers(1, 4),
    unit_price=some.builds(
        Money,
        currency_code=some.sampled_from(["EUR", "EUR", "CHF"]),
        minor_units=some.sampled_from([5, 5, 6]),
    ),
)
wishes = some.builds(
    ReservationRequest,
    order_id=some.sampled_from(ORDERS),
    store_id=some.sampled_from([STORES[0], *STORES]),
    customer_id=some.sampled_from(CUSTOMERS),
    lines=some.lists(lines, min_size=1, max_size=4),
)
offered = some.dictionaries(
    some.sampled_from(PRODUCTS),
    some.builds(
        lambda available, archived: offer(available, archived=archived),
        some.integers(0, 9),
        some.sampled_from([False, False, False, True]),
    ),
)
rooms = some.fixed_dictionaries({each: some.integers(0, 5) for each in CUSTOMERS})
reservations = some.dictionaries(
    some.sampled_from(ORDERS),
    some.one_of(
        some.just(Reservation(RELEASED, {})),
        some.builds(
            Reservation,
            some.sampled_from([HELD, COMMITTED, RELEASED]),
            some.dictionaries(some.sampled_from(PRODUCTS), some.integers(1, 9), min_size=1),
        ),
    ),
)
steps = some.lists(
    some.builds(Step, some.sampled_from(["keep", "commit", "expire", "release"]), some.sampled_from(ORDERS))
)
returns = some.lists(
    some.builds(
        Return,
        some.sampled_from(ORDERS),
        some.dictionaries(some.sampled_from(PRODUCTS), some.integers(1, 9), min_size=1),
    )
)


@given(some.lists(wishes), offered, reservations, rooms)
def test_a_batch_never_promises_more_than_is_free(wanted, offers, known, room):
    _, held = rules.reserve(wanted, offers, known, room)

    promised: Counter[str] = Counter()
    for reservation in held.values():
        promised.update(reservation.units)
    assert all(units <= offers[product_id].stock.available for product_id, units in promised.items())


@given(some.lists(wishes), offered, reservations, rooms)
def test_a_customer_never_opens_more_reservations_than_there_is_room_for(wanted, offers, known, room):
    _, held = rules.reserve(wanted, offers, known, room)

    opened = Counter(reservation.customer_id for reservation in held.values())
    assert all(opened[customer_id] <= most for customer_id, most in room.items())


@given(some.lists(wishes), offered, reservations, rooms)
def test_an_order_gets_all_of_its_lines_or_none(wanted, offers, known, room):
    results, held = rules.reserve(wanted, offers, known, room)

    assert [result.order_id for result in results] == [order.order_id for order in wanted]
    for order, result in zip(wanted, results, strict=True):
        assert bool(result.reason) != bool(result.state)
        if order.order_id in held and result.state:
            assert result.state == HELD
    first: dict[str, dict[str, int]] = {}
    for order, result in zip(wanted, results, strict=True):
        if result.state == HELD and order.order_id not in known:
            first.setdefault(order.order_id, rules.units_of(order.lines))
    assert {order_id: reservation.units for order_id, reservation in held.items()} == first


@given(some.lists(wishes), offered, reservations, rooms)
def test_a_batch_is_decided_as_if_its_orders_came_one_by_one(wanted, offers, known, room):
    together, held = rules.reserve(wanted, offers, known, room)

    one_by_one = []
    offers, known, room = dict(offers), dict(known), dict(room)
    for order in wanted:
        results, gained = rules.reserve([order], offers, known, room)
        one_by_one += results
        known |= gained
        for reservation in gained.values():
            room[reservation.customer_id] -= 1
            for product_id, units in reservation.units.items():
                offer = offers[product_id]
                after = levels.moved(offer.stock, Move(reserved=units)).after
                offers[product_id] = replace(offer, stock=after)
    assert together == one_by_one
    assert held.items() <= known.items()


@given(some.lists(wishes), offered, rooms)
def test_a_refusal_names_what_is_at_fault(wanted, offers, room):
    results, held = rules.reserve(wanted, offers, {}, room)

    for order, result in zip(wanted, results, strict=True):
        offer = offers.get(result.product_id)
        asked = {
            (line.unit_price.minor_units, line.unit_price.currency_code)
            for line in order.lines
            if line.product_id == result.product_id
        }
        if result.reason == ErrorReason.ERROR_REASON_RESERVATIONS_TOO_MANY:
            opened = sum(each.customer_id == order.customer_id for each in held.values())
            assert opened == room[order.customer_id]
            assert result.product_id == ""
        elif result.reason == ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND:
            assert offer is None or offer.stock.store_id != order.store_id
        elif result.reason == ErrorReason.ERROR_REASON_PRODUCT_ARCHIVED:
            assert offer.archived
        elif result.reason == ErrorReason.ERROR_REASON_PRODUCT_PRICE_CHANGED:
            assert asked != {(5, "EUR")}
        elif result.reason:
            assert result.reason == ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT
            assert offer is not None and not offer.archived


@given(steps, reservations, returns)
def test_settling_together_is_settling_one_by_one(asked, known, returned):
    together = rules.take_steps(asked, known, returned)

    states = {order_id: reservation.state for order_id, reservation in known.items()}
    moves: dict[str, Move] = {}
    results = []
    now = dict(known)
    for step, back in [*(([step], []) for step in asked), ([], returned)]:
        one = rules.take_steps(step, now, back)
        results += one.results
        states |= one.states
        moves = {
            product_id: Move(
                moves.get(product_id, Move()).reserved + one.moves.get(product_id, Move()).reserved,
                moves.get(product_id, Move()).changes + one.moves.get(product_id, Move()).changes,
            )
            for product_id in moves.keys() | one.moves.keys()
        }
        for order_id, state in one.states.items():
            now[order_id] = replace(now.get(order_id, Reservation(NONE, {})), state=state)
    assert together.results == results
    assert {
        order_id: reservation.state for order_id, reservation in known.items()
    } | together.states == states
    assert together.moves == {product_id: move for product_id, move in moves.items() if move != Move()}


@given(steps, reservations)
def test_units_are_neither_made_nor_lost(asked, known):
    taken = rules.take_steps(asked, known)

    after = {
        order_id: replace(each, state=taken.states.get(order_id, each.state))
        for order_id, each in known.items()
    }
    for product_id in PRODUCTS:
        move = taken.moves.get(product_id, Move())
        assert move.reserved == units(after, HELD, product_id) - units(known, HELD, product_id)
        assert -move.on_hand == units(after, COMMITTED, product_id) - units(known, COMMITTED, product_id)


@given(steps, reservations)
def test_what_is_kept_stays_as_it_was(asked, known):
    kept = [step for step in asked if step.name == "keep"]

    assert rules.take_steps(kept, known).moves == {}


def units(known, state, product_id):
    return sum(each.units.get(product_id, 0) for each in known.values() if each.state == state)


@given(reservations)
def test_releasing_everything_brings_every_unit_back(known):
    taken = rules.take_steps([Step("release", order_id) for order_id in ORDERS], known)

    for product_id in PRODUCTS:
        move = taken.moves.get(product_id, Move())
        assert move.on_hand == units(known, COMMITTED, product_id)
        assert move.reserved == -units(known, HELD, product_id)


@given(
    some.lists(
        some.builds(Change, some.just(levels.ADJUSTED), some.integers(-9, 9), some.just("")), max_size=9
    )
)
def test_the_history_of_a_movement_leads_from_before_to_after(changes):
    movement = levels.moved(Stock(PRODUCTS[0], STORES[0], 100, 0), Move(changes=changes))

    on_hand = 100
    for _, change, total in levels.history([movement]):
        on_hand += change.delta
        assert total == on_hand
    assert on_hand == movement.after.on_hand


@given(some.lists(some.integers(-9, 9).filter(bool), max_size=20), some.integers(0, 12), some.integers(0, 20))
def test_stock_runs_low_once_each_time_that_it_falls_below_the_threshold(deltas, threshold, on_hand):
    stock = Stock(PRODUCTS[0], STORES[0], on_hand, 0, low_stock_threshold=threshold)
    told, is_low = 0, on_hand < threshold
    crossings = 0
    for delta in deltas:
        if stock.on_hand + delta < 0:
            continue
        movement = levels.moved(stock, Move(changes=[Change(levels.ADJUSTED, delta, "")]))
        stock = movement.after
        told += movement.runs_low
        crossings += stock.available < threshold and not is_low
        is_low = stock.available < threshold
    assert told == crossings


def test_units_that_cannot_be_sold_again_stay_off_the_shelf():
    given_back = [
        ReturnLine(product_id=PRODUCTS[0].upper(), quantity=2, restock=True),
        ReturnLine(product_id=PRODUCTS[1], quantity=3, restock=False),
        ReturnLine(product_id=PRODUCTS[0], quantity=1, restock=True),
    ]

    assert rules.restocked(given_back) == {PRODUCTS[0]: 3}


def test_every_step_is_known_in_every_state():
    every = set(
        product(("reserve", "keep", "commit", "expire", "release"), (NONE, HELD, COMMITTED, RELEASED))
    )

    assert LIFE.keys() | LATE | REFUSED.keys() == every
    assert len(LIFE) + len(LATE) + len(REFUSED) == len(every)


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_an_id_is_the_same_in_capitals(case):
    order = ReservationRequest(
        order_id=case(PRODUCTS[0]),
        store_id=case(STORES[0]),
        customer_id=case(CUSTOMERS[0]),
        lines=[
            ReservationLine(
                product_id=case(PRODUCTS[0]),
                quantity=1,
                unit_price=Money(currency_code="EUR", minor_units=5),
            )
        ],
    )

    results, held = rules.reserve([order, order], {PRODUCTS[0]: offer(1)}, {}, {CUSTOMERS[0]: 1})

    assert [result.state for result in results] == [HELD, HELD]
    assert held.keys() == {PRODUCTS[0]}
