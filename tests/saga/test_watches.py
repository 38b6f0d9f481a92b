"""The promises of both watches, kept to clients that are slow, that leave and come back, while replicas come and go."""

import asyncio
import os
import random
import signal

import asyncpg
import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_service_pb2 as rpc

from services.cluster.cluster import Cluster
from services.order import life
from tests.order import bulk, histories
from tests.order.asks import assign, create, deliver, ship
from tests.saga.checkouts import BROKEN, everything_ready
from tests.saga.watchers import Watcher
from tests.shop import WAIT_SECONDS, Clients, eventually, new_id, refused

TRANSITIONS = 100_000 if os.environ.get("COMMERCE_WHOLE_MATRIX") else 40_000
ORDERS = 2_000
WRITERS = 8


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory):
    told = {"COMMERCE_HEARTBEAT_SECONDS": "0.3"}
    home = tmp_path_factory.mktemp("watches")
    async with Cluster(home, replicas={"order": 2}, environment=told) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


@pytest.fixture
def both(shop, cluster):
    """The shop at each replica of the order service."""
    first, second = cluster.addresses("order")
    return [shop.at(first), shop.at(second)]


async def timeline(shop):
    """Every transition of the store on record, in the order of its feed."""
    rows = await shop.clients.rows(
        'SELECT order_id, sequence, state FROM "order".order_events WHERE store_id = $1'
        " ORDER BY feed, order_id, sequence",
        shop.store_id,
    )
    return {(str(row["order_id"]), row["sequence"]): row["state"] for row in rows}


class Writer:
    """Moves orders as the service does, by its own statement, in transactions that last and overtake each other."""

    def __init__(self, shop, connection, chance):
        self._shop, self._connection, self._chance = shop, connection, chance
        self.written = 0

    async def write(self, count):
        while self.written < count:
            self.written += await self._transaction()

    async def _transaction(self):
        """One that takes its id early, moves orders that later ones have moved meanwhile, and may come to nothing."""
        transaction = self._connection.transaction()
        await transaction.start()
        if self._chance.random() < 0.25:
            await self._connection.execute("SELECT pg_current_xact_id()")
            await asyncio.sleep(self._chance.expovariate(2))
        moved = 0
        for _ in range(self._chance.randint(1, 4)):
            moved += await self._move(self._chance.randint(1, 300))
            if self._chance.random() < 0.2:
                await asyncio.sleep(self._chance.uniform(0, 0.3))
        if self._chance.random() < 0.1:
            await transaction.rollback()
            return 0
        await transaction.commit()
        return moved

    async def _move(self, count):
        rows = await self._connection.fetch(
            "SELECT order_id, sequence FROM orders WHERE store_id = $1 ORDER BY random() LIMIT $2"
            " FOR UPDATE SKIP LOCKED",
            self._shop.store_id,
            count,
        )
        return await bulk.move(self._connection, [(row["order_id"], row["sequence"] + 1) for row in rows])


