"""The rules, for whatever may be asked in whatever order."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from commerce.catalog.v1.stock_service_pb2 import ReservationLine, ReservationRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as some

from services.catalog import rules
from services.catalog.rules import COMMITTED, HELD, LATE, LIFE, NONE, REFUSED, RELEASED, Offer, Reservation

ORDERS = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(6)]
PRODUCTS = [f"aaaaaaaa-0000-0000-0000-00000000000{n}" for n in range(4)]
STORES = ["b0000000-0000-0000-0000-000000000000", "b0000000-0000-0000-0000-000000000001"]

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
    lines=some.lists(lines, min_size=1, max_size=4),
)
offered = some.dictionaries(
    some.sampled_from(PRODUCTS),
    some.builds(Offer, some.just(STORES[0]), some.just("EUR"), some.just(5), some.integers(0, 9)),
)
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
steps = some.lists(some.tuples(some.sampled_from(["commit", "release"]), some.sampled_from(ORDERS)))


@given(some.lists(wishes), offered, reservations)
def test_a_batch_never_promises_more_than_is_free(wanted, offers, known):
    _, held = rules.reserve(wanted, offers, known)

    promised: Counter[str] = Counter()
    for reservation in held.values():
        promised.update(reservation.units)
    assert all(units <= offers[product_id].available for product_id, units in promised.items())


@given(some.lists(wishes), offered, reservations)
def test_an_order_gets_all_of_its_lines_or_none(wanted, offers, known):
    results, held = rules.reserve(wanted, offers, known)

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


@given(some.lists(wishes), offered, reservations)
def test_a_batch_is_decided_as_if_its_orders_came_one_by_one(wanted, offers, known):
    together, held = rules.reserve(wanted, offers, known)

    one_by_one = []
    offers, known = dict(offers), dict(known)
    for order in wanted:
        results, gained = rules.reserve([order], offers, known)
        one_by_one += results
        known |= gained
        for reservation in gained.values():
            for product_id, units in reservation.units.items():
                offer = offers[product_id]
                offers[product_id] = replace(offer, available=offer.available - units)
    assert together == one_by_one
    assert held.items() <= known.items()


@given(some.lists(wishes), offered)
def test_a_refusal_names_a_product_that_is_at_fault(wanted, offers):
    results, _ = rules.reserve(wanted, offers, {})

    for order, result in zip(wanted, results, strict=True):
        if result.reason:
            offer = offers.get(result.product_id)
            asked = {
                (line.unit_price.minor_units, line.unit_price.currency_code)
                for line in order.lines
                if line.product_id == result.product_id
            }
            if result.reason == ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND:
                assert offer is None or offer.store_id != order.store_id
            elif result.reason == ErrorReason.ERROR_REASON_PRODUCT_PRICE_CHANGED:
                assert asked != {(5, "EUR")}
            else:
                assert result.reason == ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT
                assert offer is not None


@given(steps, reservations)
def test_settling_together_is_settling_one_by_one(asked, known):
    together = rules.settle(asked, known)

    states = {order_id: reservation.state for order_id, reservation in known.items()}
    moved: Counter[tuple[str, str]] = Counter()
    results = []
    now = dict(known)
    for step in asked:
        one = rules.settle([step], now)
        results += one.results
        states |= one.states
        for order_id, state in one.states.items():
            now[order_id] = replace(now.get(order_id, Reservation(NONE, {})), state=state)
        for product_id, (on_hand, reserved) in one.moves.items():
            moved[product_id, "on_hand"] += on_hand
            moved[product_id, "reserved"] += reserved
    assert together.results == results
    assert {
        order_id: reservation.state for order_id, reservation in known.items()
    } | together.states == states
    for product_id in PRODUCTS:
        assert together.moves.get(product_id, (0, 0)) == (
            moved[product_id, "on_hand"],
            moved[product_id, "reserved"],
        )


@given(reservations)
def test_releasing_everything_brings_every_unit_back(known):
    settlement = rules.settle([("release", order_id) for order_id in ORDERS], known)

    for product_id in PRODUCTS:
        held = sum(each.units.get(product_id, 0) for each in known.values() if each.state == HELD)
        gone = sum(each.units.get(product_id, 0) for each in known.values() if each.state == COMMITTED)
        assert settlement.moves.get(product_id, (0, 0)) == (gone, -held)


def test_every_step_is_known_in_every_state():
    every = set(product(("reserve", "commit", "release"), (NONE, HELD, COMMITTED, RELEASED)))

    assert LIFE.keys() | LATE | REFUSED.keys() == every
    assert len(LIFE) + len(LATE) + len(REFUSED) == len(every)


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_an_id_is_the_same_in_capitals(case):
    order = ReservationRequest(
        order_id=case(PRODUCTS[0]),
        store_id=case(STORES[0]),
        lines=[
            ReservationLine(
                product_id=case(PRODUCTS[0]),
                quantity=1,
                unit_price=Money(currency_code="EUR", minor_units=5),
            )
        ],
    )

    results, held = rules.reserve([order, order], {PRODUCTS[0]: Offer(STORES[0], "EUR", 5, 1)}, {})

    assert [result.state for result in results] == [HELD, HELD]
    assert held.keys() == {PRODUCTS[0]}
