"""Whatever one store's buyers do, another store's orders are taken, and come to their end before the flood has."""

import asyncio

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import OrderState, OrderUpdate
from commerce.order.v1.order_service_pb2 import GetOrderRequest, WatchOrderRequest

from services.order.hand import UNDRIVEN_OF_CUSTOMER
from tests.bench.replay import Connection, head
from tests.order.asks import create, steps_of
from tests.order.conftest import UNDER_WAY
from tests.order.operations import stopped
from tests.shop import Reply, eventually, refused

OVERLOADED = ErrorReason.ERROR_REASON_OVERLOADED


async def placed(requests, orders, at_once=48):
    """The ids of the orders that were taken, and how many were refused as too many; nothing else may happen."""
    taken, refusals, gate = [], 0, asyncio.Semaphore(at_once)

    async def place(request):
        nonlocal refusals
        async with gate:
            try:
                taken.append((await orders.CreateOrder(request)).order.order_id)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
                refusals += 1

    await asyncio.gather(*(place(request) for request in requests))
    return taken, refusals


async def stall(shop):
    product, customer = await shop.product(stock=5000), await shop.customer()
    # Nobody can be asked for it while the catalog is stopped.
    await eventually(lambda: shop.clients.rows('SELECT FROM "order".products WHERE product_id = $1', product))
    return lambda method="pm_sandbox_ok": create(shop, customer, (product, 1), method=method), customer


async def unfinished(shop):
    rows = await shop.clients.rows(
        'SELECT count(*) AS orders FROM "order".orders WHERE store_id = $1 AND state <> $2',
        shop.store_id,
        OrderState.ORDER_STATE_CONFIRMED,
    )
    return rows[0]["orders"]


async def test_a_store_whose_orders_fill_its_share_is_refused_and_another_stores_orders_are_taken(hurried):
    a, b = hurried, hurried.another()
    (order_of_a, _), (order_of_b, _) = await stall(a), await stall(b)
    with stopped(a, "catalog"):
        taken, refusals = await placed((order_of_a() for _ in range(3 * UNDER_WAY)), a.orders, at_once=5)
        assert UNDER_WAY <= len(taken) < UNDER_WAY + 5
        assert refusals

        others, refused_of_b = await placed((order_of_b() for _ in range(12)), b.orders)
        assert (len(others), refused_of_b) == (12, 0)
        with refused(OVERLOADED):
            await a.orders.CreateOrder(order_of_a())

    for shop, orders in ((a, taken), (b, others)):
        await asyncio.gather(*(shop.until(order_id, "CONFIRMED") for order_id in orders))


async def test_a_store_has_its_first_places_though_others_have_filled_all(hurried):
    shops = [hurried, *(hurried.another() for _ in range(6))]
    stalls = [(await stall(shop))[0] for shop in shops]
    with stopped(hurried, "catalog"):
        for shop, order in zip(shops[:-1], stalls, strict=False):
            await placed((order() for _ in range(UNDER_WAY + 20)), shop.orders, at_once=5)

        taken, refusals = await placed((stalls[-1]() for _ in range(5)), shops[-1].orders)

    assert (len(taken), refusals) == (5, 0)
    await asyncio.gather(*(shops[-1].until(order_id, "CONFIRMED") for order_id in taken))


async def test_one_customer_has_few_orders_under_way_and_other_customers_of_the_store_are_served(shop):
    order, customer = await stall(shop)
    mine = shop.as_("customer", customer)

    taken, refusals = await placed((order("pm_sandbox_slow") for _ in range(96)), mine.orders, at_once=12)

    # Some were paid for while the last were being placed.
    assert UNDRIVEN_OF_CUSTOMER <= len(taken) < 96
    assert refusals
    other, another = await stall(shop)
    reply = await shop.as_("customer", another).orders.CreateOrder(other())
    await shop.until(reply.order.order_id, "CONFIRMED")


async def test_orders_of_another_store_are_confirmed_while_a_flood_of_slow_ones_is_still_being_paid(shop):
    a, b = shop, shop.another()
    (slow, _), (order, _) = await stall(a), await stall(b)
    flood, refusals = await placed((slow("pm_sandbox_slow") for _ in range(300)), a.orders)
    assert not refusals

    async def bought():
        reply = await b.orders.CreateOrder(order())
        await b.until(reply.order.order_id, "CONFIRMED")

    # At once: a busy machine would come to the end of the flood before one after the other.
    await asyncio.gather(*(bought() for _ in range(5)))

    assert await unfinished(a) > 48, "the flood had ended: this shows nothing"
    await asyncio.gather(*(a.until(order_id, "CONFIRMED") for order_id in flood))


async def test_a_store_whose_provider_is_silent_waits_alone(shop):
    """Its payments time out until the provider is left alone for it; the same provider takes other stores'."""
    a, b = shop, shop.another()
    (silent, _), (order, _) = await stall(a), await stall(b)
    flood, refusals = await placed((silent("pm_sandbox_silent_before") for _ in range(64)), a.orders)
    assert not refusals
    await eventually(lambda: are_unknown(a, 16))

    for _ in range(8):
        reply = await b.orders.CreateOrder(order())
        await b.until(reply.order.order_id, "CONFIRMED")
        assert await steps_of(b, reply.order.order_id) == ["create", "reserve", "authorize"]

    await asyncio.gather(*(a.until(order_id, "CONFIRMED") for order_id in flood))


async def are_unknown(shop, number):
    rows = await shop.clients.rows(
        'SELECT 1 FROM "order".orders WHERE store_id = $1 AND state = $2',
        shop.store_id,
        OrderState.ORDER_STATE_PAYMENT_UNKNOWN,
    )
    return len(rows) >= number


async def test_watches_past_what_one_connection_to_a_service_carries_go_over_others(shop):
    order_id = await shop.order(until="CONFIRMED")
    gateway = shop.clients.cluster.gateway_url.removeprefix("http://")
    request = WatchOrderRequest(order_id=order_id).SerializeToString()
    # The gateway takes a hundred calls a connection; the service a thousand, and so many of one caller.
    connections = [await Connection.to(gateway) for _ in range(13)]
    told: list[bytes | None] = []
    for number, connection in enumerate(connections):
        token = (shop.token, shop.as_("store_manager").token)[number % 2] or ""
        headers = head(gateway, "commerce.order.v1.OrderService/WatchOrder", token)
        for _ in range(96):
            connection.call(headers, request, told.append)

    async def all_told():
        for connection in connections:
            connection.check()
        return len(told) == 13 * 96

    await eventually(all_told)
    reply = await shop.at(gateway).orders.GetOrder(GetOrderRequest(order_id=order_id))
    assert reply.order.order_id == order_id
    for connection in connections:
        connection.close()
    assert {OrderUpdate.FromString(message or b"").order_id for message in told} == {order_id}


async def test_whoever_is_told_to_come_back_is_told_when_in_http_too(shop):
    order_id = await shop.order(until="CONFIRMED")
    path = f"/v1/orders/{order_id}"
    customer = (await shop.orders.GetOrder(GetOrderRequest(order_id=order_id))).order.customer_id
    replies: list[Reply] = []
    while not replies or 429 not in {reply.status for reply in replies}:
        assert len(replies) < 5000
        token = shop.as_("customer", customer).token
        replies += await asyncio.gather(*(shop.rest("GET", path, token=token) for _ in range(100)))

    assert {reply.status for reply in replies} == {200, 429}
    for reply in replies:
        assert reply.status == 200 or int(reply.headers["retry-after"]) >= 1
    assert (await shop.rest("GET", path)).status == 200
