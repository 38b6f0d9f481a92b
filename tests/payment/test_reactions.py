"""What an accepted or cancelled order does to its payment, whatever the payment is doing at that moment."""

import pytest
from commerce.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentRefunded, PaymentVoided

from tests.payment.till import at_once, done, said
from tests.shop import eventually


async def test_an_accepted_order_is_captured(till, shop):
    payment = await till.authorize()

    await till.accepted(payment)

    captured = await till.until(payment, "CAPTURED")
    assert done(captured) == [("authorize", "SUCCEEDED"), ("capture", "SUCCEEDED")]
    await till.agrees(payment)
    assert len(await shop.published(PaymentCaptured)) == 1


async def test_an_event_that_comes_twice_captures_once(till, shop):
    payment = await till.authorize()

    await at_once(*(till.accepted(payment) for _ in range(5)))

    captured = await till.until(payment, "CAPTURED")
    assert len(captured.operations) == 2
    await till.agrees(payment)


async def test_a_hundred_accepted_orders_are_all_captured(till):
    payments = await at_once(*(till.authorize() for _ in range(100)))

    await at_once(*(till.accepted(payment) for payment in payments))

    for payment in payments:
        await till.until(payment, "CAPTURED")


async def test_an_accepted_order_without_the_money_is_a_dead_letter(till):
    payment = await till.authorize("declined")

    event_id = await till.accepted(payment)

    assert "PAYMENT_OPERATION_NOT_ALLOWED" in await till.buried(event_id)


async def test_a_cancelled_order_is_voided(till, shop):
    payment = await till.authorize()

    await till.cancelled(payment)

    assert done(await till.until(payment, "VOIDED"))[1] == ("void", "SUCCEEDED")
    await till.agrees(payment)
    assert len(await shop.published(PaymentVoided)) == 1


async def test_a_cancelled_order_that_was_captured_is_refunded(till, shop):
    payment = await till.authorize()
    await till.capture(payment)

    await till.cancelled(payment)

    await till.until(payment, "REFUNDED")
    await till.agrees(payment)
    assert len(await shop.published(PaymentRefunded)) == 1


async def test_accepted_and_cancelled_at_once_keeps_no_money(till):
    payments = await at_once(*(till.authorize() for _ in range(20)))

    await at_once(*(say(payment) for payment in payments for say in (till.accepted, till.cancelled)))

    for payment in payments:

        async def over(payment=payment):
            found = await till.get(payment)
            return found if said(found) in ("VOIDED", "REFUNDED") else None

        assert (await eventually(over)).amount.minor_units == 1999
        await till.agrees(payment)


async def test_a_cancellation_that_comes_before_the_payment_charges_nothing(till):
    asking = till.asking()
    await till.applied(await till.cancelled(asking))

    payment = await till.ask(asking)

    assert (said(payment), done(payment)) == ("VOIDED", [])
    assert await till.book(asking) == []


async def test_a_cancellation_while_the_provider_is_asked_is_voided_when_it_has_answered(till, shop):
    asking = till.asking("slow")

    async def cancel():
        sql = "SELECT FROM payment.payments WHERE order_id = $1"
        await eventually(lambda: shop.clients.rows(sql, asking.order_id))
        await till.applied(await till.cancelled(asking))

    payment, _ = await at_once(till.ask(asking), cancel())

    settled = await till.until(payment, "VOIDED")
    assert done(settled) == [("authorize", "SUCCEEDED"), ("void", "SUCCEEDED")]
    await till.agrees(payment)


@pytest.mark.parametrize("method", ["silent_before", "silent_after"])
async def test_a_cancellation_while_nobody_knows_is_voided_once_it_is_known(till, method):
    payment = await till.authorize(method)
    assert said(payment) == "UNKNOWN"

    await till.cancelled(payment)

    await till.until(payment, "VOIDED")
    await till.agrees(payment)


@pytest.mark.parametrize("method", ["requires_action", "late_webhook"])
async def test_a_cancellation_while_the_outcome_is_open_voids_at_the_provider(till, method):
    payment = await till.authorize(method)

    await till.cancelled(payment)

    settled = await till.until(payment, "VOIDED")
    assert done(settled)[-1] == ("void", "SUCCEEDED")
    (charge,) = await till.book(payment)
    assert charge["status"] == "voided"


async def test_a_cancelled_order_whose_customer_has_just_failed_ends_failed(till):
    payment = await till.authorize("requires_action")

    await at_once(till.cancelled(payment), till.answer_challenge(payment, "fail"))

    async def over():
        found = await till.get(payment)
        return found if said(found) in ("FAILED", "VOIDED") else None

    settled = await eventually(over)
    (charge,) = await till.book(payment)
    assert charge["status"] == {"FAILED": "declined", "VOIDED": "voided"}[said(settled)]


async def test_a_cancelled_order_that_was_never_charged_stays_as_it_is(till):
    payment = await till.authorize("declined")

    await till.applied(await till.cancelled(payment))

    assert done(await till.until(payment, "FAILED")) == [("authorize", "FAILED")]


async def test_a_capture_of_a_cancelled_order_is_not_begun(till):
    payment = await till.authorize()
    await till.cancelled(payment)
    await till.until(payment, "VOIDED")

    await till.applied(await till.accepted(payment))

    assert len((await till.until(payment, "VOIDED")).operations) == 2
