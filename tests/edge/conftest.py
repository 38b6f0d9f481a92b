"""What must not happen, whatever is sent: a traceback in a log, a row in a database."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.edge.bearers import Forge
from tests.edge.contract import MADE_UP
from tests.shop import eventually

FAULTS = ('"level":"error"', '"level": "error"', "Traceback", "call failed")


@pytest.fixture
def forge(shop):
    return Forge(shop.clients.cluster.home, shop.store_id)


@pytest.fixture(autouse=True)
def quiet_logs(cluster):
    """No service has called anything a fault of its own."""
    logs = [cluster.process(definition.code).spec.log for definition in cluster.chosen]
    sizes = {log: log.stat().st_size for log in logs}
    yield
    for log, size in sizes.items():
        lines = log.read_bytes()[size:].decode().splitlines()
        faults = [line for line in lines if any(fault in line for fault in FAULTS)]
        assert not faults, f"{log.stem}: {faults[0]}"


@pytest.fixture
async def unchanged(shop):
    """Whatever the databases hold of the shop, at the end they hold the same."""
    before = await held(shop)
    yield
    assert await held(shop) == before


def arrived(cluster, refusals):
    """Those of the gateway's refusals that a service's log knows of: it did not refuse them by itself."""
    said = "".join(cluster.process(each.code).spec.log.read_text() for each in cluster.chosen)
    return [refusal for refusal in refusals if refusal.trace_id in said]


async def held(*shops):
    """The rows of these stores in every service's tables, and the first replies to requests that were made up."""
    clients = shops[0].clients
    stores = [shop.store_id for shop in shops]
    found = {}
    for definition in clients.cluster.chosen:
        for table in await _tables(clients, definition.code):
            rows = await clients.rows(
                f"SELECT t::text AS row FROM {table} t WHERE store_id::text = ANY($1) ORDER BY 1", stores
            )
            found[table] = [row["row"] for row in rows]
        replies = f'"{definition.code}".first_replies'
        rows = await clients.rows(
            f"SELECT count(*) FROM {replies} WHERE request_id::text LIKE $1", f"{MADE_UP}%"
        )
        found[replies] = rows[0]["count"]
    found["events"] = [str(event) for shop in shops for event in await shop.published()]
    return found


async def settled(*shops):
    """The same when it has come to rest: reactions of other services come a little later."""

    async def rests():
        before = await held(*shops)
        await asyncio.sleep(0.3)
        return before if await held(*shops) == before else None

    return await eventually(rests)


async def _tables(clients, schema) -> Sequence[str]:
    rows = await clients.rows(
        "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = $1 AND column_name = $2",
        schema,
        "store_id",
    )
    return [f'"{schema}"."{row["table_name"]}"' for row in rows]


@pytest.fixture
def gateway(cluster):
    """Where the gateway speaks gRPC."""
    return cluster.gateway_url.partition("://")[2]


@pytest.fixture
async def unwritten(bodies):
    """The same for a module's shop, which has come to rest."""
    before = await held(bodies.shop)
    yield
    assert await held(bodies.shop) == before
