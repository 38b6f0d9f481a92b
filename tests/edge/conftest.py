"""What must not happen, whatever is sent: a traceback in a log, a row in a database."""

import asyncio
import json
import time
from uuid import UUID

import pytest

from services.runtime.ids import first_id
from tests.edge.bearers import Forge
from tests.edge.contract import MADE_UP
from tests.shop import eventually

# In SQL: what a table holds of stores, and how many first replies there are to requests that were made up.
ROWS = "SELECT '{0}', t::text FROM {0} t WHERE store_id::text = ANY($1)"
REPLIES = "SELECT '{0}', count(*)::text FROM {0} WHERE request_id::text LIKE $2"
# What follows from the ledger's entries, a second or more after them.
SEALED_LATER = ["ledger_chain", "ledger_days"]
FAULTS = ('"level":"error"', '"level": "error"', "Traceback", "call failed")


@pytest.fixture
def forge(shop):
    return Forge(shop.clients.cluster.home, shop.store_id)


@pytest.fixture(scope="session")
def edge():
    """What no event has a smaller id than, that was told since the edge was first tested in this process."""
    return first_id(int(time.time() * 1000))


def before(line, edge):
    """Whether a line tells of an event that is given up, and that tests before these have told of."""
    try:
        said = json.loads(line)
    except ValueError:
        return False  # A part of a traceback.
    return said.get("event") == "dead letter" and UUID(said["event_id"]) < edge


@pytest.fixture(autouse=True)
def quiet_logs(cluster, edge):
    """No service has called anything a fault of its own."""
    logs = [cluster.process(definition.code).spec.log for definition in cluster.chosen]
    sizes = {log: log.stat().st_size for log in logs}
    yield
    for log, size in sizes.items():
        lines = log.read_bytes()[size:].decode().splitlines()
        faults = [line for line in lines if any(fault in line for fault in FAULTS) and not before(line, edge)]
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
    """The rows of these stores in all tables, how many made-up requests have first replies, and the events."""
    clients = shops[0].clients
    schemas = [definition.code for definition in clients.cluster.chosen]
    tables = await clients.rows(
        "SELECT format('%I.%I', nspname, relname) AS name, relname = 'first_replies' AS replies FROM pg_class "
        "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = ANY($1) AND relkind IN ('r', 'p') "
        "AND relname <> ALL($2) "
        "AND (relname = 'first_replies' OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid "
        "AND attname = 'store_id' AND NOT attisdropped))",
        schemas,
        SEALED_LATER,
    )
    rows = await clients.rows(
        " UNION ALL ".join(
            REPLIES.format(table) if replies else ROWS.format(table) for table, replies in tables
        ),
        [shop.store_id for shop in shops],
        f"{MADE_UP}%",
    )
    return sorted(map(tuple, rows)), [str(event) for shop in shops for event in await shop.published()]


async def settled(*shops):
    """The same when it has come to rest: reactions of other services come a little later."""

    async def rests():
        before = await held(*shops)
        await asyncio.sleep(0.3)
        return before if await held(*shops) == before else None

    return await eventually(rests)


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
