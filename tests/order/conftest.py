"""A cluster for the tests that hurt it, in a hurry: short leases, few orders under way, bad news given up soon."""

import nats
import pytest

from services.cluster.cluster import Cluster
from services.order.definition import DEFINITION
from services.runtime.database import Database
from services.runtime.service import Runtime
from services.runtime.settings import Settings
from tests.cluster.toys import processes_of
from tests.order.buyers import CONNECTIONS, PATIENT_SECONDS
from tests.shop import Clients, Shop

UNDER_WAY = 60


@pytest.fixture(scope="package")
async def hurried_clients(tmp_path_factory):
    home = tmp_path_factory.mktemp("hurried")
    told = {
        "COMMERCE_ORDER_LEASE_SECONDS": "2",
        # A store alone may have three quarters.
        "COMMERCE_ORDER_UNDRIVEN_ORDERS": str(UNDER_WAY * 4 // 3),
        "COMMERCE_DELIVERY_ATTEMPTS": "3",
    }
    async with Cluster(home, environment=told) as cluster:
        clients = Clients(cluster)
        yield clients
        await clients.close()
    assert not processes_of(home), "the cluster left processes behind"


@pytest.fixture
def hurried(hurried_clients):
    """A shop on that cluster."""
    return Shop(hurried_clients)


@pytest.fixture
async def runtime(cluster, monkeypatch):
    """What the order service's parts are built from, in the test's own process, beside the cluster's."""
    for name, value in cluster.process("order").spec.environment.items():
        monkeypatch.setenv(name, value)
    database = Database(cluster.dsn("order"), size=CONNECTIONS, timeout=PATIENT_SECONDS)
    client = await nats.connect(cluster.nats_url)
    yield Runtime(DEFINITION, Settings.load(), database, client)
    await client.close()
    await database.stop()
