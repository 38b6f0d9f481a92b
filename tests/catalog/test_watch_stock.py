"""WatchStock."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from commerce.catalog.v1.stock_service_pb2 import SetStockRequest, WatchStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderAccepted, OrderReturned
from commerce.order.v1.order_pb2 import OrderReturn, ReturnLine

from tests.catalog.orders import adjust, commit, held, new_id, release, stock, too_late
from tests.shop import WAIT_SECONDS, refused


@pytest.fixture
def shop(replicas):
    return replicas[0]


@asynccontextmanager
async def watching(shop, product_id):
    """A function that reads the watch's next message that is no sign of life."""
    call = shop.stock.WatchStock(WatchStockRequest(product_id=product_id), timeout=WAIT_SECONDS)

    async def following():
        while (update := await call.read()).bookmark:
            pass
        return update

    try:
        yield following
    finally:
        call.cancel()


def figures(update):
    return update.on_hand, update.reserved, update.available


async def test_begins_with_the_stock_as_it_is(shop):
    product_id = await shop.product(stock=5)
    await held(shop, (product_id, 2))

    async with watching(shop, product_id) as following:
        update = await following()

    assert update.product_id == product_id
    assert figures(update) == (5, 2, 3)


async def test_tells_the_stock_after_each_change(shop, tell):
    product_id = await shop.product(stock=5)

    async with watching(shop, product_id) as following:
        updates = [await following()]
        order_id = await held(shop, (product_id, 2))
        updates.append(await following())
        await tell(OrderAccepted, order_id)
        updates.append(await following())
        line = ReturnLine(product_id=product_id, quantity=1, restock=True)
        await tell(OrderReturned, order_id, returned=OrderReturn(lines=[line]))
        updates.append(await following())
        await adjust(shop, product_id, -1)
        updates.append(await following())
        await shop.stock.SetStock(SetStockRequest(product_id=product_id, quantity=8, request_id=new_id()))
        updates.append(await following())
        await held(shop, (product_id, 4), expire_time=too_late())
        updates.append(await following())
        updates.append(await following())

    assert [figures(update) for update in updates] == [
        (5, 0, 5),
        (5, 2, 3),
        (3, 0, 3),
        (4, 0, 4),
        (3, 0, 3),
        (8, 0, 8),
        (8, 4, 4),
        (8, 0, 8),
    ]
    versions = [update.version for update in updates]
    assert versions == sorted(set(versions))


async def test_hears_of_changes_that_another_replica_made(replicas):
    watcher, other = replicas
    product_id = await watcher.product(stock=5)

    async with watching(watcher, product_id) as following:
        await following()
        await adjust(other, product_id, 3)
        update = await following()

    assert figures(update) == (8, 0, 8)


async def test_the_version_only_grows_and_the_last_word_is_right_whatever_happens_at_once(replicas):
    shop = replicas[0]
    product_id = await shop.product(stock=1000)

    async def seen(watcher):
        async with watching(watcher, product_id) as following:
            updates = [await following()]
            started.release()
            while updates[-1].on_hand != 7:
                updates.append(await following())
        return updates

    started = asyncio.Semaphore(0)
    watchers = [asyncio.create_task(seen(replicas[n % 2])) for n in range(10)]
    for _ in watchers:
        await started.acquire()

    async def change(buyer):
        order_id = await held(buyer, (product_id, 2))
        await commit(buyer, order_id)
        await release(buyer, order_id)

    await asyncio.gather(*(change(replicas[n % 2]) for n in range(30)))
    await shop.stock.SetStock(SetStockRequest(product_id=product_id, quantity=7, request_id=new_id()))

    for updates in await asyncio.gather(*watchers):
        versions = [update.version for update in updates]
        assert versions == sorted(set(versions))
        assert all(update.available == update.on_hand - update.reserved for update in updates)
        assert figures(updates[-1]) == await stock(shop, product_id)


async def test_a_quiet_watch_repeats_its_figures_as_a_sign_of_life(shop):
    product_id = await shop.product(stock=5)
    call = shop.stock.WatchStock(WatchStockRequest(product_id=product_id), timeout=WAIT_SECONDS)

    first, second, third = [await call.read() for _ in range(3)]
    call.cancel()

    assert (first.bookmark, second.bookmark, third.bookmark) == (False, True, True)
    assert figures(second) == figures(third) == figures(first) == (5, 0, 5)
    assert second.version == first.version


async def test_is_served_to_browsers_as_events(shop):
    product_id = await shop.product(stock=5)
    headers = {"authorization": f"Bearer {shop.token}"}

    path = f"/v1/products/{product_id}/stock:watch"
    async with shop.clients.http.get(path, headers=headers) as answer:
        line = await answer.content.readline()

    assert answer.content_type == "text/event-stream"
    assert json.loads(line.removeprefix(b"data: "))["available"] == 5


async def test_customers_may_watch(shop):
    product_id = await shop.product(stock=5)

    async with watching(shop.as_("customer", new_id()), product_id) as following:
        assert figures(await following()) == (5, 0, 5)


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product()

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            async with watching(shop, product_id) as following:
                await following()
