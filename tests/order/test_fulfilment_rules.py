"""What a parcel takes and a return gives back, by property."""

from collections import Counter

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import LineAmount, Money
from commerce.order.v1.order_pb2 import LineQuantity, Order, OrderLine, OrderReturn, ReturnLine, Shipment
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.order import fulfilment_rules, life, prices
from services.runtime.refusals import Refusal


def euros(amount):
    return Money(currency_code="EUR", minor_units=amount)


@st.composite
def orders(draw):
    """Orders as prices make them: the total adds up."""
    lines = []
    for number in range(draw(st.integers(1, 4))):
        quantity, price = draw(st.integers(1, 12)), draw(st.integers(0, 10**6))
        discount = draw(st.integers(0, quantity * price))
        tax = draw(st.integers(0, quantity * price - discount))
        lines.append(
            OrderLine(
                product_id=f"product {number}",
                quantity=quantity,
                unit_price=euros(price),
                discount=euros(discount),
                tax=euros(tax),
            )
        )
    order = Order(order_id="order", state=life.ACCEPTED, lines=lines, tax_included=draw(st.booleans()))
    order.shipping.CopyFrom(euros(draw(st.integers(0, 10_000))))
    net = sum(line.quantity * line.unit_price.minor_units - line.discount.minor_units for line in lines)
    tax = 0 if order.tax_included else sum(line.tax.minor_units for line in lines)
    order.total.CopyFrom(euros(net + tax + order.shipping.minor_units))
    return order


def some_of(draw, limits):
    """Some units, at least one, of at most so many of each product."""
    names = draw(st.lists(st.sampled_from(sorted(limits)), min_size=1, unique=True))
    return {name: draw(st.integers(1, limits[name])) for name in names}


def left_to_send(order):
    return {
        line.product_id: line.quantity - line.shipped_quantity
        for line in order.lines
        if line.quantity > line.shipped_quantity
    }


def left_to_return(order):
    return {
        line.product_id: line.shipped_quantity - line.returned_quantity
        for line in order.lines
        if line.shipped_quantity > line.returned_quantity
    }


def parcel(name, units=()):
    return Shipment(
        shipment_id=name,
        lines=[LineQuantity(product_id=product, quantity=units[product]) for product in units],
    )


def returned(units):
    return OrderReturn(
        lines=[ReturnLine(product_id=product, quantity=quantity) for product, quantity in units.items()]
    )


@given(orders(), st.data())
def test_an_order_that_came_back_whole_has_given_back_its_total_however_it_was_split(order, data):
    step, refunded = "", 0
    while step != "return":
        to_send, to_return = left_to_send(order), left_to_return(order)
        if to_send and (not to_return or data.draw(st.booleans())):
            fulfilment_rules.send(order, parcel("a parcel", some_of(data.draw, to_send)))
            continue
        back = returned(some_of(data.draw, to_return))
        step, _ = fulfilment_rules.take_back(order, back)
        assert back.refund.minor_units >= 0
        refunded += back.refund.minor_units
        assert refunded <= order.total.minor_units
        if step == "return_part":
            assert refunded <= order.total.minor_units - order.shipping.minor_units
    assert all(line.returned_quantity == line.quantity for line in order.lines)
    assert refunded == order.total.minor_units
    assert [each.refund.currency_code for each in order.returns] == ["EUR"] * len(order.returns)


@given(orders(), st.data())
def test_parcels_take_each_unit_once_and_the_last_one_at_the_door_delivers_the_order(order, data):
    sent = {line.product_id: 0 for line in order.lines}
    while left := left_to_send(order):
        units = some_of(data.draw, left) if data.draw(st.booleans()) else {}
        fulfilment_rules.send(order, parcel(f"parcel {len(order.shipments)}", units))
        for line in order.shipments[-1].lines:
            sent[line.product_id] += line.quantity
    assert sent == {line.product_id: line.quantity for line in order.lines}

    names = data.draw(st.permutations([each.shipment_id for each in order.shipments]))
    steps = [fulfilment_rules.deliver(order, name, None, Timestamp(seconds=1)) for name in names]

    assert [parcels for _, parcels in steps] == [[name] for name in names]
    assert [step for step, _ in steps] == ["deliver_parcel"] * (len(names) - 1) + ["deliver"]


