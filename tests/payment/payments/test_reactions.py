"""What an order's events do to its payment, whatever the payment is doing at that moment."""

import pytest
from commerce.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentRefunded, PaymentVoided

from tests.payment.till import at_once, done, refunds, said
from tests.shop import eventually, new_id


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


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        ("ok", [], "VOIDED"),
        ("ok", ["capture"], "REFUNDED"),
        ("ok", ["capture", "refund"], "REFUNDED"),
        ("requires_action", [], "VOIDED"),
        ("late_webhook", [], "VOIDED"),
        ("silent_after", [], "VOIDED"),
    ],
)
async def test_an_expired_order_keeps_no_money(till, method, before, after):
    payment = await till.authorize(method)
    for step in before:
        await getattr(till, step)(payment)

    await till.expired(payment)

    await till.until(payment, after)
    (charge,) = await till.book(payment)
    assert charge["status"] == after.lower()
    assert charge["captured_minor_units"] == charge["refunded_minor_units"]


async def test_an_expired_order_that_was_never_charged_stays_as_it_is(till):
    payment = await till.authorize("declined")

    await till.applied(await till.expired(payment))

    assert done(await till.until(payment, "FAILED")) == [("authorize", "FAILED")]


async def test_an_order_that_expired_before_its_payment_is_not_charged(till):
    asking = till.asking()
    await till.applied(await till.expired(asking))

    payment = await till.ask(asking)

    assert (said(payment), done(payment)) == ("VOIDED", [])
    assert await till.book(asking) == []


async def test_an_order_that_was_cancelled_and_has_expired_is_refunded_once(till, shop):
    payment = await till.capture(await till.authorize())

    await at_once(till.cancelled(payment), till.expired(payment), till.cancelled(payment))

    assert refunds(await till.until(payment, "REFUNDED")) == [(1999, "SUCCEEDED")]
    await till.agrees(payment)
    assert len(await shop.published(PaymentRefunded)) == 1


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
async def test_of_an_order_that_ends_after_a_return_the_rest_is_refunded(till, ending):
    payment = await till.capture(await till.authorize())
    await till.returned(payment, 600)
    await till.until(payment, "PARTIALLY_REFUNDED")

    await getattr(till, ending)(payment)

    assert refunds(await till.until(payment, "REFUNDED")) == [(600, "SUCCEEDED"), (1399, "SUCCEEDED")]
    await till.agrees(payment)


async def test_what_came_back_is_refunded(till, shop):
    payment = await till.capture(await till.authorize(minor_units=1999))

    await till.returned(payment, 600)

    refunded = await till.until(payment, "PARTIALLY_REFUNDED")
    assert refunds(refunded) == [(600, "SUCCEEDED")]
    await till.agrees(payment)
    (event,) = await shop.published(PaymentRefunded)
    assert (event.refund.minor_units, event.refunded.minor_units) == (600, 600)


async def test_a_return_that_is_told_again_and_again_is_refunded_once(till, shop):
    """JetStream's store was rebuilt, and the inbox cleaned up since: the same return in other messages."""
    payment, return_id = await till.capture(await till.authorize()), new_id()

    await at_once(*(till.returned(payment, 600, return_id) for _ in range(5)))
    await till.until(payment, "PARTIALLY_REFUNDED")
    await till.applied(await till.returned(payment, 600, return_id.upper()))

    assert refunds(await till.until(payment, "PARTIALLY_REFUNDED")) == [(600, "SUCCEEDED")]
    await till.agrees(payment)
    assert len(await shop.published(PaymentRefunded)) == 1


async def test_many_returns_at_once_are_all_refunded(till, shop):
    payment = await till.capture(await till.authorize(minor_units=2000))

    await at_once(*(till.returned(payment, 100) for _ in range(20)))

    assert refunds(await till.until(payment, "REFUNDED")) == [(100, "SUCCEEDED")] * 20
    await till.agrees(payment)
    assert len(await shop.published(PaymentRefunded)) == 20