async def test_a_stores_feed_of_very_many_transitions_loses_none(shop, both, cluster):
    placed = [each._replace(state=life.SHIPPED) for each in bulk.orders(ORDERS, customers=50)]
    async with bulk.administrator(shop) as connection:
        await bulk.write(connection, shop.store_id, placed)
    written = asyncio.Event()
    total = 0

    def enough(watcher):
        return written.is_set() and watcher.count >= total

    first, second = both
    watchers = [
        Watcher([first], after=""),
        Watcher([second, first], after="", stays_seconds=1.0),
        Watcher([second], after="", pause_every=2_500, pause_seconds=0.3),
    ]
    watching = [asyncio.create_task(watcher.watch(enough)) for watcher in watchers]
    await eventually(lambda: _all_begun(watchers))
    connections = [
        await asyncpg.connect(cluster.admin_dsn, server_settings={"search_path": '"order"'})
        for _ in range(WRITERS)
    ]
    writers = [Writer(shop, each, random.Random(seed)) for seed, each in enumerate(connections)]
    writing = asyncio.gather(*(writer.write(TRANSITIONS // WRITERS) for writer in writers))
    await asyncio.sleep(2)
    cluster.kill("order-2", signal.SIGTERM)
    await writing
    cluster.kill("order-2", signal.SIGKILL)
    total = sum(writer.written for writer in writers)
    written.set()
    for connection in connections:
        await connection.close()
    async with asyncio.timeout(120):
        await asyncio.gather(*watching)

    record = await timeline(shop)
    assert len(record) == total >= TRANSITIONS
    for watcher in watchers:
        told = [(update.order_id, update.sequence) for update in watcher.told if not update.bookmark]
        assert histories.broken(watcher.history, record, record) == {}
        assert told == list(record), "each sees the same, in the same order"
    await everything_ready(cluster)
    await _goes_on_from_anywhere(first, watchers[1])


async def _all_begun(watchers):
    return all(watcher.after for watcher in watchers)


async def _goes_on_from_anywhere(shop, watcher):
    """Open the feed again at messages and bookmarks of all times: what comes is what came then."""
    told = watcher.told
    marks = [index for index, update in enumerate(told) if update.bookmark]
    chosen = random.sample(range(len(told) - 1), 15) + random.sample(marks, min(10, len(marks)))
    for after in chosen:
        again = Watcher([shop], after=told[after].resume_token)
        await again.watch(lambda watcher: watcher.count > 600 or bool(watcher.last and watcher.last.bookmark))
        assert histories.goes_on(told, after, again.told) == []


async def test_a_quiet_feed_tells_where_it_is_now_and_then_and_others_orders_move_it_on(shop, both):
    here, there = both
    product, customer = await shop.product(), await shop.customer()
    stream = here.orders.WatchStoreOrders(
        rpc.WatchStoreOrdersRequest(store_id=shop.store_id), timeout=WAIT_SECONDS
    )
    marks = [await stream.read() for _ in range(3)]
    assert all(mark.bookmark for mark in marks)
    await shop.another().order(until="CONFIRMED")
    marks += [await stream.read() for _ in range(3)]
    assert len({mark.resume_token for mark in marks}) > 1
    order = (await there.orders.CreateOrder(create(shop, customer, (product, 1)))).order

    for mark in marks:
        watcher = Watcher([there], after=mark.resume_token)
        await watcher.watch(lambda watcher: watcher.count == 1)
        assert [(update.order_id, update.sequence) for update in watcher.told] == [(order.order_id, 1)]


async def test_a_replica_that_drains_sends_its_readers_elsewhere(shop, both, cluster):
    _, leaving = both
    ask = rpc.WatchStoreOrdersRequest(store_id=shop.store_id)
    streams = [leaving.orders.WatchStoreOrders(ask, timeout=WAIT_SECONDS) for _ in range(5)]
    for stream in streams:
        await stream.read()
    cluster.kill("order-2", signal.SIGTERM)
    for stream in streams:
        with refused(ErrorReason.ERROR_REASON_UNAVAILABLE) as said:
            while True:
                await stream.read()
        assert said.retry_seconds is not None
    await everything_ready(cluster)


async def _assigned(both, asked):
    """Have one replica or the other do it."""
    while True:
        try:
            return await random.choice(both).orders.AssignCourier(asked)
        except grpc.aio.AioRpcError as error:
            assert error.code() in BROKEN, (error.code(), error.details())
            await asyncio.sleep(0.05)


async def test_orders_that_move_hundreds_of_times_are_watched_by_all_kinds_of_clients(shop, both, cluster):
    """More often than a mailbox holds, at either replica, while one of them is restarted."""
    courier, product = new_id(), await shop.product(stock=100)
    customer = await shop.customer()
    placed = [await shop.order([(product, 1)], customer=customer, state="ACCEPTED") for _ in range(6)]

    async def live(order_id):
        shipped = (await shop.orders.ShipOrder(ship(order_id))).order
        (parcel,) = shipped.shipments
        for _ in range(120):
            await _assigned(both, assign(order_id, parcel.shipment_id, courier))
        await shop.orders.DeliverOrder(deliver(order_id))

    def ended(watcher):
        return watcher.last is not None and watcher.last.state == life.DELIVERED

    first, second = both
    watchers = [
        watcher
        for order_id in placed
        for watcher in (
            Watcher([first], order_id),
            Watcher([second, first], order_id),
            *(Watcher(both[::turn], order_id, stays_seconds=random.uniform(0.2, 1)) for turn in (1, -1, 1)),
            Watcher([first], order_id, pause_every=10, pause_seconds=0.2),
            Watcher([second, first], order_id, stays_seconds=1.0, pause_every=7, pause_seconds=0.1),
        )
    ]
    watching = asyncio.gather(*(watcher.watch(ended) for watcher in watchers))
    living = asyncio.gather(*(live(order_id) for order_id in placed))
    await asyncio.sleep(1.5)
    cluster.kill("order-2", signal.SIGTERM)
    await living
    async with asyncio.timeout(60):
        await watching

    record = await timeline(shop)
    for watcher in watchers:
        own = {key: state for key, state in record.items() if key[0] == watcher.order_id}
        begin = watcher.told[0].sequence
        wanted = [key for key in own if key[1] >= begin]
        assert histories.broken(watcher.history, own, wanted) == {}
    assert any(update.bookmark for watcher in watchers for update in watcher.told)
    await everything_ready(cluster)
