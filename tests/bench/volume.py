"""Row of volume: reads with a million orders, beside the same reads with ten thousand."""

import random

import asyncpg
from commerce.order.v1.order_pb2 import OrderState
from commerce.order.v1.order_service_pb2 import GetOrderRequest, ListOrdersRequest

from tests.bench.calls import GET
from tests.bench.figures import Figure, Limit, spread
from tests.bench.house import House
from tests.bench.replay import Connection, head, keep_calling
from tests.bench.rounds import Compared, compared
from tests.bench.served import ID

LIST = "commerce.order.v1.OrderService/ListOrders"
FEW, MANY = 10_000, 1_000_000
AT_ONCE = 32
_ORDERS = """
INSERT INTO "order".orders (order_id, store_id, customer_id, state, total_minor_units, subtotal_minor_units,
  currency_code, payment_method, delivery_address, sequence, create_time, update_time, traceparent)
SELECT uuidv7(make_interval(secs => n - 2000000)), md5('store' || n % 100)::uuid, md5('customer' || n % 10000)::uuid,
  4 + n % 5, 1999, 1999, 'EUR', 'pm_sandbox_ok', '', 3, now(), now(), ''
FROM generate_series($1::int, $2::int) AS n
"""
_LINES = """
INSERT INTO "order".order_lines (order_id, position, product_id, sku, name, quantity, unit_price_minor_units)
SELECT order_id, position, customer_id, 'SKU-' || position, 'Analytical engine', 1, 1999
FROM "order".orders, generate_series(1, 2) AS position
WHERE payment_id IS NULL AND NOT EXISTS (
  SELECT FROM "order".order_lines WHERE order_lines.order_id = orders.order_id)
"""


async def volume(house: House) -> list[Figure]:
    """GetOrder and ListOrders, at ten thousand orders and at a million, each beside the bare server."""
    cluster, database = await house.cluster(), await house.database()
    token = cluster.token("platform_admin")
    address, (bare, _) = cluster.address("order"), await house.bare()
    ours, theirs = await Connection.to(address), await Connection.to(bare)
    plain = GetOrderRequest(order_id=ID).SerializeToString()

    async def beside(method: str, requests: list[bytes]) -> Compared:
        headers, bare_headers = head(address, method, token), head(bare, GET, token)

        async def run() -> float:
            return await keep_calling(ours, headers, lambda: random.choice(requests), AT_ONCE, house.seconds)

        async def echo() -> float:
            return await keep_calling(theirs, bare_headers, lambda: plain, AT_ONCE, house.seconds)

        return await compared(run, echo, 3)

    async def measured() -> tuple[Compared, Compared]:
        return await beside(GET, await _some_orders(database)), await beside(
            LIST, await _some_lists(database)
        )

    await _fill(database, 1, FEW)
    few = await measured()
    await _fill(database, FEW + 1, MANY)
    many = await measured()
    for connection in (ours, theirs):
        connection.close()
    return [
        Figure(
            "volume",
            f"{name}'s time, 1,000,000 / 10,000 orders",
            before.ratio / after.ratio,
            "×",
            Limit(1.2, 1.05, at_most=True),
            f"{spread(after.ours)} beside {spread(before.ours)} calls/s, each set against the bare server's",
        )
        for name, before, after in zip(("GetOrder", "ListOrders"), few, many, strict=True)
    ]


async def _fill(database: asyncpg.Connection, first: int, last: int) -> None:
    # The lines' foreign keys are right by their making.
    await database.execute("SET synchronous_commit = off; SET session_replication_role = replica")
    await database.execute(_ORDERS, first, last)
    await database.execute(_LINES)
    await database.execute("RESET synchronous_commit; RESET session_replication_role")
    await database.execute('VACUUM ANALYZE "order".orders, "order".order_lines')


async def _some_orders(database: asyncpg.Connection) -> list[bytes]:
    rows = await database.fetch(
        "SELECT order_id FROM \"order\".orders WHERE traceparent = '' ORDER BY random() LIMIT 2000"
    )
    return [GetOrderRequest(order_id=str(row["order_id"])).SerializeToString() for row in rows]


async def _some_lists(database: asyncpg.Connection) -> list[bytes]:
    rows = await database.fetch("SELECT md5('store' || n)::uuid AS store_id FROM generate_series(0, 99) AS n")
    states = (OrderState.ORDER_STATE_UNSPECIFIED, OrderState.ORDER_STATE_CONFIRMED)
    return [
        ListOrdersRequest(store_id=str(row["store_id"]), page_size=20, state=state).SerializeToString()
        for row in rows
        for state in states
    ]
