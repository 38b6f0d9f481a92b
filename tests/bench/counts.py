"""What one checkout asks of PostgreSQL and NATS: counts, which a busy machine does not change."""

import re

import asyncpg
import nats
from nats.aio.msg import Msg

from tests.bench.buyers import Buyers, checkouts
from tests.bench.figures import Figure, number
from tests.bench.house import House
from tests.bench.market import market
from tests.bench.recorded import Unit, recorded

OPEN = (1, 8, 128)
_WRITES = re.compile(r"\bINSERT INTO\b|\bUPDATE \w+ SET\b|\bDELETE FROM\b")
# The log is read whole, and holds each statement with its values: some hundred checkouts are enough.
_SECONDS = 2.0


async def counts(house: House) -> list[Figure]:
    """Count at each of some numbers of open orders: the more there are, the more shares a batch with others."""
    stand = await market(house)
    cluster, database = await house.cluster(), await house.database()
    buyers = await Buyers.of(stand.shop, cluster.address("order"), stand.products, stand.customers)
    figures = []
    for open_orders in OPEN:
        orders, written = await _orders(database), await _written(database)
        passed = 0

        async def run(open_orders: int = open_orders) -> None:
            await checkouts(buyers, cluster.nats_url, open_orders, _SECONDS)

        async def passes(_: Msg) -> None:
            nonlocal passed
            passed += 1

        client = await nats.connect(cluster.nats_url)
        await client.subscribe(">", cb=passes)
        await client.flush()
        units = await recorded(database, cluster.home.log("postgres"), run)
        await client.close()
        orders, written = await _orders(database) - orders, await _written(database) - written
        statements = sum(len(unit.statements) for unit in units)
        detail = (
            f"{number(sum(map(_writes, units)) / orders)} commits that write, "
            f"{number(written / orders / 1e3)} kB of WAL, {number(passed / orders)} messages of NATS; "
            f"{orders} checkouts"
        )
        what = f"statements a checkout, {open_orders} open"
        figures.append(Figure("counts", what, statements / orders, "", None, detail))
    buyers.connection.close()
    return figures


def _writes(unit: Unit) -> bool:
    return any(_WRITES.search(statement.sql) for statement in unit.statements)


async def _orders(database: asyncpg.Connection) -> int:
    return int(await database.fetchval('SELECT count(*) FROM "order".orders'))


async def _written(database: asyncpg.Connection) -> int:
    """How many bytes of WAL were written so far."""
    return int(await database.fetchval("SELECT pg_current_wal_lsn() - '0/0'"))
