import asyncio
import base64
import json
import time

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import OrderUpdate

from services.order.feed import Place, Tokens
from services.runtime.pages import Seals
from tests.order import bulk
from tests.order.asks import accept, cancel, create, deliver, name, ship
from tests.shop import WAIT_SECONDS, new_id, refused

DAY_SECONDS = 86_400
LIFE = ["create", "reserve", "authorize", "accept", "ship", "deliver"]


def ask(shop, token=""):
    return rpc.WatchStoreOrdersRequest(store_id=shop.store_id, resume_token=token)


async def read(shop, token="", until=1, into=None):
    """What a store's watch tells until so many messages were read."""
    stream = shop.orders.WatchStoreOrders(ask(shop, token), timeout=WAIT_SECONDS)
    found = [] if into is None else into
    async for update in stream:
        found.append(update)
        if len(found) == until:
            break
    stream.cancel()
    return found


async def now(shop):
    """The token of the bookmark that a watch begins with."""
    (bookmark,) = await read(shop)
    assert bookmark.bookmark
    return bookmark.resume_token


async def lived(shop, **given):
    """An order that goes from the beginning to the end of its life."""
    order_id = await shop.order(until="CONFIRMED", **given)
    for step, request in (("Accept", accept), ("Ship", ship), ("Deliver", deliver)):
        await getattr(shop.orders, f"{step}Order")(request(order_id))
    return order_id


async def test_begins_with_a_bookmark_and_tells_what_comes_after_it(shop):
    await shop.order(until="CONFIRMED")
    (bookmark,) = await read(shop)
    assert (bookmark.bookmark, bookmark.order_id, bookmark.sequence) == (True, "", 0)
    reading = asyncio.create_task(read(shop, until=7))
    await asyncio.sleep(0)
    order_id = await lived(shop)

    _, *updates = await reading

    assert [update.order_id for update in updates] == [order_id] * 6
    assert [update.sequence for update in updates] == [1, 2, 3, 4, 5, 6]
    assert [update.step for update in updates] == LIFE
    assert name(updates[-1].state) == "DELIVERED"
    assert all(len(update.trace_id) == 32 and update.time.seconds for update in updates)
    assert len({update.resume_token for update in updates}) == 6


async def test_goes_on_after_any_of_its_messages(shop):
    token = await now(shop)
    placed = [await lived(shop), await lived(shop)]
    told = await read(shop, token, until=12)
    assert [update.order_id for update in told] == [placed[0]] * 6 + [placed[1]] * 6

    for index, update in enumerate(told[:-1]):
        assert _seen(await read(shop, update.resume_token, until=11 - index)) == _seen(told[index + 1 :])


def _seen(updates):
    return [(update.order_id, update.sequence, update.state, update.step) for update in updates]


async def test_every_watcher_sees_the_same(shop):
    token, product, customer = await now(shop), await shop.product(stock=100), await shop.customer()
    watching = [asyncio.create_task(read(shop, token, until=40)) for _ in range(20)]
    placed = [await shop.orders.CreateOrder(create(shop, customer, (product, 1))) for _ in range(10)]
    for reply in placed:
        await shop.until(reply.order.order_id, "CONFIRMED")
        await shop.orders.CancelOrder(cancel(reply.order.order_id))

    seen = [_seen(told) for told in await asyncio.gather(*watching)]

    assert all(each == seen[0] for each in seen)
    for reply in placed:
        own = [sequence for order_id, sequence, *_ in seen[0] if order_id == reply.order.order_id]
        assert own == [1, 2, 3, 4]


async def test_a_list_after_the_first_bookmark_and_what_comes_are_everything(shop):
    """Even what was on its way when the watch began: nothing lies between the two."""
    product, customer = await shop.product(stock=100), await shop.customer()
    placing = [
        asyncio.ensure_future(shop.orders.CreateOrder(create(shop, customer, (product, 1))))
        for _ in range(20)
    ]
    token = await now(shop)
    listed = await shop.orders.ListOrders(rpc.ListOrdersRequest(store_id=shop.store_id))
    known = {order.order_id: order.sequence for order in listed.orders}
    placed = [reply.order.order_id for reply in await asyncio.gather(*placing)]

    async with asyncio.timeout(WAIT_SECONDS):
        async for update in shop.orders.WatchStoreOrders(ask(shop, token)):
            if update.sequence > known.get(update.order_id, 0):
                assert update.sequence == known.get(update.order_id, 0) + 1
                known[update.order_id] = update.sequence
            if sorted(known) == sorted(placed) and set(known.values()) == {3}:
                break


