import asyncio

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderCancelled, OrderShipped
from commerce.order.v1.order_pb2 import ShipmentStatus

from tests.order.asks import cancel, courier, name, order_of, ship, state_of, steps_of
from tests.order.deals import new_coupon, set_up, ships, tax
from tests.shop import new_id, refused


def units(parcel):
    return {line.product_id: line.quantity for line in parcel.lines}


def shipped(order):
    return {line.product_id: line.shipped_quantity for line in order.lines}


async def test_moves_an_order_that_is_accepted_to_shipped_and_says_so(shop):
    product = await shop.product()
    order_id = await shop.order([(product, 2)], state="ACCEPTED")
    order = (await shop.orders.ShipOrder(ship(order_id))).order
    assert name(order.state) == "SHIPPED"
    (parcel,) = order.shipments
    assert units(parcel) == shipped(order) == {product: 2}
    assert parcel.status == ShipmentStatus.SHIPMENT_STATUS_SHIPPED
    (event,) = await shop.published(OrderShipped)
    assert (event.order.order_id, event.order.sequence) == (order_id, order.sequence)
    assert event.shipment == parcel


async def test_what_it_says_of_a_parcel_is_kept(shop):
    order_id = await shop.order(state="ACCEPTED")
    about = {"carrier": "Our own bicycle", "tracking_number": "№ 17/ü", "courier_id": "kim"}
    order = (await shop.orders.ShipOrder(ship(order_id, **about))).order
    (parcel,) = order.shipments
    assert {key: getattr(parcel, key) for key in about} == about
    assert parcel.ship_time.ToNanoseconds() <= order.update_time.ToNanoseconds()
    assert not parcel.HasField("deliver_time")
    assert await order_of(shop, order_id) == order


async def test_an_order_goes_in_several_parcels(shop):
    first, second = await shop.product(), await shop.product()
    order_id = await shop.order([(first, 3), (second, 2)], state="ACCEPTED")

    await shop.orders.ShipOrder(ship(order_id, (first.upper(), 2)))
    order = (await shop.orders.ShipOrder(ship(order_id, (first, 1), (second, 1)))).order
    assert shipped(order) == {first: 3, second: 1}
    order = (await shop.orders.ShipOrder(ship(order_id))).order

    assert [units(parcel) for parcel in order.shipments] == [{first: 2}, {first: 1, second: 1}, {second: 1}]
    assert shipped(order) == {first: 3, second: 2}
    assert await order_of(shop, order_id) == order
    assert (await steps_of(shop, order_id))[-3:] == ["ship"] * 3
    assert [event.shipment for event in await shop.published(OrderShipped)] == list(order.shipments)


@pytest.mark.parametrize("included", [True, False])
async def test_says_what_each_parcel_costs_by_line_until_it_is_the_total(shop, included):
    """Of 3 × 9.99 less a third, its tax added or not: the first unit is a third of it, rounded; shipping comes last."""
    await set_up(shop, tax_rates=[tax(190_000)], tax_included=included, shipping_rates=[ships(490)])
    await new_coupon(shop, "THIRD", percentage_ppm=333_333)
    first, second = await shop.product(price=999), await shop.product(price=35)
    order_id = await shop.order([(first, 3), (second, 1)], state="ACCEPTED", coupon_code="THIRD")
    for lines in (((first, 1),), ((first, 1), (second, 1)), ()):
        order = (await shop.orders.ShipOrder(ship(order_id, *lines))).order

    costs = [by_line(event) for event in await shop.published(OrderShipped)]
    each, other = (666, 23) if included else (793, 27)
    assert [parcel.keys() for parcel in costs] == [{first}, {first, second}, {first, ""}]
    assert costs[0][first] == each
    assert costs[1][second] == other
    assert costs[2][""] == 490
    assert sum(sum(parcel.values()) for parcel in costs) == order.total.minor_units


def by_line(event):
    return {each.product_id: each.amount.minor_units for each in event.amounts}


async def test_refuses_more_than_is_left_and_changes_nothing(shop):
    first, second = await shop.product(), await shop.product()
    order_id = await shop.order([(first, 3), (second, 2)], state="ACCEPTED")
    before = (await shop.orders.ShipOrder(ship(order_id, (first, 2)))).order
    for quantity in (2, 10_000):
        with refused(
            ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED,
            product_id=first,
            quantity=str(quantity),
            limit="1",
        ):
            await shop.orders.ShipOrder(ship(order_id, (second, 1), (first, quantity)))
    assert await order_of(shop, order_id) == before


