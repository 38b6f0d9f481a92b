"""Rows of load: goodput and waits from a quarter of what the cluster can do to three times as much, and its cost."""

from services.cluster.cluster import Cluster
from tests.bench import costs
from tests.bench.buyers import Buyers, checkouts
from tests.bench.figures import Figure, Limit, number, quantile
from tests.bench.house import House
from tests.bench.market import market
from tests.bench.offers import Offers, offer

SHARES = (0.25, 0.5, 0.75, 1, 1.5, 2, 3)
# Until as many orders are open as are let in: it takes the longer the nearer the offer is to what can be done.
BEFORE_SECONDS = 4.0
ROUNDS = 3
USUAL_SHARE = 0.7
OPEN_ORDERS = 200  # Fewer than the calls that a server lets in at once.
# Waits of a load that is itself as late as this say little of the cluster.
LATE_SECONDS = 0.05
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


async def curve(house: House) -> list[Figure]:
    """Offer more and more checkouts, whatever becomes of them: an open loop up to three times the capacity."""
    buyers, cluster, capacity = await _crowd(house)
    seconds = 5 * house.seconds

    async def offered(share: float) -> Offers:
        return await offer(buyers, cluster.nats_url, share * capacity, BEFORE_SECONDS, seconds)

    found = {share: await offered(share) for share in SHARES}
    most = max(SHARES[:-1], key=lambda share: found[share].per_second)
    # What else the machine does falls on both alike.
    pairs = [(found[most], found[SHARES[-1]])]
    pairs += [(await offered(most), await offered(SHARES[-1])) for _ in range(ROUNDS - 1)]
    buyers.connection.close()
    peak = max(each.per_second for each in found.values())
    figures = [_step(share, capacity, each, peak) for share, each in found.items()]
    shares = sorted(last.per_second / best.per_second for best, last in pairs)
    detail = (
        f"[{number(shares[0])}–{number(shares[-1])}] in {len(shares)} pairs of runs; "
        f"the peak, {number(found[most].per_second)}/s, was at {most}×"
    )
    figures.append(
        Figure("curve", "goodput at 3× / its peak", shares[len(shares) // 2], "×", Limit(0.9, 0.95), detail)
    )
    told = [wait for _, last in pairs for wait in last.told]
    what, detail = (
        "a refusal at 3× is told after, p99",
        f"p50 {number(_ms(told, 0.5))} ms; {len(told):,} refused",
    )
    return [*figures, Figure("curve", what, _ms(told, 0.99), "ms", None, detail)]


async def cost(house: House) -> list[Figure]:
    """What one checkout costs each process, and PostgreSQL's log, at seven tenths of the capacity."""
    buyers, cluster, capacity = await _crowd(house)
    database = await house.database()
    rate = USUAL_SHARE * capacity
    await offer(buyers, cluster.nats_url, rate, 1.0, 1.0)
    wal, commits = await database.fetchval(_WAL), await database.fetchval(_COMMITS)
    before = costs.seconds_by_process(cluster)
    found = await offer(buyers, cluster.nats_url, rate, 0.0, 10 * house.seconds)
    spent = costs.each_ms(before, costs.seconds_by_process(cluster), len(found.waits))
    wal, commits = await database.fetchval(_WAL) - wal, await database.fetchval(_COMMITS) - commits
    buyers.connection.close()
    at = f"{number(found.per_second)}/s, {costs.waits(found.waits)}"
    figures = [Figure("cpu", "CPU of one checkout", sum(spent.values()), "ms", None, at)]
    longest = max(spent.values())
    figures += [
        Figure("cpu", f"· {name}", ms, "ms", None, "█" * round(40 * ms / longest))
        for name, ms in spent.items()
        if ms >= 0.01
    ]
    kilobytes = float(wal) / len(found.waits) / 1024
    detail = f"{commits / len(found.waits):.1f} commits a checkout"
    return [*figures, Figure("cpu", "write-ahead log of one checkout", kilobytes, "KB", None, detail)]


async def _crowd(house: House) -> tuple[Buyers, Cluster, float]:
    """Buyers, and how many of their checkouts the cluster can do a second."""
    stand = await market(house)
    cluster = await house.cluster()
    buyers = await Buyers.of(stand.shop, cluster.address("order"), stand.products, stand.customers)
    await checkouts(buyers, cluster.nats_url, 32, 2.0)
    # With more orders open each batch holds more of them: as many as there will be when too many are offered.
    return buyers, cluster, (await checkouts(buyers, cluster.nats_url, OPEN_ORDERS, 5.0)).per_second


def _step(share: float, capacity: float, found: Offers, peak: float) -> Figure:
    detail = f"{'█' * round(20 * found.per_second / peak):<21}{costs.waits(found.waits)}"
    if found.told:
        median, last = number(_ms(found.told, 0.5)), number(_ms(found.told, 0.99))
        refused = number(len(found.told) / found.seconds)
        detail += f"; {refused}/s refused, told after {median} ms (p99 {last})"
    if found.others:
        detail += f"; {found.others} were not confirmed"
    if quantile(found.late, 0.99) > LATE_SECONDS:
        detail += f"; the load was late itself (p99 {number(_ms(found.late, 0.99))} ms)"
    what = f"checkouts, {share:g}× offered ({number(share * capacity)}/s)"
    return Figure("curve", what, found.per_second, "/s", None, detail)


def _ms(seconds: list[float], share: float) -> float:
    return quantile(seconds, share) * 1e3 if seconds else 0.0
