"""Time is over: the customer did not confirm, or nobody took the money. Nothing stays held at the provider."""

import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentExpired, PaymentVoided

from tests.payment.agreement import agree, balanced
from tests.payment.till import at_once, done, log_lines, refunds, said
from tests.shop import eventually, refused

TOTAL = 2_000
CHALLENGE_SECONDS = 900


def seconds_left(payment):
    """How long it had when it was told, however long that took."""
    return (payment.expire_time.ToNanoseconds() - payment.update_time.ToNanoseconds()) / 1e9


async def held(till, payment):
    """What the provider still holds for the order."""
    (charge,) = await till.book(payment)
    names = ("authorized", "captured", "voided")
    authorized, captured, voided = (charge[f"{name}_minor_units"] for name in names)
    return 0 if charge["status"] == "expired" else authorized - captured - voided


async def test_what_nobody_takes_in_time_expires_and_is_told(till, shop):
    payment = await till.authorize("expiring", minor_units=TOTAL)
    assert 0 < seconds_left(payment) <= 3

    expired = await till.until(payment, "EXPIRED")

    assert not expired.HasField("expire_time")
    assert (expired.captured.minor_units, expired.voided.minor_units) == (0, TOTAL)
    (event,) = await shop.published(PaymentExpired)
    assert event.payment.payment_id == payment.payment_id
    assert await held(till, payment) == 0
    await agree(till)
    assert (await balanced(shop))["customer_receivable"] == 0


@pytest.mark.parametrize("operation", ["capture", "void", "refund"])
async def test_nothing_can_be_done_with_what_has_expired(till, operation):
    payment = await till.authorize("expiring", minor_units=TOTAL)
    await till.until(payment, "EXPIRED")

    with refused(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation=operation, state="EXPIRED"
    ):
        await getattr(till, operation)(payment)


async def test_what_was_taken_in_part_stays_taken_when_the_rest_expires(till, shop):
    payment = await till.authorize("expiring", minor_units=TOTAL)
    taken = await till.capture(payment, minor_units=700)
    assert said(taken) == "PARTIALLY_CAPTURED"

    over = await till.until(payment, "CAPTURED")

    assert (over.captured.minor_units, over.voided.minor_units) == (700, TOTAL - 700)
    assert not over.HasField("expire_time")
    assert len(await shop.published(PaymentVoided)) == 1
    assert await shop.published(PaymentExpired) == []
    await agree(till)
    assert refunds(await till.refund(payment)) == [(700, "SUCCEEDED")]
    await agree(till)


async def test_what_was_taken_in_time_does_not_expire(till, shop):
    payment = await till.authorize("expiring", minor_units=TOTAL)

    taken = await till.capture(payment)

    other = await till.authorize("expiring", minor_units=TOTAL)
    assert not taken.HasField("expire_time")
    await till.until(other, "EXPIRED")
    assert said(await till.get(payment)) == "CAPTURED"
    assert len(await shop.published(PaymentExpired)) == 1
    await agree(till)


async def test_a_customer_who_does_not_confirm_in_the_stores_time_is_too_late(till, shop):
    await till.sets(action_wait=1)
    payment = await till.authorize("requires_action", minor_units=TOTAL)
    assert 0 < seconds_left(payment) <= 1

    expired = await till.until(payment, "EXPIRED")

    assert expired.next_action_url == ""
    assert done(expired)[1] == ("expire", "SUCCEEDED")
    assert await till.answer_challenge(payment, "pass") == 409
    assert await shop.published(PaymentAuthorized) == []
    assert len(await shop.published(PaymentExpired)) == 1
    assert await held(till, payment) == 0
    await agree(till)


async def test_a_customer_who_does_not_confirm_in_the_providers_time_is_too_late(till, shop):
    payment = await till.authorize("challenge_expiring", minor_units=TOTAL)
    assert seconds_left(payment) <= 3

    await till.until(payment, "EXPIRED")

    assert await till.answer_challenge(payment, "pass") == 409
    assert len(await shop.published(PaymentExpired)) == 1
    await agree(till)


async def test_a_store_never_waits_longer_than_the_provider(till):
    await till.sets(action_wait=3_600)

    payment = await till.authorize("requires_action", minor_units=TOTAL)

    assert 60 < seconds_left(payment) <= CHALLENGE_SECONDS + 1


async def test_a_customer_who_confirms_in_time_has_the_providers_time_then(till):
    await till.sets(action_wait=30)
    payment = await till.authorize("requires_action", minor_units=TOTAL)
    await till.answer_challenge(payment, "pass")

    confirmed = await till.confirm(payment)

    assert said(confirmed) == "AUTHORIZED"
    assert seconds_left(confirmed) > CHALLENGE_SECONDS


async def test_a_provider_that_does_not_decide_in_time_need_not_decide_any_more(till, shop):
    await till.sets(action_wait=1)
    payment = await till.authorize("late_webhook", minor_units=TOTAL)
    assert (said(payment), payment.HasField("expire_time")) == ("PENDING", False)

    await till.until(payment, "EXPIRED")

    assert await shop.published(PaymentAuthorized) == []
    assert await held(till, payment) == 0
    await agree(till)


async def test_a_payment_that_somebody_holds_when_its_time_is_over_expires_later_and_alarms_nobody(
    till, shop
):
    somebody = await asyncpg.connect(shop.clients.cluster.admin_dsn)
    try:
        payment = await till.authorize("expiring", minor_units=TOTAL)
        async with somebody.transaction():
            await somebody.execute(
                "SELECT FROM payment.payments WHERE payment_id = $1 FOR UPDATE", payment.payment_id
            )
            (line, *_) = await eventually(lambda: _logged(shop, payment))
    finally:
        await somebody.close()

    assert (line["level"], line["event"]) == ("warning", "expiry waits")
    await till.until(payment, "EXPIRED")
    await agree(till)


async def _logged(shop, payment):
    return log_lines(shop, payment.payment_id)


async def test_many_payments_expire_each_once(till, shop):
    payments = await at_once(*(till.authorize("expiring", minor_units=TOTAL) for _ in range(50)))

    for payment in payments:
        await till.until(payment, "EXPIRED")

    assert len(await shop.published(PaymentExpired)) == 50
    await agree(till)


async def test_time_that_is_over_while_the_provider_is_away_is_over_when_it_is_back(till):
    payment = await till.authorize("expiring", minor_units=TOTAL)
    part = await till.authorize("expiring", minor_units=TOTAL)
    await till.capture(part, minor_units=1)

    async with till.frozen():
        await till.until_asked(payment, "expire")

    await till.until(payment, "EXPIRED")
    await till.until(part, "CAPTURED")
    await agree(till)