async def test_refuses_a_product_that_the_order_does_not_hold(shop):
    order_id, product = await shop.order(state="ACCEPTED"), await shop.product()
    with refused(ErrorReason.ERROR_REASON_ORDER_LINE_NOT_FOUND, product_id=product):
        await shop.orders.ShipOrder(ship(order_id, (product, 1)))
    assert await state_of(shop, order_id) == "ACCEPTED"


async def test_refuses_to_send_when_nothing_is_left(shop):
    product = await shop.product()
    order_id = await shop.order([(product, 2)], state="SHIPPED")
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="ship", state="SHIPPED"):
        await shop.orders.ShipOrder(ship(order_id))
    with refused(ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED, limit="0"):
        await shop.orders.ShipOrder(ship(order_id, (product, 1)))


@pytest.mark.parametrize("state", ["PENDING", "CONFIRMED", "DELIVERED", "CANCELLED", "PAYMENT_FAILED"])
async def test_refuses_an_order_that_is_not_accepted_or_has_ended_and_changes_nothing(shop, state):
    order_id = await shop.order(method="pm_sandbox_slow" if state == "PENDING" else "", state=state)
    before = len(await shop.published(OrderShipped))
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="ship"):
        await shop.orders.ShipOrder(ship(order_id))
    assert len(await shop.published(OrderShipped)) == before
    if state != "PENDING":
        assert await state_of(shop, order_id) == state


async def test_repeated_with_one_request_id_is_one_parcel(shop):
    product = await shop.product()
    order_id, request = await shop.order([(product, 5)], state="ACCEPTED"), new_id()
    replies = await asyncio.gather(
        *(shop.orders.ShipOrder(ship(order_id, (product, 1), request_id=request)) for _ in range(10))
    )
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert len((await order_of(shop, order_id)).shipments) == 1
    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await shop.orders.ShipOrder(ship(order_id, (product, 2), request_id=request))


async def test_parcels_sent_at_once_never_hold_more_than_was_bought(shop):
    product = await shop.product(stock=100)
    for _ in range(5):
        order_id = await shop.order([(product, 7)], state="ACCEPTED")
        outcomes = await asyncio.gather(
            *(shop.orders.ShipOrder(ship(order_id, (product, 2))) for _ in range(6)), return_exceptions=True
        )
        order = await order_of(shop, order_id)
        assert [units(parcel) for parcel in order.shipments] == [{product: 2}] * 3
        assert shipped(order) == {product: 6}
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                with refused(ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED, limit="1"):
                    raise outcome


async def test_racing_a_cancellation_exactly_one_of_them_holds(shop):
    product, customer = await shop.product(stock=100), await shop.customer()
    orders = await asyncio.gather(
        *(shop.order([(product, 1)], customer=customer, state="ACCEPTED") for _ in range(20))
    )
    for number, order_id in enumerate(orders):
        asks = [shop.orders.ShipOrder(ship(order_id)), shop.orders.CancelOrder(cancel(order_id))]
        if number % 2:
            asks.reverse()
        outcomes = await asyncio.gather(*asks, return_exceptions=True)
        (loser,) = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
        (winner,) = [each for each in outcomes if not isinstance(each, BaseException)]
        order = await order_of(shop, order_id)
        assert order == winner.order
        assert (name(order.state), len(order.shipments)) in (("SHIPPED", 1), ("CANCELLED", 0))
        with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, state=name(order.state)):
            raise loser
    told = await shop.published(OrderShipped, OrderCancelled)
    assert sorted(event.order.order_id for event in told) == sorted(orders)


async def test_names_what_is_wrong_with_a_request(shop):
    product = new_id()
    for request, field in (
        (ship(new_id(), (product, 1), (product.upper(), 1)), "lines"),
        (ship(new_id(), (product, 0)), "lines[0].quantity"),
        (ship(new_id(), ("no uuid", 1)), "lines[0].product_id"),
        (ship(new_id(), carrier="x" * 101), "carrier"),
        (ship("no uuid"), "order_id"),
    ):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
            await shop.orders.ShipOrder(request)
        assert set(said.violations) == {field}


async def test_refuses_an_order_of_another_store_like_a_missing_one(shop):
    order_id = await shop.order()
    for by, asked in ((shop.another(), order_id), (shop, new_id())):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked):
            await by.orders.ShipOrder(ship(asked))


async def test_refuses_its_customer_and_a_courier(shop):
    customer = await shop.customer()
    for by, role in (
        (shop.as_("customer", customer_id=customer), "CUSTOMER"),
        (courier(shop, "kim"), "COURIER"),
    ):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role=role):
            await by.orders.ShipOrder(ship(new_id()))