def by_line(amounts):
    """How much of some money each line has."""
    assert all(each.amount.minor_units and each.amount.currency_code == "EUR" for each in amounts)
    shares = {each.product_id: each.amount.minor_units for each in amounts}
    assert len(shares) == len(amounts), "each line is named once"
    return Counter(shares)


@given(orders(), st.data())
def test_all_parcels_cost_the_total_and_no_line_gives_back_more_than_was_sent_of_it(order, data):
    sent: Counter[str] = Counter()
    back: Counter[str] = Counter()
    step = ""
    while step != "return":
        to_send, to_return = left_to_send(order), left_to_return(order)
        if to_send and (not to_return or data.draw(st.booleans())):
            units = some_of(data.draw, to_send)
            shares = by_line(fulfilment_rules.send(order, parcel("a parcel", units)))
            sent += shares
            assert ("" in shares) == (not left_to_send(order) and order.shipping.minor_units > 0)
        else:
            units = some_of(data.draw, to_return)
            step, amounts = fulfilment_rules.take_back(order, returned(units))
            shares = by_line(amounts)
            back += shares
            assert ("" in shares) == (step == "return" and order.shipping.minor_units > 0)
            assert shares.total() == order.returns[-1].refund.minor_units
        assert shares.keys() <= units.keys() | {""}
        assert all(share > 0 for share in shares.values())
        assert back <= sent, "of each line"
        assert left_to_send(order) or sent.total() == order.total.minor_units
    assert back == sent == by_line(list(paid(order)))


def paid(order):
    """What was paid for each line, from what the payment service is told."""
    for part in prices.breakdown(order):
        amount = part.gross.minor_units - part.discount.minor_units + part.tax.minor_units
        if amount:
            yield LineAmount(product_id=part.product_id, amount=euros(amount))


@given(orders(), st.data())
def test_more_than_is_left_changes_nothing(order, data):
    fulfilment_rules.send(order, parcel("first", some_of(data.draw, left_to_send(order))))
    if data.draw(st.booleans()):
        fulfilment_rules.take_back(order, returned(some_of(data.draw, left_to_return(order))))
    before = order.SerializeToString(deterministic=True)
    line = data.draw(st.sampled_from(list(order.lines)))
    for limit, act in (
        (line.quantity - line.shipped_quantity, lambda n: fulfilment_rules.send(order, parcel("second", n))),
        (
            line.shipped_quantity - line.returned_quantity,
            lambda n: fulfilment_rules.take_back(order, returned(n)),
        ),
    ):
        with pytest.raises(Refusal) as refusal:
            act({line.product_id: limit + 1})
        assert refusal.value.reason == ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED
        assert refusal.value.metadata == {
            "product_id": line.product_id,
            "quantity": str(limit + 1),
            "limit": str(limit),
        }
    assert order.SerializeToString(deterministic=True) == before


def test_an_order_has_room_for_so_many_parcels_and_returns():
    order = Order(state=life.SHIPPED, lines=[OrderLine(product_id="a", quantity=2000, shipped_quantity=1500)])
    order.shipments.extend([Shipment()] * fulfilment_rules.MOST)
    order.returns.extend([OrderReturn()] * fulfilment_rules.MOST)
    for act in (
        lambda: fulfilment_rules.send(order, parcel("one more")),
        lambda: fulfilment_rules.take_back(order, returned({"a": 1})),
    ):
        with pytest.raises(Refusal) as refusal:
            act()
        assert refusal.value.reason == ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED


def test_a_courier_without_a_name_carries_nothing():
    order = Order(shipments=[Shipment(shipment_id="not given to anybody")])
    assert not fulfilment_rules.carries(order, "")
