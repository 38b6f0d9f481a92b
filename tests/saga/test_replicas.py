"""Two of each behind Envoy: they share the load, tell each other's watchers, and one of them may go at any time."""

import asyncio
import json
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_service_pb2 import WatchStoreOrdersRequest

from services.cluster.cluster import Cluster
from tests.order.asks import accept, create, deliver, name, ship, watch
from tests.saga.checkouts import PRICE, Crowd, audit, book, everything_ready
from tests.shop import WAIT_SECONDS, Clients, Shop, eventually, new_id, refused

REPLICATED = ("order", "payment", "catalog")
# Long enough that what a watcher sees sooner has come to it live.
RECHECK_SECONDS = 16


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory):
    replicas = dict.fromkeys(REPLICATED, 2)
    told = {"COMMERCE_RECHECK_SECONDS": str(RECHECK_SECONDS)}
    async with Cluster(tmp_path_factory.mktemp("replicas"), replicas=replicas, environment=told) as cluster:
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
    return shop.at(first), shop.at(second)


@pytest.mark.parametrize("path", ["/v1/orders/{}", "/v1/payments/{}", "/v1/products/{}"])
async def test_envoy_shares_calls_between_the_replicas(shop, cluster, path):
    """A refusal is a line in the log of the replica that it came from."""
    replies = await asyncio.gather(*(shop.rest("GET", path.format(new_id())) for _ in range(40)))
    traces = {reply.headers["x-trace-id"] for reply in replies}

    async def shared():
        counts = Counter({process: len(traces & _traces(cluster, process)) for process in cluster.processes})
        return +counts if counts.total() == 40 else None

    counts = await eventually(shared)
    assert len(counts) == 2
    assert min(counts.values()) >= 15, counts


def _traces(cluster, process):
    lines = cluster.process(process).spec.log.read_text().splitlines()
    return {json.loads(line).get("trace_id") for line in lines if '"refused"' in line}


async def test_an_order_placed_at_one_replica_is_watched_live_at_the_other(shop, both):
    here, there = both
    product, customer = await shop.product(stock=20), await shop.customer()

    async def one(here: Shop, there: Shop) -> list[float]:
        order = (await here.orders.CreateOrder(create(shop, customer, (product, 1)))).order
        seen, latencies, asked = [], [], 0.0
        stream = there.orders.WatchOrder(watch(order.order_id), timeout=WAIT_SECONDS)
        steps: Iterator[Callable[..., Any]] = iter([accept, ship, deliver])
        async for update in stream:
            seen.append((update.sequence, name(update.state)))
            if asked:
                latencies.append(time.perf_counter() - asked)
            if name(update.state) in ("CONFIRMED", "ACCEPTED", "SHIPPED"):
                step = next(steps)
                asked = time.perf_counter()
                rpc = f"{step.__name__.capitalize()}Order"
                await getattr(here.orders, rpc)(step(order.order_id))
        first = seen[0][0]
        assert [sequence for sequence, _ in seen] == list(range(first, 7))
        assert [state for _, state in seen][-4:] == ["CONFIRMED", "ACCEPTED", "SHIPPED", "DELIVERED"]
        return latencies

    pairs = [(here, there), (there, here)] * 5
    found = await asyncio.gather(*(one(*pair) for pair in pairs))

    latencies = [latency for each in found for latency in each]
    assert len(latencies) == 30
    assert statistics.median(latencies) < RECHECK_SECONDS / 4, sorted(latencies)


async def test_a_stores_feed_at_one_replica_tells_live_what_happens_at_the_other(shop, both):
    here, there = both
    product, customer = await shop.product(stock=20), await shop.customer()
    stream = there.orders.WatchStoreOrders(
        WatchStoreOrdersRequest(store_id=shop.store_id), timeout=WAIT_SECONDS
    )
    await stream.read()
    latencies = []
    for _ in range(10):
        asked = time.perf_counter()
        order = (await here.orders.CreateOrder(create(shop, customer, (product, 1)))).order
        while (await stream.read()).order_id != order.order_id:
            pass
        latencies.append(time.perf_counter() - asked)

    assert statistics.median(latencies) < RECHECK_SECONDS / 4, sorted(latencies)
    stream.cancel()


