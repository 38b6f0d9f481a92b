"""Small clusters that tests may hurt: the toy service alone, with small limits; and a way to ask it for things."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import asyncpg
import grpc
import pytest
from commerce.customer.v1.customer_service_pb2 import CreateCustomerRequest, ListCustomersRequest
from commerce.order.v1.order_service_pb2 import WatchOrderRequest

from services.cluster.cluster import Cluster
from tests.cluster.toys import configure
from tests.runtime.toy import DEFINITION
from tests.shop import WAIT_SECONDS, Clients, Shop

# Who waits for a lock that `held_up` holds, by its key.
HELD_UP = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"
# So often an event is delivered before it is put aside.
DELIVERIES = 2
LIMITS = {
    "COMMERCE_CALL_SECONDS": "2",
    "COMMERCE_CALLS_IN_FLIGHT": "6",
    "COMMERCE_OPEN_STREAMS": "16",
    "COMMERCE_DATABASE_CONNECTIONS": "2",
    # What waits for a test's lock waits as long as the test does.
    "COMMERCE_DATABASE_TIMEOUT_SECONDS": "60",
    "COMMERCE_SEARCH_TIMEOUT_SECONDS": "60",
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
        await toy_clients.cluster.wait_ready(name)
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


def ask(shop, words="", timeout=WAIT_SECONDS, **options):
    """Have the toy do as a read says: "sleep 1", "query 1" (in PostgreSQL), "wait 1" (held_up), "fail word".

    Without a `timeout`, None, the toy gives it two seconds, which a busy machine may take for any call.
    """
    request = ListCustomersRequest(store_id=shop.store_id, query=words)
    return shop.customers.ListCustomers(request, timeout=timeout, **options)


def write(shop, words="", timeout=WAIT_SECONDS, **options):
    """Have the toy do as a write says: "sleep 1", "query 1", "wait 1", "fail word", "poison", or just an event."""
    request = CreateCustomerRequest(
        store_id=shop.store_id,
        full_name=words or "Ada",
        email=f"{uuid.uuid4().hex}@example.org",
        request_id=str(uuid.uuid4()),
    )
    return shop.customers.CreateCustomer(request, timeout=timeout, **options)


def watch(shop):
    return shop.orders.WatchOrder(WatchOrderRequest(order_id=str(uuid.uuid4())))


async def opened(shop):
    """A stream, or None when there is no room for it yet."""
    stream = watch(shop)
    try:
        await stream.read()
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
        return None
    return stream


async def outcomes(calls):
    """How many calls were answered, and how many were refused as too many; nothing else may happen."""
    answered = refusals = 0
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            assert isinstance(result, grpc.aio.AioRpcError), result
            assert result.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, result
            refusals += 1
        else:
            answered += 1
    return answered, refusals


def all_begun(calls):
    return [asyncio.ensure_future(call) for call in calls]


async def filled(calls, room):
    """The calls, once there is no room for more: all past it are refused."""
    calls = all_begun(calls)
    waiting = set(calls)
    while len(waiting) > room:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    return calls
