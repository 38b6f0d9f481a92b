import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import assign, courier, deliver, get, name, order_of, ship, steps_of
from tests.shop import new_id, refused


async def sent(shop, **given):
    """An order whose two units are on their way, each in a parcel of its own, and the parcels."""
    product = await shop.product()
    order_id = await shop.order([(product, 2)], state="ACCEPTED")
    await shop.orders.ShipOrder(ship(order_id, (product, 1), **given))
    order = (await shop.orders.ShipOrder(ship(order_id, **given))).order
    return order_id, [parcel.shipment_id for parcel in order.shipments]


async def test_gives_a_parcel_to_a_courier_and_is_on_the_timeline(shop):
    order_id, (first, second) = await sent(shop)
    order = (await shop.orders.AssignCourier(assign(order_id, second.upper(), "kim"))).order
    assert [(each.shipment_id, each.courier_id) for each in order.shipments] == [(first, ""), (second, "kim")]
    assert name(order.state) == "SHIPPED"
    assert await order_of(shop, order_id) == order
    assert (await steps_of(shop, order_id))[-1] == "assign_courier"


async def test_given_to_another_the_first_sees_nothing_of_it_any_more(shop):
    order_id, (_, second) = await sent(shop, courier_id="kim")
    before = await courier(shop, "kim").orders.GetOrder(get(order_id))
    for parcel in before.order.shipments:
        await shop.orders.AssignCourier(assign(order_id, parcel.shipment_id, "sam"))

    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id):
        await courier(shop, "kim").orders.GetOrder(get(order_id))
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id):
        await courier(shop, "kim").orders.DeliverOrder(deliver(order_id, second))
    reply = await courier(shop, "sam").orders.DeliverOrder(deliver(order_id))
    assert name(reply.order.state) == "DELIVERED"


async def test_refuses_a_parcel_of_another_order_like_a_missing_one(shop):
    order_id, _ = await sent(shop)
    _, (foreign, _) = await sent(shop)
    for shipment_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_SHIPMENT_NOT_FOUND, shipment_id=shipment_id):
            await shop.orders.AssignCourier(assign(order_id, shipment_id, "kim"))


async def test_refuses_a_parcel_that_was_delivered(shop):
    order_id, (first, second) = await sent(shop, courier_id="kim")
    await shop.orders.DeliverOrder(deliver(order_id, first))
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="assign_courier", state="SHIPPED"):
        await shop.orders.AssignCourier(assign(order_id, first, "sam"))
    await shop.orders.DeliverOrder(deliver(order_id, second))
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="assign_courier", state="DELIVERED"):
        await shop.orders.AssignCourier(assign(order_id, second, "sam"))


@pytest.mark.parametrize("state", ["ACCEPTED", "CANCELLED"])
async def test_refuses_an_order_that_was_not_sent(shop, state):
    order_id = await shop.order(state=state)
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="assign_courier", state=state):
        await shop.orders.AssignCourier(assign(order_id, new_id(), "kim"))


async def test_repeated_with_one_request_id_is_one_assignment(shop):
    (order_id, (first, _)), request = await sent(shop), new_id()
    replies = [await shop.orders.AssignCourier(assign(order_id, first, "kim", request)) for _ in range(2)]
    assert replies[0] == replies[1]
    assert (await steps_of(shop, order_id)).count("assign_courier") == 1


async def test_names_what_is_wrong_with_a_request(shop):
    for request, field in (
        (assign(new_id(), new_id(), ""), "courier_id"),
        (assign(new_id(), new_id(), "x" * 101), "courier_id"),
        (assign(new_id(), "", "kim"), "shipment_id"),
        (assign("no uuid", new_id(), "kim"), "order_id"),
    ):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
            await shop.orders.AssignCourier(request)
        assert set(said.violations) == {field}


async def test_refuses_an_order_of_another_store_like_a_missing_one(shop):
    order_id, (first, _) = await sent(shop)
    for by, asked in ((shop.another(), order_id), (shop, new_id())):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked):
            await by.orders.AssignCourier(assign(asked, first, "kim"))


async def test_refuses_couriers_and_customers(shop):
    customer = await shop.customer()
    for by, role in (
        (shop.as_("customer", customer_id=customer), "CUSTOMER"),
        (courier(shop, "kim"), "COURIER"),
    ):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role=role):
            await by.orders.AssignCourier(assign(new_id(), new_id(), "kim"))
