"""What the order service tells the catalog, without an order service; and a catalog with a second replica."""

import nats
import pytest
from commerce.order.v1.order_events_pb2 import OrderReference

from services.cluster.cluster import Cluster
from tests.catalog.orders import new_id
from tests.shop import Clients, Shop


@pytest.fixture
async def tell(shop):
    """Publishes events as the order service's relay does."""
    client = await nats.connect(shop.clients.cluster.nats_url)
    js = client.jetstream()

    async def publish(kind, order_id, event_id="", **given):
        event = kind(order=OrderReference(order_id=order_id, store_id=shop.store_id), **given)
        name, event_id = kind.DESCRIPTOR.full_name, event_id or new_id()
        await js.publish(name, event.SerializeToString(), headers={"ce-id": event_id, "ce-type": name})

    yield publish
    await client.close()


@pytest.fixture(scope="package")
async def two_catalogs(tmp_path_factory):
    """Two replicas of the catalog and nothing else; a quiet stream gives a sign of life each half second."""
    home, told = tmp_path_factory.mktemp("catalogs"), {"COMMERCE_HEARTBEAT_SECONDS": "0.5"}
    async with Cluster(home, ["catalog"], {"catalog": 2}, told) as cluster:
        clients = Clients(cluster)
        yield clients
        await clients.close()


@pytest.fixture
def replicas(two_catalogs):
    """One shop as each replica of the catalog serves it."""
    shop = Shop(two_catalogs)
    return [shop.at(address) for address in two_catalogs.cluster.addresses("catalog")]
