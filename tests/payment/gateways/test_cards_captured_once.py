"""A Stripe account, or a card, without multicapture: every parcel is paid, by one capture with the first."""

import nats
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.operations_service_pb2 import ListUnsettledOperationsRequest

from tests.payment.till import Till, done, line_amount, said
from tests.shop import Clients, Shop, eventually, new_id, refused

AMOUNT = 3000
CARD, CHALLENGED = "pm_stripe_pm_card_visa", "pm_stripe_pm_card_threeDSecure2Required"


@pytest.fixture
async def till(cluster, stripe):
    clients = Clients(cluster)
    client = await nats.connect(cluster.nats_url)
    till = Till(Shop(clients), client.jetstream())
    await till.sets("ON_SHIPMENT")
    stripe.stripe.multicapture = False
    yield till
    stripe.stripe.multicapture = True
    await client.close()
    await clients.close()


def money(stripe, payment):
    """What the provider's own book has of a payment."""
    (charge,) = [each for each in stripe.book().values() if each.payment_intent == payment.provider_reference]
    return charge.captured, charge.refunded, charge.held


async def dead_letters(till):
    return await till.shop.clients.rows("SELECT reason FROM payment.dead_letters")


async def test_two_parcels_are_paid_with_the_first(till, stripe):
    payment = await till.authorize(minor_units=AMOUNT, payment_method=CARD)
    assert said(payment) == "AUTHORIZED"

    await till.shipped(payment, line_amount("", 1000))
    paid = await till.until(payment, "CAPTURED")
    await till.applied(await till.shipped(payment, line_amount("", 2000)))

    assert money(stripe, payment) == (AMOUNT, 0, 0)
    assert done(await till.get(payment)) == [("authorize", "SUCCEEDED"), ("capture", "SUCCEEDED")]
    assert "once" in paid.operations[1].reason
    assert await dead_letters(till) == []


async def test_two_parcels_at_once_are_paid_once(till, stripe):
    payment = await till.authorize(minor_units=AMOUNT, payment_method=CARD)
    for amount in (1000, 2000):
        await till.shipped(payment, line_amount("", amount))
    await till.until(payment, "CAPTURED")
    assert money(stripe, payment) == (AMOUNT, 0, 0)
    assert await dead_letters(till) == []


async def test_one_parcel_told_twice_is_paid_once(till, stripe):
    payment, parcel = await till.authorize(minor_units=AMOUNT, payment_method=CARD), new_id()
    for _ in range(2):
        await till.applied(await till.shipped(payment, line_amount("", 1000), shipment_id=parcel))
    await till.until(payment, "CAPTURED")
    assert money(stripe, payment) == (AMOUNT, 0, 0)


async def test_what_was_taken_beforehand_goes_back_for_a_return(till, stripe):
    payment = await till.authorize(minor_units=AMOUNT, payment_method=CARD)
    await till.shipped(payment, line_amount("", 1000))
    await till.until(payment, "CAPTURED")
    await till.returned(payment, 2000)
    await till.until(payment, "PARTIALLY_REFUNDED")
    assert money(stripe, payment) == (AMOUNT, 2000, 0)


async def test_a_customer_who_had_to_confirm_is_charged_once_too(till, stripe):
    payment = await till.authorize(minor_units=AMOUNT, payment_method=CHALLENGED)
    stripe.answer_challenge(payment.provider_reference, passed=True)
    await till.confirm(payment)
    await till.shipped(payment, line_amount("", 1000))
    await till.until(payment, "CAPTURED")
    assert money(stripe, payment) == (AMOUNT, 0, 0)


async def test_an_account_with_multicapture_pays_each_parcel(till, stripe):
    stripe.stripe.multicapture = True
    payment = await till.authorize(minor_units=AMOUNT, payment_method=CARD)
    await till.shipped(payment, line_amount("", 1000))
    await till.until(payment, "PARTIALLY_CAPTURED")
    assert money(stripe, payment) == (1000, 0, 2000)
    await till.shipped(payment, line_amount("", 2000))
    await till.until(payment, "CAPTURED")
    assert money(stripe, payment) == (AMOUNT, 0, 0)


async def test_a_part_by_hand_is_refused_unless_the_rest_is_given_up_with_it(till, stripe):
    await till.sets("MANUAL")
    payment = await till.authorize(minor_units=AMOUNT, payment_method=CARD)
    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNABLE, ability="multiple_capture", gateway="stripe"):
        await till.capture(payment, minor_units=1000)
    assert money(stripe, payment) == (0, 0, AMOUNT)

    await till.capture(payment, minor_units=1000, final=True)

    settled = await till.until(payment, "CAPTURED")
    assert (settled.captured.minor_units, settled.voided.minor_units) == (1000, 2000)
    assert money(stripe, payment) == (1000, 0, 0)


async def test_a_first_parcel_that_is_refused_is_shown_and_the_next_one_tries_again(till, stripe):
    payment = await till.authorize(minor_units=AMOUNT, payment_method=CARD)
    stripe.stripe.multicapture = True  # The provider has told otherwise than it does now.
    intent = stripe.stripe.payment_intents.get(payment.provider_reference)
    intent["amount_capturable"] = 10
    await till.shipped(payment, line_amount("", 1000))

    async def failed():
        return ("capture", "FAILED") in done(await till.get(payment))

    await eventually(failed)
    request = ListUnsettledOperationsRequest(page_size=500)
    reply = await till.service.payment_operations.ListUnsettledOperations(request)
    (shown,) = [each for each in reply.operations if each.payment_id == payment.payment_id]
    assert shown.operation.provider_message
    assert shown.operation.provider_request_id.startswith("req_")
    intent["amount_capturable"] = AMOUNT

    await till.shipped(payment, line_amount("", 2000))

    await till.until(payment, "CAPTURED")
    assert money(stripe, payment) == (AMOUNT, 0, 0)
