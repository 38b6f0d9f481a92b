"""A stream ends with its token, whatever it tells of, and is opened again with a new one where it left off."""

import asyncio
import time

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_service_pb2 import (
    CancelOrderRequest,
    WatchOrderRequest,
    WatchStoreOrdersRequest,
)

from tests.edge.answers import of_grpc
from tests.edge.contract import closed
from tests.shop import WAIT_SECONDS, new_id, refused

LIFETIME_SECONDS = 2
STAYING = [rpc for rpc in closed() if rpc.method.server_streaming and rpc.name.startswith("Watch")]


def brief(shop, seconds=LIFETIME_SECONDS):
    """The shop's administrator with a token that does not last."""
    return shop.with_token(shop.clients.cluster.token("store_admin", shop.store_id, lifetime=seconds))


async def ended(shop, rpc, request):
    """How a stream ends."""
    channel = shop.clients.channel(shop.address or shop.clients.cluster.address(rpc.code))
    call = channel.unary_stream(rpc.path)(request, metadata=(("authorization", f"Bearer {shop.token}"),))
    with pytest.raises(grpc.aio.AioRpcError) as end:
        async for _ in call:
            pass
    return of_grpc(end.value)


def test_there_are_streams_to_try():
    assert {rpc.name for rpc in STAYING} >= {"WatchOrder", "WatchStoreOrders", "WatchStock"}


@pytest.mark.parametrize("rpc", STAYING, ids=lambda rpc: rpc.name)
@pytest.mark.parametrize("way", ["service", "gateway"])
async def test_a_stream_ends_when_its_token_does(shop, gateway, rpc, way):
    product_id = await shop.product()
    order_id = await shop.order([(product_id, 1)], until="CONFIRMED")
    request = rpc.request(store_id=shop.store_id, order_id=order_id, product_id=product_id)
    begun = time.monotonic()
    at = brief(shop) if way == "service" else brief(shop).at(gateway)

    async with asyncio.timeout(WAIT_SECONDS):
        end = await ended(at, rpc, request.SerializeToString())

    assert (end.reason, end.metadata) == ("UNAUTHENTICATED", {"cause": "the token has expired"})
    # The whole seconds of `exp` may take away one.
    assert time.monotonic() - begun > LIFETIME_SECONDS - 1.1


async def test_what_happens_after_the_end_is_told_to_who_comes_back_with_a_new_token(shop):
    # Long enough to open it on a machine that is busy.
    watch = brief(shop, 2 * LIFETIME_SECONDS).orders.WatchStoreOrders(
        WatchStoreOrdersRequest(store_id=shop.store_id)
    )
    first = await watch.read()
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED, cause="the token has expired"):
        await watch.read()

    order_id = await shop.order(until="CONFIRMED")

    again = shop.orders.WatchStoreOrders(
        WatchStoreOrdersRequest(store_id=shop.store_id, resume_token=first.resume_token)
    )
    update = await again.read()
    again.cancel()
    assert (update.order_id, update.sequence) == (order_id, 1)


async def test_another_stream_of_the_same_order_goes_on(shop):
    order_id = await shop.order(until="CONFIRMED")
    stays = asyncio.create_task(shop.until(order_id, "CANCELLED"))
    ends = brief(shop, 1).orders.WatchOrder(WatchOrderRequest(order_id=order_id))

    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        async for _ in ends:
            pass

    await shop.orders.CancelOrder(
        CancelOrderRequest(order_id=order_id, reason="changed my mind", request_id=new_id())
    )
    await stays


async def test_a_token_that_has_just_expired_opens_no_stream(shop):
    """A call has a leeway for clocks that differ; a stream that took it would end at once."""
    shop_of_before = brief(shop, -2)
    order_id = await shop.order(until="CONFIRMED")

    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED, cause="the token has expired"):
        await shop_of_before.orders.WatchOrder(WatchOrderRequest(order_id=order_id)).read()
