"""A shop with much to sell, its buyers, and the SQL of one of their checkouts as pgbench scripts."""

from dataclasses import dataclass
from pathlib import Path

from services.order import queries
from tests.bench.buyers import PRODUCTS, STOCK, Buyers, checkouts
from tests.bench.house import House
from tests.bench.recorded import Unit, only, recorded, script
from tests.shop import Shop

_PICKS = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.picks (number int PRIMARY KEY, first_product uuid, second_product uuid);
TRUNCATE bench.picks;
"""


@dataclass(frozen=True)
class Market:
    """`scripts` by name: "create" and "checkout"."""

    shop: Shop
    products: list[str]
    customer: str
    scripts: dict[str, Path]
    statements: dict[str, int]


async def market(house: House) -> Market:
    """Set it up, with one checkout recorded. The second time it is the same."""
    if isinstance(house.market, Market):
        return house.market
    shop = await house.shop()
    cluster, database = await house.cluster(), await house.database()
    products = [await shop.product(stock=STOCK) for _ in range(PRODUCTS)]
    customer = await shop.customer()
    await database.execute(_PICKS)
    rows = [(i + 1, *sorted((products[i], products[(i + 1) % PRODUCTS]))) for i in range(PRODUCTS)]
    await database.executemany("INSERT INTO bench.picks VALUES ($1, $2, $3)", rows)
    pair = sorted(products[:2])
    await shop.order([(each, 1) for each in pair], customer=customer, until="CONFIRMED")

    buyers = await Buyers.of(shop, cluster.address("order"), pair, customer)
    await checkouts(buyers, cluster.nats_url, 1, 0.5)

    async def one() -> None:
        await checkouts(buyers, cluster.nats_url, 1, 0)

    units = await recorded(database, cluster.home.log("postgres"), one)
    buyers.connection.close()
    creating = only(units, {queries.BASKET.sql, queries.ORDER_PLACED.sql})
    if not creating or len(units) <= len(creating):
        raise RuntimeError("PostgreSQL's log does not tell what a checkout runs")
    given = {
        shop.store_id: "",
        customer: "",
        pair[0]: "first_product",
        pair[1]: "second_product",
    }
    tables: dict[str, list[str]] = {}
    for row in await database.fetch("SELECT schemaname, tablename FROM pg_tables"):
        tables.setdefault(row["schemaname"], []).append(row["tablename"])
    scripts = {}
    for name, parts in (("create", creating), ("checkout", units)):
        scripts[name] = house.folder / f"{name}.sql"
        scripts[name].write_text(script(parts, tables, given))
    counts = {"create": _count(creating), "checkout": _count(units)}
    found = house.market = Market(shop, products, customer, scripts, counts)
    return found


def _count(units: list[Unit]) -> int:
    return sum(len(unit.statements) for unit in units)
