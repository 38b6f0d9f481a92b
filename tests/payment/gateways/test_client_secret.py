"""What Stripe.js confirms a payment with: the buyer of that payment gets it, while it is waited for."""

import nats
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_service_pb2 import (
    ConfirmPaymentRequest,
    GetPaymentRequest,
    ListCustomerPaymentsRequest,
    ListPaymentsRequest,
)

from tests.payment.till import Till, said
from tests.shop import Clients, Shop, new_id, refused

CHALLENGED = "pm_stripe_pm_card_threeDSecure2Required"


@pytest.fixture
async def till(cluster):
    clients = Clients(cluster)
    client = await nats.connect(cluster.nats_url)
    yield Till(Shop(clients), client.jetstream())
    await client.close()
    await clients.close()


async def challenged(till, stripe):
    """A payment that waits for its customer, and the provider's secret of it."""
    payment = await till.authorize(payment_method=CHALLENGED)
    assert said(payment) == "REQUIRES_ACTION"
    secret = stripe.stripe.payment_intents.get(payment.provider_reference)["client_secret"]
    return payment, secret, till.shop.as_("customer", customer_id=payment.customer_id)


async def seen(shop, payment):
    return (await shop.payments.GetPayment(GetPaymentRequest(payment_id=payment.payment_id))).payment


async def test_the_buyer_gets_it_beside_the_redirect_until_they_have_confirmed(till, stripe):
    payment, secret, buyer = await challenged(till, stripe)

    found = await seen(buyer, payment)

    assert found.client_secret == secret
    assert found.next_action_url
    stripe.answer_challenge(payment.provider_reference, passed=True)
    asked = ConfirmPaymentRequest(payment_id=payment.payment_id, request_id=new_id())
    confirmed = (await buyer.payments.ConfirmPayment(asked)).payment
    assert (said(confirmed), confirmed.client_secret) == ("AUTHORIZED", "")
    assert (await seen(buyer, payment)).client_secret == ""


async def test_by_rest_it_is_the_buyers_too(till, stripe):
    payment, secret, buyer = await challenged(till, stripe)
    reply = await buyer.rest("GET", f"/v1/payments/{payment.payment_id}")
    assert reply.body["payment"]["clientSecret"] == secret
    reply = await till.shop.rest("GET", f"/v1/payments/{payment.payment_id}")
    assert reply.body["payment"]["clientSecret"] == ""


@pytest.mark.parametrize("role", ["store_manager", "store_admin", "platform_admin", "service"])
async def test_nobody_else_gets_it(till, stripe, role):
    payment, _, _ = await challenged(till, stripe)
    other = till.shop.as_(role)
    reply = await other.payments.ListPayments(ListPaymentsRequest(store_id=till.shop.store_id))
    for found in (payment, await seen(other, payment), *reply.payments):
        assert found.next_action_url
        assert found.client_secret == ""


async def test_another_customer_does_not_even_see_the_payment_and_lists_have_no_secret(till, stripe):
    payment, _, buyer = await challenged(till, stripe)
    with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND):
        await seen(till.shop.as_("customer", customer_id=new_id()), payment)
    asked = ListCustomerPaymentsRequest(customer_id=payment.customer_id)
    (listed,) = (await buyer.payments.ListCustomerPayments(asked)).payments
    assert listed.client_secret == ""


async def test_a_payment_that_was_given_up_has_none_any_more(till, stripe):
    payment, _, buyer = await challenged(till, stripe)
    await till.cancelled(payment)
    await till.until(payment, "VOIDED")
    assert (await seen(buyer, payment)).client_secret == ""


async def test_what_a_replica_of_the_version_before_left_is_not_told_and_goes_with_the_next_change(
    till, stripe
):
    """That one knows of no secret, so it moves a payment on with the secret still in it."""
    payment, secret, buyer = await challenged(till, stripe)
    stripe.answer_challenge(payment.provider_reference, passed=True)
    asked = ConfirmPaymentRequest(payment_id=payment.payment_id, request_id=new_id())
    await buyer.payments.ConfirmPayment(asked)
    where = "WHERE payment_id = $1"
    await till.shop.clients.rows(
        f"UPDATE payment.payments SET client_secret = $2 {where}", payment.payment_id, secret
    )

    assert (await seen(buyer, payment)).client_secret == ""
    await till.cancelled(payment)
    await till.until(payment, "VOIDED")
    assert await till.shop.clients.rows(
        f"SELECT client_secret FROM payment.payments {where}", payment.payment_id
    ) == [("",)]


async def test_it_is_in_no_log_no_event_no_first_reply_and_no_span(till, stripe, cluster):
    payment, secret, buyer = await challenged(till, stripe)
    assert (await seen(buyer, payment)).client_secret == secret
    asked = ConfirmPaymentRequest(payment_id=payment.payment_id, request_id=new_id())
    await buyer.payments.ConfirmPayment(asked)

    for log in cluster.home.path.glob("logs/*"):
        assert secret not in log.read_text(errors="replace"), log.name
    # The bank's page may have it in its address, which is told anyway.
    page = payment.next_action_url.encode()
    for sql in (
        "SELECT payload AS kept FROM payment.outbox",
        "SELECT reply AS kept FROM payment.first_replies",
    ):
        rows = await till.shop.clients.rows(sql)
        assert not any(secret.encode() in row["kept"].replace(page, b"") for row in rows)
    assert secret.encode() not in till.shop.clients.spans_kept()