async def test_what_commits_late_is_told_in_its_place_and_what_came_after_it_waits(shop):
    """A transition is written before all others and committed after them."""
    late, product, customer = await shop.order(until="CONFIRMED"), await shop.product(), await shop.customer()
    told: list[OrderUpdate] = []
    reading = asyncio.create_task(read(shop, await now(shop), until=7, into=told))
    async with bulk.administrator(shop) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT pg_current_xact_id()")
        early = await shop.order([(product, 1)], customer=customer, until="CONFIRMED")
        await shop.orders.AcceptOrder(accept(early))
        # Its order has moved in a later transaction before: it comes after that, not before.
        await shop.orders.AcceptOrder(accept(late))
        assert await bulk.move(connection, [(late, 5)]) == 1
        await shop.orders.CancelOrder(cancel(early))
        await asyncio.sleep(0.3)  # Time enough to tell what should not be told.
        assert told == []
        await transaction.commit()
        await reading

    assert [update.sequence for update in told if update.order_id == early] == [1, 2, 3, 4, 5]
    assert [update.sequence for update in told if update.order_id == late] == [4, 5]


async def test_tells_nothing_of_another_store(shop):
    other = shop.another()
    token, others = await now(shop), await now(other)
    await lived(other)
    await lived(shop)
    assert {update.order_id for update in await read(shop, token, until=6)}.isdisjoint(
        {update.order_id for update in await read(other, others, until=6)}
    )
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await other.orders.WatchStoreOrders(ask(shop)).read()


async def test_a_browser_watches_it_as_events_of_a_server(shop):
    headers = {"authorization": f"Bearer {shop.token}"}
    path = f"/v1/stores/{shop.store_id}/orders:watch"
    async with shop.clients.http.get(path, headers=headers) as answer:
        bookmark = await _event(answer)
        assert bookmark["bookmark"] is True
        order_id = await shop.order()
        placed = await _event(answer)
        assert (placed["orderId"], placed["step"]) == (order_id, "create")
    params = {"resumeToken": bookmark["resumeToken"]}
    async with shop.clients.http.get(path, headers=headers, params=params) as answer:
        again = await _event(answer)
        assert (again["orderId"], again["step"]) == (order_id, "create")


async def _event(answer):
    async with asyncio.timeout(WAIT_SECONDS):
        while not (line := await answer.content.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
    return json.loads(line.removeprefix(b"data: "))


@pytest.mark.parametrize("role", ["customer", "courier"])
async def test_refuses_who_does_not_run_the_store(shop, role):
    customer = new_id() if role == "customer" else None
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role=role.upper()):
        await read(shop.as_(role, customer_id=customer))


async def test_whoever_runs_the_store_or_the_platform_may_watch(shop):
    for by in (shop.as_("store_manager"), shop.as_("platform_admin"), shop.as_service):
        assert (await read(by))[0].bookmark


async def test_refuses_a_token_that_is_not_one_of_this_store_and_says_what_to_do(shop):
    token, others = await now(shop), await now(shop.another())
    page = rpc.ListOrdersRequest(store_id=shop.store_id, page_size=1)
    await shop.order()
    await shop.order()
    raw = bytearray(base64.urlsafe_b64decode(token))
    raw[-20] ^= 1
    for bad in (
        others,
        base64.urlsafe_b64encode(raw).decode(),
        token[:-4],
        "x",
        "ünreadable",
        (await shop.orders.ListOrders(page)).next_page_token,
        _made(shop, feed=2**62),
    ):
        with refused(ErrorReason.ERROR_REASON_RESUME_TOKEN_INVALID) as said:
            await read(shop, bad)
        assert set(said.violations) == {"resume_token"}
        assert "list the store's orders" in said.message


async def test_refuses_a_token_that_is_too_old_and_says_what_to_do(shop):
    with refused(ErrorReason.ERROR_REASON_RESUME_TOKEN_EXPIRED, days="7") as said:
        await read(shop, _made(shop, days=7.1))
    assert "list the store's orders" in said.message
    order_id = await shop.order()
    (first,) = await read(shop, _made(shop, days=6.9))
    assert (first.order_id, first.sequence) == (order_id, 1)


def _made(shop, feed=0, days=0.0):
    """A token made so many days ago, signed as the service signs."""
    seals = Seals(shop.clients.cluster.home.secret("page_order"))
    tokens = Tokens(seals, 7, lambda: time.time() - days * DAY_SECONDS)
    return tokens.token(shop.store_id, Place(feed, bytes(16), 0))


async def test_refuses_a_store_that_is_no_uuid(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.WatchStoreOrders(rpc.WatchStoreOrdersRequest(store_id="mine")).read()
    assert set(said.violations) == {"store_id"}
