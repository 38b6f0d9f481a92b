"""One whole cluster for the session, on real parts, and a shop of its own for each test."""

import re

import pytest
from hypothesis import HealthCheck, settings

from services.cluster.cluster import Cluster
from tests.cluster.toys import processes_of
from tests.distribution import Distribution
from tests.shop import Clients, Shop
from tests.times import Times

# How fast a machine is says nothing of what is tried on it.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def pytest_addoption(parser):
    parser.addoption("--services", help="run only these (a comma list) in the session's cluster")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # One of several processes tells the one that prints.
        config.pluginmanager.register(Times())


def pytest_xdist_make_scheduler(config, log):
    return Distribution(config, log) if config.option.dist == "loadfile" else None


def pytest_make_parametrize_id(val):
    """Keep new ids out of the names of tests: each of several processes would collect other tests."""
    return "uuid" if isinstance(val, str) and UUID.fullmatch(val) else None


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory, pytestconfig):
    home = tmp_path_factory.mktemp("cluster")
    services = pytestconfig.getoption("services")
    async with Cluster(home, services.split(",") if services else None) as cluster:
        yield cluster
    assert not processes_of(home), "the cluster left processes behind"


@pytest.fixture(scope="session")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


@pytest.fixture
def shop(clients):
    return Shop(clients)
