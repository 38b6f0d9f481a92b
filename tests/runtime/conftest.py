"""Small clusters that tests may hurt: the toy service alone, with small limits; and a way to ask it for things."""

import uuid
from contextlib import asynccontextmanager

import asyncpg
import pytest
from commerce.customer.v1.customer_service_pb2 import CreateCustomerRequest, ListCustomersRequest

from services.cluster.cluster import Cluster
from tests.cluster.toys import configure
from tests.runtime.toy import DEFINITION
from tests.shop import Clients, Shop

# So often an event is delivered before it is put aside.
DELIVERIES = 2
LIMITS = {
    "COMMERCE_CALL_SECONDS": "2",
    "COMMERCE_CALLS_IN_FLIGHT": "6",
    "COMMERCE_OPEN_STREAMS": "16",
    "COMMERCE_DATABASE_CONNECTIONS": "2",
    "COMMERCE_DELIVERY_ATTEMPTS": str(DELIVERIES),
    "COMMERCE_MESSAGE_BYTES": "65536",
}


@asynccontextmanager
async def toy_cluster(home, **environment):
    async with Cluster(
        home, definitions=[DEFINITION], configure=configure, environment=LIMITS | environment
    ) as cluster:
        clients = Clients(cluster)
        try:
            yield clients
        finally:
            await clients.close()


@pytest.fixture(scope="package")
async def toy_clients(tmp_path_factory):
    async with toy_cluster(tmp_path_factory.mktemp("toy")) as clients:
        yield clients


@pytest.fixture
async def toy(toy_clients):
    """A store's administrator before the toy; whatever a test did to a process, it is there again for the next."""
    for name in ("nats", "toy"):
        # One that dies again and again is started after a growing pause.
        await toy_clients.cluster.wait_ready(name, 60)
    return Shop(toy_clients)


@asynccontextmanager
async def held_up(shop, key):
    """Whoever asks the toy to "wait" for this key waits in PostgreSQL until this ends."""
    keeper = await asyncpg.connect(shop.clients.cluster.admin_dsn)
    try:
        await keeper.execute("SELECT pg_advisory_lock($1)", key)
        yield
    finally:
        await keeper.close()


def ask(shop, words="", **options):
    """Have the toy do as a read says: "sleep 1", "query 1" (in PostgreSQL), "wait 1" (held_up), "fail word"."""
    request = ListCustomersRequest(store_id=shop.store_id, query=words)
    return shop.customers.ListCustomers(request, **options)


def write(shop, words="", **options):
    """Have the toy do as a write says: "sleep 1", "query 1", "wait 1", "fail word", "poison", or just an event."""
    request = CreateCustomerRequest(
        store_id=shop.store_id,
        full_name=words or "Ada",
        email=f"{uuid.uuid4().hex}@example.org",
        request_id=str(uuid.uuid4()),
    )
    return shop.customers.CreateCustomer(request, **options)
