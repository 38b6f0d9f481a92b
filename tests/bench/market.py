"""A shop with much to sell, its buyers, and the SQL of one of their checkouts as pgbench scripts."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from services.order import baskets, placing
from tests.bench.buyers import CUSTOMERS, PRODUCTS, STOCK, Buyers, checkouts
from tests.bench.house import House
from tests.bench.recorded import Unit, only, recorded, schemas, script
from tests.shop import Shop

_PICKS = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.picks
    (number int PRIMARY KEY, first_product uuid, second_product uuid, customer uuid, customer_key bigint);
TRUNCATE bench.picks;
"""
_DRAW = f"\\set number random(1, {CUSTOMERS})\n"
# What the order service would ask for at each customer's first order.
_KNOWN = """
INSERT INTO "order".customers SELECT customer_id, store_id FROM customer.customers WHERE store_id = $1
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Market:
    """`scripts` by name: "create" and "checkout"."""

    shop: Shop
    products: list[str]
    customers: list[str]
    scripts: dict[str, Path]
    statements: dict[str, int]


async def market(house: House) -> Market:
    """Set it up, with one checkout recorded. The second time it is the same."""
    if isinstance(house.market, Market):
        return house.market
    shop = await house.shop()
    cluster, database = await house.cluster(), await house.database()
    products = [await shop.product(stock=STOCK) for _ in range(PRODUCTS)]
    customers = await _customers(shop, database)
    await _offer(database, products, customers)
    pair, customer = sorted(products[:2]), customers[0]
    await shop.order([(each, 1) for each in pair], customer=customer, until="CONFIRMED")

    buyers = await Buyers.of(shop, cluster.address("order"), pair, [customer])
    await checkouts(buyers, cluster.nats_url, 1, 0.5)

    async def one() -> None:
        await checkouts(buyers, cluster.nats_url, 1, 0)

    units = await recorded(database, cluster.home.log("postgres"), one)
    buyers.connection.close()
    creating = only(units, {baskets.BASKET.sql, placing.ORDER_PLACED.sql})
    if not creating or len(units) <= len(creating):
        raise RuntimeError("PostgreSQL's log does not tell what a checkout runs")
    given = {
        shop.store_id: "",
        customer: "customer",
        str(_key(customer)): "customer_key",
        pair[0]: "first_product",
        pair[1]: "second_product",
    }
    tables = await schemas(database)
    scripts = {}
    for name, parts in (("create", creating), ("checkout", units)):
        scripts[name] = house.folder / f"{name}.sql"
        scripts[name].write_text(_DRAW + script(parts, tables, given, "bench.picks WHERE number = :number"))
    counts = {"create": _count(creating), "checkout": _count(units)}
    found = house.market = Market(shop, products, customers, scripts, counts)
    return found


async def _customers(shop: Shop, database: asyncpg.Connection) -> list[str]:
    """Many: how much each of them buys is a row of its own, which all orders of one customer would wait for."""
    found: list[str] = []
    while len(found) < CUSTOMERS:
        found += await asyncio.gather(*(shop.customer() for _ in range(50)))
    await database.execute(_KNOWN, shop.store_id)
    return found


async def _offer(database: asyncpg.Connection, products: list[str], customers: list[str]) -> None:
    """Have pgbench's buyers choose among the same customers and products."""
    await database.execute(_PICKS)
    pairs = [sorted((products[i], products[(i + 1) % PRODUCTS])) for i in range(PRODUCTS)]
    rows = [
        (number, *pairs[number % PRODUCTS], customer, _key(customer))
        for number, customer in enumerate(customers, 1)
    ]
    await database.executemany("INSERT INTO bench.picks VALUES ($1, $2, $3, $4, $5)", rows)


def _key(customer: str) -> int:
    """What the catalog locks when it counts a customer's reservations."""
    return int.from_bytes(UUID(customer).bytes[8:], signed=True)


def _count(units: list[Unit]) -> int:
    return sum(len(unit.statements) for unit in units)