async def test_a_return_that_overtakes_the_capture_waits_for_it(till):
    payment = await till.authorize()
    await till.applied(await till.returned(payment, 600))
    waiting = await till.get(payment)
    assert (said(waiting), refunds(waiting)) == ("AUTHORIZED", [(600, "WAITING")])

    await till.accepted(payment)

    settled = await till.until(payment, "PARTIALLY_REFUNDED")
    assert [kind for kind, _ in done(settled)] == ["authorize", "refund", "capture"]
    await till.agrees(payment)


async def test_returns_during_an_unknown_capture_wait_until_it_is_known(till):
    payment = await till.authorize()
    async with till.frozen():
        await till.accepted(payment)

        async def unknown():
            return ("capture", "UNKNOWN") in done(await till.get(payment))

        await eventually(unknown)
        for event in [await till.returned(payment, each) for each in (600, 700)]:
            await till.applied(event)
        assert refunds(await till.get(payment)) == [(600, "WAITING"), (700, "WAITING")]

    settled = await till.until(payment, "PARTIALLY_REFUNDED")
    assert refunds(settled) == [(600, "SUCCEEDED"), (700, "SUCCEEDED")]
    assert settled.refunded.minor_units == 1300
    await till.agrees(payment)


async def test_a_return_waits_for_a_callers_refund_whose_answer_was_lost(till):
    payment = await till.capture(await till.authorize())
    async with till.frozen():
        await till.refund(payment, minor_units=400)
        await till.applied(await till.returned(payment, 600))
        assert refunds(await till.get(payment)) == [(400, "UNKNOWN"), (600, "WAITING")]

    settled = await till.until(payment, "PARTIALLY_REFUNDED")
    assert refunds(settled) == [(400, "SUCCEEDED"), (600, "SUCCEEDED")]
    await till.agrees(payment)


async def test_accepted_returned_and_refunded_at_once_all_happen(till):
    payments = await at_once(*(till.authorize() for _ in range(10)))

    await at_once(
        *(till.returned(payment, 600) for payment in payments),
        *(till.accepted(payment) for payment in payments),
        *(till.returned(payment, 500) for payment in payments),
    )

    for payment in payments:

        async def both(payment=payment):
            found = await till.settled(payment)
            return found if found and found.refunded.minor_units == 1100 else None

        assert said(await eventually(both)) == "PARTIALLY_REFUNDED"
        await till.agrees(payment)


async def test_a_return_worth_nothing_refunds_nothing(till):
    payment = await till.capture(await till.authorize())

    await till.applied(await till.returned(payment, 0))

    assert refunds(await till.until(payment, "CAPTURED")) == []


async def test_a_return_of_a_sum_that_cannot_be_is_a_dead_letter(till):
    payment = await till.capture(await till.authorize(minor_units=1999))
    await till.refund(payment, minor_units=600)

    too_much, below_nothing = await till.returned(payment, 2000), await till.returned(payment, -1)
    other_currency = await till.returned(payment, 1, currency="USD")

    assert "REFUND_TOO_LARGE" in await till.buried(too_much)
    assert "REFUND_TOO_LARGE" in await till.buried(below_nothing)
    assert "INVALID_ARGUMENT" in await till.buried(other_currency)
    assert refunds(await till.get(payment)) == [(600, "SUCCEEDED")]
    await till.agrees(payment)


async def test_a_return_with_the_id_of_another_one_is_a_dead_letter(till):
    payment, return_id = await till.capture(await till.authorize()), new_id()
    await till.returned(payment, 600, return_id)
    await till.until(payment, "PARTIALLY_REFUNDED")

    event_id = await till.returned(payment, 601, return_id)

    assert "REQUEST_ID_REUSED" in await till.buried(event_id)


async def test_a_return_of_an_order_without_a_payment_is_a_dead_letter(till):
    assert "PAYMENT_NOT_FOUND" in await till.buried(await till.returned(till.asking(), 1))


async def test_a_return_that_waits_for_a_capture_which_never_comes_has_failed(till):
    payment = await till.authorize()
    await till.applied(await till.returned(payment, 600))

    await till.cancelled(payment)

    assert refunds(await till.until(payment, "VOIDED")) == [(600, "FAILED")]
    await till.agrees(payment)