class Spread(Crowd):
    """Buyers who know both replicas: half of them watch at the one, half at the other, until it dies."""

    def checkout(self, *asked, **given):
        checkout = super().checkout(*asked, **given)
        addresses = self.shop.clients.cluster.addresses("order")
        turn = 1 if len(self.checkouts) % 2 else -1
        checkout.shop = self.shop.at("ipv4:" + ",".join(addresses[::turn]))
        return checkout


@pytest.mark.parametrize("victim", ["order-2", "payment-2", "catalog"])
async def test_a_replica_killed_amid_checkouts_costs_none_of_them(shop, cluster, victim):
    crowd = Spread(shop, await shop.product(stock=100, price=PRICE), await shop.customer())

    async def kill() -> None:
        await eventually(lambda: _placed(crowd, 25))
        cluster.kill(victim)

    await asyncio.gather(crowd.run(100, at_once=16), kill())

    assert crowd.states() == Counter(CONFIRMED=100)
    await audit(crowd, 100)
    assert cluster.process(victim).restarts > 0


async def _placed(crowd, count):
    return sum(1 for checkout in crowd.checkouts if checkout.order_id) >= count


async def test_a_replica_that_drains_finishes_its_calls_and_sends_its_watchers_to_the_other(
    shop, both, cluster
):
    staying, leaving = both
    product, customer = await shop.product(stock=20), await shop.customer()
    orders = [await shop.order([(product, 1)], customer=customer, until="CONFIRMED") for _ in range(8)]
    seen: dict[str, list[int]] = {order: [] for order in orders}
    streams = {order: leaving.orders.WatchOrder(watch(order), timeout=WAIT_SECONDS) for order in orders}
    for order, stream in streams.items():
        seen[order].append((await stream.read()).sequence)

    async with _held(cluster, orders[0]) as let_go:
        in_flight = asyncio.ensure_future(leaving.orders.AcceptOrder(accept(orders[0])))
        await eventually(lambda: _waits_for_a_lock(shop))
        cluster.kill("order-2", signal.SIGTERM)
        for order, stream in streams.items():
            with refused(ErrorReason.ERROR_REASON_UNAVAILABLE) as said:
                async with asyncio.timeout(WAIT_SECONDS):
                    while True:
                        seen[order].append((await stream.read()).sequence)
            assert said.retry_seconds is not None
        assert not in_flight.done()
        await let_go()
        assert name((await in_flight).order.state) == "ACCEPTED"

    for order in orders[1:]:
        await staying.orders.AcceptOrder(accept(order))
    for order in orders:
        await staying.orders.ShipOrder(ship(order))
        await staying.orders.DeliverOrder(deliver(order))
        async for update in staying.orders.WatchOrder(
            watch(order, after=seen[order][-1]), timeout=WAIT_SECONDS
        ):
            seen[order].append(update.sequence)
        assert seen[order] == [3, 4, 5, 6], "snapshot, accepted, shipped, delivered"
    await everything_ready(cluster)


@asynccontextmanager
async def _held(cluster, order_id):
    """An order whose row somebody else has locked until they let it go."""
    connection = await asyncpg.connect(cluster.admin_dsn)
    try:
        await connection.execute("BEGIN")
        await connection.execute('SELECT 1 FROM "order".orders WHERE order_id = $1 FOR UPDATE', order_id)

        async def let_go() -> None:
            await connection.execute("COMMIT")

        yield let_go
    finally:
        await connection.close()


async def _waits_for_a_lock(shop):
    return await shop.clients.rows(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'order'"
    )


