"""AuthorizePayment."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentFailed

from tests.payment.till import at_once, done, said
from tests.shop import eventually, new_id, refused


async def test_promises_the_money_and_tells_it(till, shop):
    payment = await till.authorize(minor_units=1999)

    assert said(payment) == "AUTHORIZED"
    assert payment.amount == Money(currency_code="EUR", minor_units=1999)
    assert payment.captured.minor_units == payment.refunded.minor_units == 0
    assert (payment.gateway, payment.payment_method) == ("sandbox", "pm_sandbox_ok")
    assert done(payment) == [("authorize", "SUCCEEDED")]
    await till.agrees(payment)
    (event,) = await shop.published(PaymentAuthorized)
    assert event.payment.payment_id == payment.payment_id
    assert event.payment.order_id == payment.order_id
    assert (event.payment.version, event.payment.amount.minor_units) == (2, 1999)


@pytest.mark.parametrize(
    ("method", "code"), [("declined", "card_declined"), ("insufficient_funds", "insufficient_funds")]
)
async def test_a_declined_card_is_an_answer_and_no_error(till, shop, method, code):
    payment = await till.authorize(method)

    assert (said(payment), payment.decline_code) == ("FAILED", code)
    assert done(payment) == [("authorize", "FAILED")]
    (event,) = await shop.published(PaymentFailed)
    assert event.decline_code == code
    assert await shop.published(PaymentAuthorized) == []


async def test_a_method_that_the_provider_does_not_know_fails_the_payment(till):
    payment = await till.authorize("carrier_pigeon")

    assert (said(payment), payment.decline_code) == ("FAILED", "invalid_request_payment_method")
    assert await till.book(payment) == []


async def test_refuses_a_method_that_no_gateway_takes_and_records_nothing(till, shop):
    asking = till.asking(payment_method="pm_elsewhere_ok")

    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNKNOWN):
        await till.ask(asking)

    assert await shop.clients.rows("SELECT FROM payment.payments WHERE order_id = $1", asking.order_id) == []


@pytest.mark.parametrize(("outcome", "state"), [("pass", "AUTHORIZED"), ("fail", "FAILED")])
async def test_the_customer_confirms_or_does_not(till, outcome, state):
    payment = await till.authorize("requires_action")
    assert said(payment) == "REQUIRES_ACTION"

    assert await till.answer_challenge(payment, outcome) == 200

    settled = await till.until(payment, state)
    assert settled.next_action_url == ""
    assert settled.decline_code == ("authentication_failed" if outcome == "fail" else "")


async def test_a_slow_provider_is_waited_for(till):
    assert said(await till.authorize("slow")) == "AUTHORIZED"


@pytest.mark.parametrize("method", ["silent_before", "silent_after"])
async def test_silence_is_unknown_until_the_provider_has_been_asked_again(till, shop, method):
    payment = await till.authorize(method)
    assert (said(payment), done(payment)) == ("UNKNOWN", [("authorize", "UNKNOWN")])

    settled = await till.until(payment, "AUTHORIZED")

    assert settled.operations[0].attempts >= 2
    assert settled.operations[0].operation_id == payment.operations[0].operation_id
    await till.agrees(payment)
    assert len(await shop.published(PaymentAuthorized)) == 1


async def test_an_outcome_that_comes_late_comes_by_webhook(till, shop):
    payment = await till.authorize("late_webhook")
    assert said(payment) == "PENDING"

    await till.until(payment, "AUTHORIZED")

    assert len(await shop.published(PaymentAuthorized)) == 1


async def test_a_webhook_that_comes_three_times_changes_nothing(till, shop):
    payment = await till.authorize("duplicate_webhook")

    async def stored():
        rows = await shop.clients.rows(
            "SELECT problem FROM payment.webhooks WHERE position($1::text in encode(payload, 'escape')) > 0",
            payment.order_id,
        )
        return [row["problem"] for row in rows]

    assert await eventually(stored) == [""]
    assert said(await till.until(payment, "AUTHORIZED")) == "AUTHORIZED"
    assert len(await shop.published(PaymentAuthorized)) == 1
    await till.agrees(payment)


async def test_one_order_asked_for_twenty_times_at_once_is_charged_once(till, shop):
    asking = till.asking()
    again = [till.asking(**_same_as(asking)) for _ in range(20)]

    payments = await at_once(*(till.ask(one) for one in again))

    assert {payment.payment_id for payment in payments} == {payments[0].payment_id}
    assert {said(payment) for payment in payments} <= {"AUTHORIZED", "PENDING"}
    assert said(await till.until(payments[0], "AUTHORIZED")) == "AUTHORIZED"
    await till.agrees(payments[0])
    assert len(await shop.published(PaymentAuthorized)) == 1


async def test_one_request_sent_twenty_times_at_once_has_one_answer(till):
    asking = till.asking()

    payments = await at_once(*(till.ask(asking) for _ in range(20)))

    assert len({payment.SerializeToString() for payment in payments}) == 1
    await till.until(payments[0], "AUTHORIZED")
    await till.agrees(payments[0])


async def test_asking_again_answers_how_the_payment_stands(till):
    asking = till.asking()
    first = await till.ask(asking)
    await till.capture(first)

    again = await till.ask(till.asking(**_same_as(asking)))

    assert (again.payment_id, said(again)) == (first.payment_id, "CAPTURED")


@pytest.mark.parametrize(
    "other",
    [
        {"amount": Money(currency_code="EUR", minor_units=2000)},
        {"amount": Money(currency_code="USD", minor_units=1999)},
        {"payment_method": "pm_sandbox_slow"},
        {"store_id": new_id()},
        {"customer_id": new_id()},
    ],
)
async def test_refuses_to_pay_an_order_with_another_sum_or_method(till, other):
    asking = till.asking()
    payment = await till.ask(asking)

    with refused(ErrorReason.ERROR_REASON_PAYMENT_MISMATCH, order_id=asking.order_id):
        await till.ask(till.asking(**(_same_as(asking) | other)))

    await till.agrees(payment)


async def test_an_order_that_costs_nothing_needs_no_provider(till, shop):
    payment = await till.authorize(minor_units=0)

    payment = await till.until(payment, "CAPTURED")
    assert said(await till.refund(payment)) == "REFUNDED"

    assert await till.book(payment) == []
    assert (
        await shop.clients.rows("SELECT FROM payment.ledger_entries WHERE store_id = $1", shop.store_id) == []
    )


async def test_refuses_a_sum_below_nothing(till):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await till.authorize(minor_units=-1)
    assert "amount" in refusal.violations


async def test_only_services_may_ask(till, shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.payments.AuthorizePayment(till.asking())


def _same_as(asking):
    fields = ("order_id", "store_id", "customer_id", "amount", "payment_method")
    return {field: getattr(asking, field) for field in fields}
