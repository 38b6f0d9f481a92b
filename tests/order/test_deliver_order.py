import asyncio

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderDelivered, OrderParcelDelivered
from commerce.order.v1.order_pb2 import ShipmentStatus

from tests.order.asks import courier, deliver, given_back, name, order_of, ship, state_of, steps_of, take_back
from tests.shop import new_id, refused

ON_THE_WAY = ShipmentStatus.SHIPMENT_STATUS_SHIPPED
AT_THE_DOOR = ShipmentStatus.SHIPMENT_STATUS_DELIVERED


async def sent(shop, *couriers, unsent=0):
    """An order with one unit on its way for each courier, and some that were not sent yet; and its parcels."""
    product = await shop.product(stock=20)
    order_id = await shop.order([(product, len(couriers) + unsent)], state="ACCEPTED")
    for each in couriers:
        await shop.orders.ShipOrder(ship(order_id, (product, 1), courier_id=each))
    order = await order_of(shop, order_id)
    return order_id, [parcel.shipment_id for parcel in order.shipments]


def statuses(order):
    return [parcel.status for parcel in order.shipments]


async def test_moves_an_order_that_is_shipped_to_delivered_and_says_so(shop):
    order_id = await shop.order(state="SHIPPED")
    order = (await shop.orders.DeliverOrder(deliver(order_id))).order
    assert name(order.state) == "DELIVERED"
    (parcel,) = order.shipments
    assert parcel.status == AT_THE_DOOR
    assert parcel.ship_time.ToNanoseconds() < parcel.deliver_time.ToNanoseconds()
    assert await order_of(shop, order_id) == order
    told = await shop.published(OrderParcelDelivered, OrderDelivered)
    assert {(event.order.order_id, event.order.sequence) for event in told} == {(order_id, order.sequence)}
    assert sorted(getattr(event, "shipment_id", "whole") for event in told) == [parcel.shipment_id, "whole"]


async def test_parcel_by_parcel_the_last_one_delivers_the_order(shop):
    order_id, (first, second, third) = await sent(shop, "", "", "")
    seen = []
    for parcel in (second.upper(), third, first):
        order = (await shop.orders.DeliverOrder(deliver(order_id, parcel))).order
        seen.append((name(order.state), statuses(order)))
    assert seen == [
        ("SHIPPED", [ON_THE_WAY, AT_THE_DOOR, ON_THE_WAY]),
        ("SHIPPED", [ON_THE_WAY, AT_THE_DOOR, AT_THE_DOOR]),
        ("DELIVERED", [AT_THE_DOOR] * 3),
    ]
    assert (await steps_of(shop, order_id))[-3:] == ["deliver_parcel", "deliver_parcel", "deliver"]
    parcels = await shop.published(OrderParcelDelivered)
    assert [event.shipment_id for event in parcels] == [second, third, first]
    assert len(await shop.published(OrderDelivered)) == 1


async def test_is_not_whole_while_a_unit_was_not_sent(shop):
    order_id, _ = await sent(shop, "", "", unsent=1)
    order = (await shop.orders.DeliverOrder(deliver(order_id))).order
    assert (name(order.state), statuses(order)) == ("SHIPPED", [AT_THE_DOOR] * 2)
    assert len(await shop.published(OrderParcelDelivered)) == 2
    assert await shop.published(OrderDelivered) == []

    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="deliver", state="SHIPPED"):
        await shop.orders.DeliverOrder(deliver(order_id))
    await shop.orders.ShipOrder(ship(order_id))
    await shop.orders.DeliverOrder(deliver(order_id))
    assert await state_of(shop, order_id) == "DELIVERED"


async def test_a_courier_delivers_their_own_and_no_others(shop):
    order_id, (first, second, third) = await sent(shop, "kim", "sam", "kim")
    kim = courier(shop, "kim")
    with refused(ErrorReason.ERROR_REASON_SHIPMENT_NOT_FOUND, shipment_id=second):
        await kim.orders.DeliverOrder(deliver(order_id, second))

    order = (await kim.orders.DeliverOrder(deliver(order_id))).order

    assert statuses(order) == [AT_THE_DOOR, ON_THE_WAY, AT_THE_DOOR]
    assert [event.shipment_id for event in await shop.published(OrderParcelDelivered)] == [first, third]
    assert order.payment_method == order.payment_id == ""
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="deliver", state="SHIPPED"):
        await kim.orders.DeliverOrder(deliver(order_id))
    await courier(shop, "sam").orders.DeliverOrder(deliver(order_id, second))
    order = await order_of(shop, order_id)
    assert name(order.state) == "DELIVERED"
    assert order.payment_method and order.payment_id


