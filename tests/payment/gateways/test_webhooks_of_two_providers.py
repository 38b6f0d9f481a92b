"""A webhook that one provider has signed and that names what is another's: kept for a person, and nothing moves."""

import hashlib
import hmac
import json
import time

import pytest
from commerce.payment.v1.payment_service_pb2 import IngestWebhookRequest
from google.api.httpbody_pb2 import HttpBody

from tests.payment.gateways.conftest import SECRET
from tests.payment.payments.test_ingest_webhook import event, problems, send
from tests.payment.till import Till, said
from tests.shop import Clients, Shop, new_id


@pytest.fixture
async def till(cluster):
    clients = Clients(cluster)
    yield Till(Shop(clients))
    await clients.close()


async def send_as_stripe(shop, sent):
    body, now = json.dumps(sent).encode(), int(time.time())
    digest = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    request = IngestWebhookRequest(gateway="stripe", payload=HttpBody(data=body))
    metadata = (("stripe-signature", f"t={now},v1={digest}"),)
    await shop.as_nobody.payments.IngestWebhook(request, metadata=metadata)


def of_stripe(kind, subject):
    return {"id": f"evt_{new_id()}", "object": "event", "type": kind, "data": {"object": subject}}


def intent(payment, status, received=0, **fields):
    """Stripe tells of an intent that has our operation's key and this payment's sums."""
    return {
        "object": "payment_intent",
        "id": payment.provider_reference,
        "status": status,
        "amount": payment.amount.minor_units,
        "amount_received": received,
        "currency": "eur",
        "metadata": {"operation_id": payment.operations[0].operation_id},
        **fields,
    }


def dispute(payment):
    return {
        "object": "dispute",
        "id": f"dp_{new_id()}",
        "status": "needs_response",
        "payment_intent": payment.provider_reference,
        "amount": payment.amount.minor_units,
        "currency": "eur",
        "balance_transactions": [],
        "reason": "fraudulent",
    }


STRIPE_SAYS = {
    "it was given up": lambda p: of_stripe("payment_intent.canceled", intent(p, "canceled")),
    "its time is over": lambda p: of_stripe(
        "payment_intent.canceled", intent(p, "canceled", cancellation_reason="expired")
    ),
    "it was declined": lambda p: of_stripe(
        "payment_intent.payment_failed",
        intent(p, "requires_payment_method", last_payment_error={"code": "card_declined"}),
    ),
    "it was captured": lambda p: of_stripe(
        "payment_intent.succeeded", intent(p, "succeeded", p.amount.minor_units)
    ),
    "it was refunded": lambda p: of_stripe(
        "refund.created",
        {
            "object": "refund",
            "id": "re_1",
            "status": "succeeded",
            "payment_intent": p.provider_reference,
            "metadata": {"operation_id": p.operations[0].operation_id},
        },
    ),
    "it is disputed": lambda p: of_stripe("charge.dispute.created", dispute(p)),
}


@pytest.mark.parametrize("news", STRIPE_SAYS)
async def test_what_stripe_says_of_the_sandboxs_payment_moves_nothing(till, news):
    payment = await till.get(await till.authorize())
    sent = STRIPE_SAYS[news](payment)

    await send_as_stripe(till.shop, sent)

    assert await till.get(payment) == payment
    (problem,) = await problems(till.shop, sent)
    assert problem in ("the payment is sandbox's", "neither the operation nor the charge is ours")
    await till.agrees(payment)


@pytest.mark.parametrize(
    ("status", "sums"),
    [
        ("captured", {"captured_minor_units": 1999}),
        ("voided", {}),
        ("expired", {}),
        ("declined", {"decline_code": "card_declined"}),
        ("refunded", {"captured_minor_units": 1999, "refunded_minor_units": 1999}),
    ],
)
async def test_what_the_sandbox_says_of_stripes_payment_moves_nothing(till, stripe, status, sums):
    payment = await till.get(await till.authorize(payment_method="pm_stripe_pm_card_visa"))
    assert said(payment) == "AUTHORIZED"
    sent = event(payment, status, **sums)

    await send(till.shop, sent)

    assert await till.get(payment) == payment
    assert await problems(till.shop, sent) == ["the payment is stripe's"]
    (charge,) = [each for each in stripe.book().values() if each.payment_intent == payment.provider_reference]
    assert (charge.held, charge.captured) == (1999, 0)


async def test_each_ones_own_word_counts(till, stripe):
    """The same news, of whom they are about: they are true, so they are applied."""
    payment = await till.authorize(payment_method="pm_stripe_pm_card_visa")
    sent = STRIPE_SAYS["it was given up"](payment)
    await send_as_stripe(till.shop, sent)
    assert said(await till.get(payment)) == "VOIDED"
    assert await problems(till.shop, sent) == [""]
