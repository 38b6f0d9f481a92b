from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderShipped

from tests.order.asks import name, ship, state_of
from tests.shop import new_id, refused


async def test_moves_an_order_that_is_accepted_to_shipped_and_says_so(shop):
    order_id = await shop.order(state="ACCEPTED")
    order = (await shop.orders.ShipOrder(ship(order_id))).order
    assert name(order.state) == "SHIPPED"
    (event,) = await shop.published(OrderShipped)
    assert (event.order.order_id, event.order.sequence) == (order_id, order.sequence)


async def test_refuses_an_order_that_has_ended_and_changes_nothing(shop):
    order_id = await shop.order(state="PAYMENT_FAILED")
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="ship", state="PAYMENT_FAILED"):
        await shop.orders.ShipOrder(ship(order_id))
    assert await state_of(shop, order_id) == "PAYMENT_FAILED"
    assert await shop.published(OrderShipped) == []


async def test_refuses_an_order_of_another_store_like_a_missing_one(shop):
    order_id = await shop.order()
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id):
        await shop.another().orders.ShipOrder(ship(order_id))


async def test_refuses_its_customer(shop):
    customer = await shop.customer()
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="CUSTOMER"):
        await shop.as_("customer", customer_id=customer).orders.ShipOrder(ship(new_id()))
