"""Webhooks that tell no outcome, as PayPal's when a customer has approved: the provider is asked at once."""

import pytest

from services.cluster.cluster import Cluster
from tests.cluster.toys import processes_of
from tests.payment.till import Till, at_once, said
from tests.payment.worlds.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID
from tests.providers.paypal.server import PaypalServer
from tests.shop import Clients, Shop, eventually

APPROVED = "CHECKOUT.ORDER.APPROVED"


@pytest.fixture(scope="module")
async def server():
    server = PaypalServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, webhook_id=WEBHOOK_ID)
    async with server:
        yield server


@pytest.fixture(scope="module")
async def cluster(server, tmp_path_factory):
    home = tmp_path_factory.mktemp("asking")
    environment = {
        "COMMERCE_PAYPAL_URL": server.url,
        "COMMERCE_PAYPAL_CLIENT_ID": CLIENT_ID,
        "COMMERCE_PAYPAL_CLIENT_SECRET": CLIENT_SECRET,
        "COMMERCE_PAYPAL_WEBHOOK_ID": WEBHOOK_ID,
    }
    async with Cluster(home, ["payment"], environment=environment) as cluster:
        yield cluster
    assert not processes_of(home), "the cluster left processes behind"


@pytest.fixture
async def shop(cluster):
    clients = Clients(cluster)
    yield Shop(clients)
    await clients.close()


@pytest.fixture
async def payment(shop):
    """A payment whose customer is at PayPal's page, and which nobody asks about for an hour."""
    payment = await Till(shop).authorize(payment_method="pm_paypal_redirect")
    assert said(payment) == "REQUIRES_ACTION"
    await shop.clients.rows(
        "UPDATE payment.operations SET due_time = now() + interval '1 hour' WHERE payment_id = $1",
        payment.payment_id,
    )
    return payment


def approved(server, payment):
    """The customer approves: PayPal's event about it."""
    server.approve(payment.provider_reference)
    return next(
        event
        for event in reversed(server.events)
        if event.event_type == APPROVED and payment.provider_reference in event.body.decode()
    )


async def posted(shop, event):
    """Send a webhook as it is, through the gateway: the status of the reply."""
    headers = {**event.headers, "Content-Type": "application/json"}
    reply = await shop.as_nobody.rest("POST", "/v1/webhooks/paypal", data=event.body, headers=headers)
    return reply.status


async def test_an_approval_has_the_provider_asked_at_once(shop, server, payment):
    assert await posted(shop, approved(server, payment)) == 200

    authorized = await Till(shop).until(payment, "AUTHORIZED")

    assert server.book()[authorized.provider_reference].authorized == payment.amount.minor_units


async def test_ten_approvals_at_once_are_one_authorization(shop, server, payment):
    event = approved(server, payment)

    statuses = await at_once(*(posted(shop, event) for _ in range(10)))

    assert set(statuses) == {200}
    authorized = await Till(shop).until(payment, "AUTHORIZED")
    assert server.book()[authorized.provider_reference].authorized == payment.amount.minor_units
    rows = await shop.clients.rows(
        "SELECT problem FROM payment.webhooks WHERE gateway = 'paypal' AND position($1::bytea IN payload) > 0",
        payment.provider_reference.encode(),
    )
    assert [row["problem"] for row in rows] == [""]


async def test_an_approval_that_comes_late_changes_nothing(shop, server, payment):
    till, event = Till(shop), approved(server, payment)
    await till.confirm(payment)
    taken = await till.capture(await till.until(payment, "AUTHORIZED"))

    assert await posted(shop, event) == 200

    async def stored():
        return await shop.clients.rows(
            "SELECT FROM payment.webhooks WHERE position($1::bytea IN payload) > 0",
            payment.provider_reference.encode(),
        )

    await eventually(stored)
    assert await till.get(payment) == taken
