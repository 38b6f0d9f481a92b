"""A cluster of their own for tests that kill its processes."""

import pytest

from services.cluster.cluster import Cluster
from tests.saga.checkouts import everything_ready
from tests.shop import Clients


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory):
    async with Cluster(tmp_path_factory.mktemp("saga")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


@pytest.fixture(scope="module")
def failpoints(tmp_path_factory):
    """The folder that arms the points of a crash matrix."""
    return tmp_path_factory.mktemp("failpoints")


@pytest.fixture(autouse=True)
async def whole(cluster):
    """Begin with everything running: what the test before has killed is started again after a back-off."""
    await everything_ready(cluster)
