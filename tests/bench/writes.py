"""Rows of writes: CreateOrder, and whole checkouts, each beside its own SQL in pgbench."""

import statistics
import time

from commerce.order.v1.order_pb2 import OrderState

from tests.bench import costs, pgbench, processes
from tests.bench.buyers import Buyers, checkouts
from tests.bench.figures import Figure, Limit, number, spread
from tests.bench.house import House
from tests.bench.market import market
from tests.bench.rounds import compared

AT_ONCE = 32
# What a plain FastAPI trio (ORM, httpx, no idempotency, events or saga) reached on the same two cores: see DESIGN.md.
PLAIN_TRIO = 131
_REST = 'UPDATE "order".orders SET due_time = NULL WHERE state = $1 AND due_time IS NOT NULL'


async def create_order(house: House) -> list[Figure]:
    """CreateOrder by an order process whose driver rests, beside its statements in pgbench."""
    stand = await market(house)
    cluster, database = await house.cluster(), await house.database()
    environment = dict(cluster.process("order").spec.environment) | {"COMMERCE_LOG_LEVEL": "warning"}
    address = processes.free_address()
    async with processes.python("tests.bench.served", "order", address, environment=environment) as server:
        buyers = await Buyers.of(stand.shop, address, stand.products, stand.customers)

        async def ours() -> float:
            rate = await buyers.keep_placing(AT_ONCE, house.seconds)
            # The cluster's own driver would take them, once their lease has ended.
            await database.execute(_REST, OrderState.ORDER_STATE_PENDING)
            return rate

        async def theirs() -> float:
            script = stand.scripts["create"]
            return await pgbench.per_second(cluster.admin_dsn, script, AT_ONCE, house.seconds)

        loaded, served = time.process_time(), processes.cpu_seconds(server.pid)
        found = await compared(ours, theirs)
        buyers.connection.close()
        loaded, served = time.process_time() - loaded, processes.cpu_seconds(server.pid) - served
    calls = statistics.mean(found.ours) * house.seconds * (len(found.ours) + 1)
    detail = (
        f"{spread(found.ours)} beside {spread(found.theirs)} /s, {AT_ONCE} at once; CPU a call: "
        f"{number(served / calls * 1e6)} µs service, {number(loaded / calls * 1e6)} µs load "
        "(a replaying HTTP/2 client in Python)"
    )
    return [Figure("create", "CreateOrder / its SQL in pgbench", found.ratio, "×", Limit(0.25, 0.35), detail)]


async def whole_checkouts(house: House) -> list[Figure]:
    """Checkouts from CreateOrder to CONFIRMED over all services, beside all of their SQL in pgbench."""
    stand = await market(house)
    cluster = await house.cluster()
    buyers = await Buyers.of(stand.shop, cluster.address("order"), stand.products, stand.customers)
    seconds = max(2.0, 2 * house.seconds)
    figures, best, cost = [], 0.0, {}
    await checkouts(buyers, cluster.nats_url, 8, 1.0)
    for open_orders in (1, 8, 32, 128):
        before = costs.seconds_by_process(cluster)
        outcome = await checkouts(buyers, cluster.nats_url, open_orders, seconds)
        spent = costs.each_ms(before, costs.seconds_by_process(cluster), outcome.confirmed)
        if outcome.per_second >= best:
            best, cost = outcome.per_second, spent
        detail = f"{costs.waits(outcome.waits)}; CPU {sum(spent.values()):.2f} ms a checkout"
        if outcome.others:
            detail += f"; {outcome.others} were not confirmed"
        figures.append(
            Figure("checkouts", f"checkouts, {open_orders} open", outcome.per_second, "/s", None, detail)
        )

    async def ours() -> float:
        return (await checkouts(buyers, cluster.nats_url, AT_ONCE, seconds)).per_second

    async def theirs() -> float:
        return await pgbench.per_second(cluster.admin_dsn, stand.scripts["checkout"], AT_ONCE, seconds)

    found = await compared(ours, theirs, 3)
    buyers.connection.close()
    house.capacity = best
    detail = f"the best of the above; a plain trio without saga, events or idempotency: {PLAIN_TRIO}/s"
    figures.append(Figure("checkouts", "checkouts a second", best, "/s", Limit(400, 1300), detail))
    detail = (
        f"{spread(found.ours)} beside {spread(found.theirs)} /s; "
        f"{stand.statements['checkout']} statements a checkout, {AT_ONCE} at once"
    )
    what = "checkouts / all their SQL in pgbench"
    figures.append(Figure("checkouts", what, found.ratio, "×", Limit(0.25, 0.40), detail))
    what = "where the CPU of one checkout goes"
    figures.append(Figure("checkouts", what, sum(cost.values()), "ms", None, costs.parts(cost)))
    return figures
