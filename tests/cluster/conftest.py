"""One toy cluster for the tests that only look at it or hurt a process of it."""

import pytest

from services.cluster.cluster import Cluster
from tests.cluster.toys import TOYS, configure


@pytest.fixture(scope="package")
async def toy_cluster(tmp_path_factory):
    async with Cluster(
        tmp_path_factory.mktemp("toys"), replicas={"gamma": 2}, definitions=TOYS, configure=configure
    ) as cluster:
        yield cluster
