"""What a checkout costs by the number of open orders, few in most shops: its CPU, process by process, and its wait."""

from tests.bench import costs
from tests.bench.buyers import Buyers, checkouts
from tests.bench.figures import Figure, Limit, number, quantile
from tests.bench.house import House
from tests.bench.market import market

OPEN = (1, 8, 32, 128)
# Of a lone buyer's checkout.
CPU_MS, WAIT_MS = Limit(8, 6, at_most=True), Limit(8, 6, at_most=True)
ROUND_SECONDS = 5.0


async def few(house: House) -> list[Figure]:
    """Measure at each of some numbers of open orders, by gRPC, from CreateOrder to CONFIRMED."""
    stand = await market(house)
    cluster = await house.cluster()
    buyers = await Buyers.of(stand.shop, cluster.address("order"), stand.products, stand.customers)
    await checkouts(buyers, cluster.nats_url, 32, 2.0)
    figures = []
    for open_orders in OPEN:
        before = costs.seconds_by_process(cluster)
        found = await checkouts(buyers, cluster.nats_url, open_orders, ROUND_SECONDS * house.seconds)
        spent = costs.each_ms(before, costs.seconds_by_process(cluster), found.confirmed)
        load = spent.pop("load")
        figures += [
            _figure("CPU of one checkout", open_orders, sum(spent.values()), CPU_MS, costs.parts(spent)),
            _figure(
                "confirmed after",
                open_orders,
                quantile(found.waits, 0.5) * 1e3,
                WAIT_MS,
                f"{number(found.per_second)}/s; the load itself takes {number(load)} ms of CPU for each",
            ),
        ]
    buyers.connection.close()
    return figures


def _figure(what: str, open_orders: int, ms: float, limit: Limit, detail: str) -> Figure:
    return Figure("few", f"{what}, {open_orders} open", ms, "ms", limit if open_orders == 1 else None, detail)
