"""Rows of fairness: how long another store waits beside somebody who abuses the cluster, and alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any

import psutil
from commerce.catalog.v1.catalog_service_pb2 import GetProductRequest

from services.cluster.cluster import Cluster
from tests.bench.figures import Figure, Limit, number, quantile
from tests.bench.house import UNPACED, House
from tests.bench.processes import python
from tests.bench.replay import Connection, head, once
from tests.shop import Clients, Shop

Abuser = AbstractAsyncContextManager[asyncio.subprocess.Process]
READ = "commerce.catalog.v1.CatalogService/GetProduct"
PRODUCTS = 3_000
ROUNDS = 3
MOST_BYTES = 128 << 20
# What each abuser calls, and what is measured of the other store meanwhile.
READS = {"searches": "catalog", "resets": "catalog", "pings": "catalog"}
ORDERS = ("slow orders", "silent orders")
_MANY = """
INSERT INTO catalog.products SELECT (jsonb_populate_record(p, jsonb_build_object(
    'product_id', uuidv7(), 'sku', p.sku || n, 'sku_folded', p.sku_folded || n, 'name', p.name || ' ' || n))).*
FROM catalog.products p, generate_series(1, $2) n WHERE p.product_id = $1::uuid
"""


async def fairness(house: House) -> list[Figure]:
    """Measure another store's p99 beside an abuser of each kind, in turns with its p99 alone."""
    environment = {name: value for name, value in (await house.telemetry()).items() if name not in UNPACED}
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(house.folder / "fair", environment=environment))
        clients = Clients(cluster)
        stack.push_async_callback(clients.close)
        hostile, other = Shop(clients), Shop(clients)
        product, mine = await hostile.product(stock=1_000_000), await other.product(stock=1_000_000)
        await clients.rows(_MANY, product, PRODUCTS)
        buyer, customer = await hostile.customer(), await other.customer()
        token = hostile.as_("customer", buyer).token or ""

        def abuser(kind: str, service: str) -> Abuser:
            ids = (hostile.store_id, buyer, product)
            seconds = f"{4 * house.seconds}"
            return python("tests.bench.abusers", kind, cluster.address(service), token, seconds, *ids)

        address = cluster.address("catalog")
        connection = await Connection.to(address)
        headers = head(address, READ, other.token or "")

        async def read() -> None:
            await once(connection, headers, GetProductRequest(product_id=mine))

        async def order() -> None:
            await other.order([(mine, 1)], customer=customer, until="CONFIRMED")

        figures = []
        for kind, service in READS.items():
            process = psutil.Process(cluster.process(service).pid)
            figures.append(await _beside(kind, read, partial(abuser, kind, service), process))
        for kind in ORDERS:
            process = psutil.Process(cluster.process("order").pid)
            figures.append(await _beside(kind, order, partial(abuser, kind, "order"), process))
        connection.close()
        return figures


async def _beside(
    kind: str, work: Callable[[], Awaitable[None]], abuser: Callable[[], Abuser], process: psutil.Process
) -> Figure:
    alone: list[float] = []
    beside: list[float] = []
    told, before, most = "", process.memory_info().rss, 0
    for _ in range(ROUNDS):
        rest = asyncio.ensure_future(asyncio.sleep(2))
        await _waits(work, rest, alone)
        async with abuser() as program:
            assert program.stdout is not None
            ended = asyncio.ensure_future(program.stdout.read())
            await _waits(work, ended, beside)
        told, most = ended.result().decode().strip(), max(most, process.memory_info().rss)
    low, high = quantile(alone, 0.99) * 1e3, quantile(beside, 0.99) * 1e3
    medians = f"p50 {number(quantile(alone, 0.5) * 1e3)} and {number(quantile(beside, 0.5) * 1e3)}"
    grown = f"{max(0, most - before) >> 20} MiB more"
    detail = f"{number(low)} ms alone, {number(high)} beside; {medians}; no error; {told}; {grown}"
    return Figure(
        "fairness", f"p99 beside {kind} / alone", high / low, "×", Limit(2, 1.2, at_most=True), detail
    )


async def _waits(work: Callable[[], Awaitable[None]], until: asyncio.Future[Any], waits: list[float]) -> None:
    """Do it again and again until something has ended; anything but an answer is raised."""
    while not until.done():
        began = time.monotonic()
        await work()
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.01)
