"""The sandbox outside of development: neither started nor offered unless it is asked for by name."""

import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_method_service_pb2 import SavePaymentMethodRequest
from commerce.payment.v1.payment_service_pb2 import ListGatewaysRequest

from services.cluster import tokens
from services.cluster.cluster import Cluster
from services.cluster.home import Home
from services.cluster.provision import Provisioning
from services.payment.definition import DEFINITION, SANDBOX
from services.runtime.definition import with_wanted_companions
from tests.cluster.toys import REPOSITORY
from tests.order.asks import create
from tests.shop import Clients, Shop, new_id, refused

PRODUCTION = {"COMMERCE_ENVIRONMENT": "production"}
ASKED = {"COMMERCE_PAYMENT_SANDBOX": "yes"}
# Nobody listens there, and nobody is asked.
STRIPE = {
    "COMMERCE_STRIPE_URL": "http://127.0.0.1:9",
    "COMMERCE_STRIPE_SECRET_KEY": "sk_live_of_ours",
    "COMMERCE_STRIPE_WEBHOOK_SECRET": "whsec_of_ours",
    "COMMERCE_RETURN_URL": "https://shop.example/thanks",
}


@asynccontextmanager
async def selling(home, environment):
    """A shop on a cluster in production, whose tokens are made here in the place of an identity service."""
    async with Cluster(home, environment=environment) as cluster:
        cluster.token = partial(tokens.mint, cluster.home)  # type: ignore[method-assign]
        clients = Clients(cluster)
        try:
            yield cluster, Shop(clients)
        finally:
            await clients.close()


async def offered(shop):
    reply = await shop.payments.ListGateways(ListGatewaysRequest())
    return [gateway.code for gateway in reply.gateways]


async def test_production_has_no_sandbox(tmp_path):
    async with selling(tmp_path, PRODUCTION | STRIPE) as (cluster, shop):
        assert "sandbox" not in cluster.status()["processes"]
        assert cluster.status()["companions"] == {}
        assert await offered(shop) == ["stripe"]
        customer, product = await shop.customer(), await shop.product()
        for method in ("pm_sandbox_ok", "hosted"):
            with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
                await shop.orders.CreateOrder(create(shop, customer, (product, 1), method=method))
            assert said.violations.keys() == {"payment_method"}
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT):
            request = SavePaymentMethodRequest(
                store_id=shop.store_id, customer_id=customer, token="pm_sandbox_ok", request_id=new_id()
            )
            await shop.payment_methods.SavePaymentMethod(request)
        reply = await shop.rest("POST", "/v1/webhooks/sandbox", {"id": "evt_1"}, token="")
        assert reply.status == 404


async def test_production_has_the_sandbox_that_is_asked_for_by_name(tmp_path):
    async with selling(tmp_path, PRODUCTION | ASKED) as (cluster, shop):
        assert cluster.status()["processes"]["sandbox"]["state"] == "ready"
        assert await offered(shop) == ["sandbox"]
        await shop.order(until="CONFIRMED")


def test_the_payment_service_does_not_offer_a_sandbox_that_it_merely_knows_of():
    """Whoever starts it by hand, with the settings of a development cluster, gets no play money either."""
    said = started(dict(SANDBOX.owner_environment) | PRODUCTION)
    assert "COMMERCE_STRIPE_SECRET_KEY" in said
    assert "COMMERCE_PAYPAL_CLIENT_ID" in said
    assert "COMMERCE_PAYMENT_SANDBOX=yes" in said


@pytest.mark.parametrize(
    "lacking", [name for name in STRIPE if "KEY" not in name and "STRIPE_URL" not in name]
)
def test_a_provider_that_is_half_set_up_is_an_error_that_names_what_is_missing(lacking):
    told = {name: value for name, value in STRIPE.items() if name != lacking}
    assert lacking in started(told | PRODUCTION)


@pytest.mark.parametrize("word", ["true", "1", "YES", "sandbox"])
def test_another_word_than_yes_or_no_is_an_error_that_names_them(word):
    said = started(dict(SANDBOX.owner_environment) | {"COMMERCE_PAYMENT_SANDBOX": word})
    assert "COMMERCE_PAYMENT_SANDBOX" in said
    assert "yes" in said


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({}, True),
        ({"COMMERCE_ENVIRONMENT": "development"}, True),
        (PRODUCTION, False),
        ({"COMMERCE_ENVIRONMENT": "staging"}, False),
        (PRODUCTION | ASKED, True),
        (PRODUCTION | {"COMMERCE_PAYMENT_SANDBOX": ""}, False),
        ({"COMMERCE_PAYMENT_SANDBOX": "no"}, False),
        ({"COMMERCE_PAYMENT_SANDBOX": "maybe"}, False),
    ],
)
def test_the_companion_runs_where_it_is_wanted(told, wanted):
    (payment,) = with_wanted_companions([DEFINITION], told)
    assert (payment.companions == (SANDBOX,)) == wanted


def test_containers_are_told_of_the_sandbox_only_where_it_runs(tmp_path):
    def companions(told):
        run = Provisioning(tmp_path / "settings", Home(tmp_path / "home"), told)
        run.folders()
        return set(run.layout.companions)

    assert companions({}) == companions(PRODUCTION | ASKED) == {"sandbox"}
    assert companions(PRODUCTION) == set()
    # The image is made before anybody says what it is for.
    assert (tmp_path / "settings/sandbox").is_dir()


def started(told):
    """What the payment service says that is started with these settings; it must not run."""
    known = dict.fromkeys(
        ("DATABASE_URL", "NATS_URL", "JWKS_FILE", "SERVICE_TOKEN", "PAGE_KEY", "LISTEN"), "x"
    )
    program = (
        "from services.payment.gateways.configured import gateways; from services.payment.settings import *;"
        "gateways(PaymentSettings.load())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={f"COMMERCE_{name}": value for name, value in known.items()} | told,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr
