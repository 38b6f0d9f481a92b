"""Webhooks that tell no outcome, as PayPal's when a customer has approved: the provider is asked at once."""

import pytest

from tests.payment.till import Till, at_once, said
from tests.shop import Clients, Shop, eventually

APPROVED = "CHECKOUT.ORDER.APPROVED"


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


def approved(paypal, payment):
    """The customer approves: PayPal's event about it."""
    paypal.approve(payment.provider_reference)
    return next(
        event
        for event in reversed(paypal.events)
        if event.event_type == APPROVED and payment.provider_reference in event.body.decode()
    )


async def posted(shop, event):
    """Send a webhook as it is, through the gateway: the status of the reply."""
    headers = {**event.headers, "Content-Type": "application/json"}
    reply = await shop.as_nobody.rest("POST", "/v1/webhooks/paypal", data=event.body, headers=headers)
    return reply.status


async def test_an_approval_has_the_provider_asked_at_once(shop, paypal, payment):
    assert await posted(shop, approved(paypal, payment)) == 200

    authorized = await Till(shop).until(payment, "AUTHORIZED")

    assert paypal.book()[authorized.provider_reference].authorized == payment.amount.minor_units


async def test_ten_approvals_at_once_are_one_authorization(shop, paypal, payment):
    event = approved(paypal, payment)

    statuses = await at_once(*(posted(shop, event) for _ in range(10)))

    assert set(statuses) == {200}
    authorized = await Till(shop).until(payment, "AUTHORIZED")
    assert paypal.book()[authorized.provider_reference].authorized == payment.amount.minor_units
    rows = await shop.clients.rows(
        "SELECT problem FROM payment.webhooks WHERE gateway = 'paypal' AND position($1::bytea IN payload) > 0",
        payment.provider_reference.encode(),
    )
    assert [row["problem"] for row in rows] == [""]


async def test_an_approval_that_comes_late_changes_nothing(shop, paypal, payment):
    till, event = Till(shop), approved(paypal, payment)
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
