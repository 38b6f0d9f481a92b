"""A payment service that has a Stripe."""

from contextlib import asynccontextmanager

import pytest

from services.cluster.cluster import Cluster
from tests.cluster.toys import processes_of
from tests.providers.stripe.server import StripeServer

KEY, SECRET = "sk_test_x", "whsec_x"


@pytest.fixture(scope="module")
async def stripe():
    async with StripeServer(api_key=KEY, webhook_secret=SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def stripe_cluster(tmp_path_factory, stripe):
    """Starts a cluster of payment with that Stripe and with this environment."""

    @asynccontextmanager
    async def started(**environment):
        home = tmp_path_factory.mktemp("stripe")
        told = {
            "COMMERCE_STRIPE_URL": stripe.url,
            "COMMERCE_STRIPE_SECRET_KEY": KEY,
            "COMMERCE_STRIPE_WEBHOOK_SECRET": SECRET,
        }
        async with Cluster(home, ["payment"], environment=told | environment) as cluster:
            yield cluster
        assert not processes_of(home), "the cluster left processes behind"

    return started
