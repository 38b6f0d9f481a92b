"""Replicas of a service are one service: they start together, and a client may meet any of them."""

import asyncio
import uuid
from pathlib import Path

import pytest
from commerce.customer.v1.customer_service_pb2 import CreateCustomerRequest, ListCustomersRequest

from services import customer
from services.cluster.cluster import Cluster
from tests.shop import Clients, Shop

MIGRATIONS = Path(customer.__file__).parent / "migrations"


@pytest.fixture(scope="module")
async def clients(tmp_path_factory):
    home = tmp_path_factory.mktemp("replicas")
    async with Cluster(home, ["customer"], replicas={"customer": 3}) as cluster:
        clients = Clients(cluster)
        yield clients
        await clients.close()


@pytest.fixture
def replicas(clients):
    """One shop as each replica serves it."""
    shop = Shop(clients)
    return [shop.at(address) for address in clients.cluster.addresses("customer")]


async def test_they_make_one_schema_though_they_start_at_once(clients):
    assert all(
        clients.cluster.process(name).restarts == 0 for name in ("customer", "customer-2", "customer-3")
    )
    newest = max(path.name.partition("_")[0] for path in MIGRATIONS.glob("[0-9]*.py"))
    assert await clients.rows("SELECT version_num FROM customer.service_revision") == [(newest,)]


async def test_one_request_sent_to_all_of_them_at_once_is_one(replicas):
    request = CreateCustomerRequest(
        store_id=replicas[0].store_id,
        full_name="Ada",
        email="ada@example.org",
        request_id=str(uuid.uuid4()),
    )

    replies = await asyncio.gather(
        *(shop.customers.CreateCustomer(request) for shop in replicas for _ in range(10))
    )

    assert len({reply.customer.customer_id for reply in replies}) == 1
    assert len(await replicas[0].published()) == 1


async def test_a_list_goes_on_at_another_one(replicas):
    created = {await replicas[0].customer() for _ in range(3)}
    token, seen = "", set()
    for shop in replicas:
        request = ListCustomersRequest(store_id=shop.store_id, page_size=1, page_token=token)
        reply = await shop.customers.ListCustomers(request)
        seen |= {customer.customer_id for customer in reply.customers}
        token = reply.next_page_token

    assert (seen, token) == (created, "")
