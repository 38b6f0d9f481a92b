"""A payment service that has a Stripe and a PayPal beside the sandbox."""

import pytest

from services.cluster.cluster import Cluster
from tests.cluster.toys import processes_of
from tests.payment.worlds.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID
from tests.providers.paypal.server import PaypalServer
from tests.providers.stripe.server import StripeServer

KEY, SECRET = "sk_test_x", "whsec_x"


@pytest.fixture(scope="package")
async def stripe():
    async with StripeServer(api_key=KEY, webhook_secret=SECRET) as server:
        yield server


@pytest.fixture(scope="package")
async def paypal():
    server = PaypalServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, webhook_id=WEBHOOK_ID)
    async with server:
        yield server


@pytest.fixture(scope="package")
async def cluster(tmp_path_factory, stripe, paypal):
    home = tmp_path_factory.mktemp("providers")
    told = {
        "COMMERCE_STRIPE_URL": stripe.url,
        "COMMERCE_STRIPE_SECRET_KEY": KEY,
        "COMMERCE_STRIPE_WEBHOOK_SECRET": SECRET,
        "COMMERCE_PAYPAL_URL": paypal.url,
        "COMMERCE_PAYPAL_CLIENT_ID": CLIENT_ID,
        "COMMERCE_PAYPAL_CLIENT_SECRET": CLIENT_SECRET,
        "COMMERCE_PAYPAL_WEBHOOK_ID": WEBHOOK_ID,
        "COMMERCE_DELIVERY_ATTEMPTS": "2",
        # What must be in no log is in none of the longest.
        "COMMERCE_LOG_LEVEL": "debug",
    }
    async with Cluster(home, ["payment"], environment=told) as cluster:
        yield cluster
    assert not processes_of(home), "the cluster left processes behind"