async def test_a_courier_without_a_parcel_of_it_is_answered_as_if_there_were_no_order(shop):
    order_id, (first, _) = await sent(shop, "kim", "")
    missing = new_id()
    answers = []
    for by, asked, parcel in (
        (courier(shop, "sam"), order_id, first),
        (courier(shop, "sam"), order_id, ""),
        (courier(shop, "sam"), missing, ""),
        (courier(shop.another(), "kim"), order_id, first),
        (courier(shop, ""), order_id, ""),
    ):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked) as said:
            await by.orders.DeliverOrder(deliver(asked, parcel))
        answers.append(said.message.replace(asked, "ID"))
    assert len(set(answers)) == 1
    assert await shop.published(OrderParcelDelivered) == []


async def test_twice_is_the_same_reply_by_one_request_id_and_refused_by_another(shop):
    (order_id, (first, _)), request = await sent(shop, "", ""), new_id()
    replies = await asyncio.gather(
        *(shop.orders.DeliverOrder(deliver(order_id, first, request)) for _ in range(10))
    )
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="deliver", state="SHIPPED"):
        await shop.orders.DeliverOrder(deliver(order_id, first))
    assert len(await shop.published(OrderParcelDelivered)) == 1


async def test_refuses_a_parcel_of_another_order_like_a_missing_one(shop):
    order_id, _ = await sent(shop, "")
    _, (foreign,) = await sent(shop, "")
    for shipment_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_SHIPMENT_NOT_FOUND, shipment_id=shipment_id):
            await shop.orders.DeliverOrder(deliver(order_id, shipment_id))


async def test_racing_for_the_last_parcels_the_order_is_delivered_once(shop):
    for _ in range(5):
        order_id, parcels = await sent(shop, "", "", "", "")
        await asyncio.gather(*(shop.orders.DeliverOrder(deliver(order_id, each)) for each in parcels))
        assert await state_of(shop, order_id) == "DELIVERED"
        assert (await steps_of(shop, order_id))[-4:] == ["deliver_parcel"] * 3 + ["deliver"]
        (event,) = await shop.published(OrderDelivered)
        assert event.order.order_id == order_id


async def test_racing_a_return_of_everything_the_order_comes_back_whole(shop):
    product, customer = await shop.product(stock=100), await shop.customer()
    orders = await asyncio.gather(
        *(shop.order([(product, 2)], customer=customer, state="SHIPPED") for _ in range(20))
    )
    for number, order_id in enumerate(orders):
        asks = [
            shop.orders.DeliverOrder(deliver(order_id)),
            shop.orders.ReturnOrder(take_back(order_id, (product, 2))),
        ]
        outcomes = await asyncio.gather(*(asks if number % 2 else reversed(asks)), return_exceptions=True)
        order = await given_back(shop, order_id)
        assert (name(order.state), order.refunded) == ("RETURNED", order.total)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                assert (await steps_of(shop, order_id))[-1] == "return"
                with refused(
                    ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="deliver", state="RETURNED"
                ):
                    raise outcome


@pytest.mark.parametrize("state", ["ACCEPTED", "DELIVERED", "PAYMENT_FAILED"])
async def test_refuses_an_order_that_is_not_on_its_way_and_changes_nothing(shop, state):
    order_id = await shop.order(state=state)
    before = len(await shop.published(OrderDelivered))
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="deliver", state=state):
        await shop.orders.DeliverOrder(deliver(order_id))
    assert await state_of(shop, order_id) == state
    assert len(await shop.published(OrderDelivered)) == before


async def test_names_an_id_that_is_no_uuid(shop):
    for request, field in ((deliver("no uuid"), "order_id"), (deliver(new_id(), "no uuid"), "shipment_id")):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
            await shop.orders.DeliverOrder(request)
        assert set(said.violations) == {field}


async def test_refuses_an_order_of_another_store_like_a_missing_one(shop):
    order_id = await shop.order()
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id):
        await shop.another().orders.DeliverOrder(deliver(order_id))


async def test_refuses_its_customer(shop):
    customer = await shop.customer()
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="CUSTOMER"):
        await shop.as_("customer", customer_id=customer).orders.DeliverOrder(deliver(new_id()))
