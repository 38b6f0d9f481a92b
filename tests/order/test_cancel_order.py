import asyncio

import grpc
import pytest
from commerce.catalog.v1.stock_service_pb2 import GetStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderPaymentFailed

from tests.order.asks import accept, cancel, create, get, name, state_of
from tests.shop import eventually, new_id, refused


async def stock(shop, product):
    found = await shop.stock.GetStock(GetStockRequest(product_id=product))
    return found.on_hand, found.reserved


async def test_a_confirmed_order_gives_its_units_and_its_money_back(shop):
    product = await shop.product(stock=3)
    order_id = await shop.order([(product, 2)], until="CONFIRMED")
    assert await stock(shop, product) == (3, 2)

    order = (await shop.orders.CancelOrder(cancel(order_id))).order

    assert (name(order.state), order.reason) == ("CANCELLED", "changed my mind")
    await eventually(lambda: has(shop, product, (3, 0)))
    await eventually(lambda: paid(shop, order.payment_id, "VOIDED"))


async def test_an_accepted_order_is_refunded_and_restocked(shop):
    product = await shop.product(stock=3)
    order_id = await shop.order([(product, 2)], state="ACCEPTED")
    payment_id = (await shop.orders.GetOrder(get(order_id))).order.payment_id
    await eventually(lambda: has(shop, product, (1, 0)))
    await eventually(lambda: paid(shop, payment_id, "CAPTURED"))

    await shop.orders.CancelOrder(cancel(order_id))

    await eventually(lambda: has(shop, product, (3, 0)))
    await eventually(lambda: paid(shop, payment_id, "REFUNDED"))


@pytest.mark.parametrize("state", ["SHIPPED", "DELIVERED", "PAYMENT_FAILED", "CANCELLED"])
async def test_refuses_an_order_that_has_shipped_or_ended_and_changes_nothing(shop, state):
    order_id = await shop.order(state=state)
    before = len(await shop.published(OrderCancelled))
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="cancel", state=state):
        await shop.orders.CancelOrder(cancel(order_id))
    assert len(await shop.published(OrderCancelled)) == before


async def test_twice_with_one_request_id_is_one_cancellation(shop):
    order_id, request_id = await shop.order(until="CONFIRMED"), new_id()
    replies = await asyncio.gather(
        *(shop.orders.CancelOrder(cancel(order_id, request_id)) for _ in range(10))
    )
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert len(await shop.published(OrderCancelled)) == 1


async def test_racing_the_checkout_ends_cancelled_with_everything_back(shop):
    product, customer = await shop.product(stock=40), await shop.customer()
    orders = [(await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order for _ in range(40)]

    async def cancel_after(order, seconds):
        await asyncio.sleep(seconds)
        await shop.orders.CancelOrder(cancel(order.order_id))

    await asyncio.gather(*(cancel_after(order, n * 0.004) for n, order in enumerate(orders)))

    await eventually(lambda: has(shop, product, (40, 0)))
    assert {await state_of(shop, order.order_id) for order in orders} == {"CANCELLED"}


async def test_an_authorization_that_comes_after_it_moves_nothing_and_is_told_to_nobody(shop):
    order_id = await shop.order(method="pm_sandbox_slow", until="RESERVED")

    await shop.orders.CancelOrder(cancel(order_id))
    await eventually(lambda: voided(shop, order_id))
    await asyncio.sleep(0.3)  # The driver, too, has had its answer.

    assert await state_of(shop, order_id) == "CANCELLED"
    assert await shop.published(OrderConfirmed, OrderPaymentFailed) == []


async def test_racing_accept_one_of_them_is_refused_or_both_hold_in_turn(shop):
    for _ in range(10):
        order_id = await shop.order(until="CONFIRMED")
        outcomes = await asyncio.gather(
            shop.orders.AcceptOrder(accept(order_id)),
            shop.orders.CancelOrder(cancel(order_id)),
            return_exceptions=True,
        )
        assert not isinstance(outcomes[1], grpc.aio.AioRpcError)
        assert await state_of(shop, order_id) == "CANCELLED"


async def test_its_customer_may_cancel_it_but_no_other(shop):
    customer = await shop.customer()
    order_id = await shop.order(customer=customer, until="CONFIRMED")
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND):
        await shop.as_("customer", customer_id=new_id()).orders.CancelOrder(cancel(order_id))
    reply = await shop.as_("customer", customer_id=customer).orders.CancelOrder(cancel(order_id))
    assert name(reply.order.state) == "CANCELLED"


async def has(shop, product, wanted):
    return await stock(shop, product) == wanted


async def voided(shop, order_id):
    from commerce.payment.v1.payment_pb2 import PaymentState

    rows = await shop.clients.rows("SELECT state FROM payment.payments WHERE order_id = $1", order_id)
    return [row["state"] for row in rows] == [PaymentState.PAYMENT_STATE_VOIDED]


async def paid(shop, payment_id, wanted):
    from commerce.payment.v1.payment_pb2 import PaymentState
    from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest

    payment = (await shop.payments.GetPayment(GetPaymentRequest(payment_id=payment_id))).payment
    return PaymentState.Name(payment.state) == f"PAYMENT_STATE_{wanted}"