async def test_a_replica_that_drains_hands_its_orders_over_at_once(shop, both, cluster):
    """It waits for the catalog, which does not answer. Somebody else has them before their leases end."""
    staying, leaving = both
    product, customer = await shop.product(stock=10), await shop.customer()
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")
    catalogs = ("catalog", "catalog-2")
    for catalog in catalogs:
        cluster.kill(catalog, signal.SIGSTOP)
    try:
        asked = [create(shop, customer, (product, 1)) for _ in range(5)]
        placed = [(await leaving.orders.CreateOrder(each)).order.order_id for each in asked]
        leases = await _leases(shop, placed)
        cluster.kill("order-2", signal.SIGTERM)
        while (await _leases(shop, placed)).items() & leases.items():
            assert datetime.now(UTC) < min(leases.values()), "they wait for their leases to end"
            await asyncio.sleep(0.05)
    finally:
        for catalog in catalogs:
            cluster.kill(catalog, signal.SIGCONT)

    await everything_ready(cluster)
    await asyncio.gather(*(staying.until(order, "CONFIRMED") for order in placed))


async def _leases(shop, orders):
    """When whoever has each order in hand loses it."""
    rows = await shop.clients.rows(
        'SELECT order_id::text, due_time FROM "order".orders WHERE order_id = ANY($1::uuid[])', orders
    )
    return {row["order_id"]: row["due_time"] for row in rows}


@pytest.mark.parametrize("process", ["order", "catalog-2", "payment"])
async def test_a_replica_that_drains_costs_no_caller_an_error(shop, cluster, process):
    """Every reply of the gateway is a success at the first attempt, while the replica goes and comes back."""
    product, customer = await shop.product(stock=10_000), await shop.customer()
    path = f"/v1/stores/{shop.store_id}/orders"
    body = {
        "customerId": customer,
        "lines": [{"productId": product, "quantity": 1}],
        "paymentMethod": "pm_sandbox_ok",
    }
    done = asyncio.Event()
    orders: list[str] = []

    async def buy() -> None:
        while not done.is_set():
            reply = await shop.rest("POST", path, json={**body, "requestId": new_id()})
            assert reply.status == 200, reply.body
            orders.append(reply.body["order"]["orderId"])
            reply = await shop.rest("GET", f"/v1/products/{product}/stock")
            assert reply.status == 200, reply.body
            await asyncio.sleep(0.05)

    async def drain() -> None:
        # The gateway looks for a replica that the test before has ended now and then only.
        await asyncio.sleep(2)
        cluster.kill(process, signal.SIGTERM)
        await cluster.wait_ready(process)
        await asyncio.sleep(0.5)
        done.set()

    await asyncio.gather(drain(), *(buy() for _ in range(6)))

    await everything_ready(cluster)
    await asyncio.gather(*(shop.until(order, "CONFIRMED") for order in orders))


async def test_two_drivers_of_one_order_have_the_effect_of_one(shop, both, cluster):
    """Every order is made due again and again, so that both replicas take it while the other still has it."""
    crowd = Crowd(shop, await shop.product(stock=60, price=PRICE), await shop.customer())
    methods = ["pm_sandbox_ok", "pm_sandbox_slow", "pm_sandbox_declined"] * 20
    for method, at in zip(methods, both * 30, strict=True):
        crowd.checkout(method).shop = at
    watching = asyncio.gather(*(_through(checkout) for checkout in crowd.checkouts))

    while not watching.done():
        await shop.clients.rows(
            'UPDATE "order".orders SET due_time = clock_timestamp() WHERE order_id IN (SELECT order_id FROM'
            ' "order".orders WHERE store_id = $1 AND due_time IS NOT NULL FOR UPDATE SKIP LOCKED)',
            shop.store_id,
        )
        await asyncio.sleep(random.uniform(0.05, 0.15))
    await watching

    assert crowd.states() == Counter(CONFIRMED=40, PAYMENT_FAILED=20)
    await audit(crowd, 60)
    charges = await book(shop)
    assert {len(charges[checkout.order_id]) for checkout in crowd.checkouts} == {1}
    rows = await shop.clients.rows(
        "SELECT max(e.sequence) AS last, count(*) AS count, count(DISTINCT e.state) AS states"
        ' FROM "order".order_events e JOIN "order".orders o USING (order_id)'
        " WHERE o.store_id = $1 GROUP BY o.order_id",
        shop.store_id,
    )
    assert len(rows) == 60
    for row in rows:
        assert row["last"] == row["count"] == row["states"], "no step was taken twice"


async def _through(checkout):
    await checkout.place()
    await checkout.watch({"CONFIRMED", "PAYMENT_FAILED"})
