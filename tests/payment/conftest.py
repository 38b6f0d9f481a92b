"""A cluster with no service but payment, whose orders exist in these tests only, and a till to use it by."""

import asyncpg
import nats
import pytest

from services.cluster.cluster import Cluster
from tests.cluster.toys import processes_of
from tests.payment.till import Till
from tests.payment.worlds import WORLDS
from tests.shop import Clients, Shop


@pytest.fixture(scope="package")
async def payment_cluster(tmp_path_factory):
    home = tmp_path_factory.mktemp("payment")
    # An event that is refused for good is given up after seconds, not a minute.
    async with Cluster(home, ["payment"], environment={"COMMERCE_DELIVERY_ATTEMPTS": "5"}) as cluster:
        yield cluster
    assert not processes_of(home), "the cluster left processes behind"


@pytest.fixture(scope="package")
async def payment_clients(payment_cluster):
    clients = Clients(payment_cluster)
    yield clients
    await clients.close()


@pytest.fixture(scope="package")
async def events(payment_cluster):
    """JetStream, as the order service publishes to it."""
    client = await nats.connect(payment_cluster.nats_url)
    yield client.jetstream()
    await client.close()


@pytest.fixture
async def ledger(payment_cluster):
    """A connection as the payment service itself has one."""
    connection = await asyncpg.connect(payment_cluster.dsn("payment"))
    yield connection
    await connection.close()


@pytest.fixture
def shop(payment_clients):
    return Shop(payment_clients)


@pytest.fixture
def till(shop, events):
    return Till(shop, events)


@pytest.fixture(scope="package", params=WORLDS)
async def world(request):
    """A provider with its gateway, for the gateway kit."""
    async with WORLDS[request.param]() as world:
        yield world
