"""More orders than can be carried forward are refused at once, and those that were taken are not held up by them."""

import asyncio

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import OrderState

from services.order.driver import AUTHORIZING
from tests.order.asks import create
from tests.order.conftest import UNDER_WAY
from tests.order.operations import stopped
from tests.shop import eventually, refused

MANY, AT_ONCE = 4 * UNDER_WAY, 10


async def test_a_catalog_that_does_not_answer_has_orders_refused_and_those_taken_confirmed_later(hurried):
    shop = hurried
    product, customer = await shop.product(stock=1000), await shop.customer()
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")
    taken, overloaded, gate = [], 0, asyncio.Semaphore(AT_ONCE)

    async def place():
        nonlocal overloaded
        request = create(shop, customer, (product, 1))
        try:
            async with gate:
                taken.append((await shop.orders.CreateOrder(request)).order.order_id)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
            overloaded += 1

    with stopped(shop, "catalog"):
        await asyncio.gather(*(place() for _ in range(MANY)))
        # Those that are being placed are not under way yet.
        assert UNDER_WAY <= len(taken) < UNDER_WAY + AT_ONCE
        assert overloaded == MANY - len(taken)
        # Also when they are in nobody's hand, but put back.
        await eventually(lambda: have_failed(shop, taken))
        for _ in range(20):
            with refused(ErrorReason.ERROR_REASON_OVERLOADED) as said:
                await shop.orders.CreateOrder(create(shop, customer, (product, 1)))
            assert said.retry_seconds
            await asyncio.sleep(0.05)

    await asyncio.gather(*(shop.until(order_id, "CONFIRMED") for order_id in taken))
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")


async def test_orders_that_wait_for_their_customers_are_not_counted(hurried):
    shop = hurried
    product, customer = await shop.product(stock=1000), await shop.customer()

    async def one():
        await shop.order([(product, 1)], "pm_sandbox_requires_action", customer, until="AWAITING_CUSTOMER")

    for _ in range(3):
        await asyncio.gather(*(one() for _ in range(UNDER_WAY // 2)))
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")


async def have_failed(shop, orders):
    rows = await shop.clients.rows(
        """SELECT 1 FROM "order".orders WHERE order_id = ANY($1::uuid[]) AND attempts > 0""", orders
    )
    return len(rows) == len(orders)


async def test_orders_are_refused_while_those_before_them_wait_for_long_to_be_paid_though_they_are_few(shop):
    product, customers = await shop.product(stock=1000), [await shop.customer() for _ in range(8)]
    await shop.order([(product, 1)], customer=customers[0], until="CONFIRMED")
    requests = [create(shop, customers[n % 8], (product, 1)) for n in range(2 * AUTHORIZING)]

    async def place(request):
        return (await shop.orders.CreateOrder(request)).order.order_id

    with stopped(shop, "payment"):
        # It is asked for some of them; the others wait behind those.
        orders = await asyncio.gather(*(place(request) for request in requests))
        await eventually(lambda: is_refused(shop, create(shop, customers[0], (product, 1))))

    await eventually(lambda: are_confirmed(shop, orders), seconds=120)
    await shop.order([(product, 1)], customer=customers[0], until="CONFIRMED")


async def are_confirmed(shop, orders):
    confirmed = OrderState.ORDER_STATE_CONFIRMED
    rows = await shop.clients.rows(
        'SELECT 1 FROM "order".orders WHERE order_id = ANY($1::uuid[]) AND state = $2', orders, confirmed
    )
    return len(rows) == len(orders)


async def is_refused(shop, request):
    try:
        await shop.orders.CreateOrder(request)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
        return True
    return False
