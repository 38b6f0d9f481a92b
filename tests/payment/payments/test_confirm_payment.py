"""ConfirmPayment."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentFailed
from commerce.payment.v1.payment_service_pb2 import ConfirmPaymentRequest

from tests.payment.till import at_once, done, said
from tests.shop import new_id, refused


def ask(payment, **given):
    values = {"payment_id": payment.payment_id, "request_id": new_id()}
    return ConfirmPaymentRequest(**(values | given))


async def confirmed(shop, request):
    return (await shop.payments.ConfirmPayment(request)).payment


@pytest.fixture
async def payment(till):
    return await till.authorize("requires_action")


async def test_a_customer_who_has_confirmed_need_not_wait_for_the_webhook(till, shop, payment):
    assert await till.answer_challenge(payment, "pass") == 200

    asked = await confirmed(shop, ask(payment))

    assert (said(asked), done(asked)) == ("AUTHORIZED", [("authorize", "SUCCEEDED")])
    assert asked.next_action_url == ""
    (event,) = await shop.published(PaymentAuthorized)
    assert event.payment.payment_id == payment.payment_id
    await till.agrees(payment)


async def test_a_customer_who_has_failed_has_not_paid(till, shop, payment):
    assert await till.answer_challenge(payment, "fail") == 200

    asked = await confirmed(shop, ask(payment))

    assert (said(asked), asked.decline_code) == ("FAILED", "authentication_failed")
    assert len(await shop.published(PaymentFailed)) == 1
    await till.agrees(payment)


async def test_a_customer_who_has_not_decided_is_waited_for(till, shop, payment):
    asked = await confirmed(shop, ask(payment))

    assert (said(asked), asked.next_action_url) == ("REQUIRES_ACTION", payment.next_action_url)
    assert await till.answer_challenge(payment, "pass") == 200
    await till.until(payment, "AUTHORIZED")


@pytest.mark.parametrize(
    ("method", "state"), [("ok", "AUTHORIZED"), ("declined", "FAILED"), ("late_webhook", "PENDING")]
)
async def test_a_payment_that_waits_for_no_customer_is_answered_as_it_stands(till, shop, method, state):
    payment = await till.authorize(method)

    assert said(await confirmed(shop, ask(payment))) == state


async def test_a_payment_of_which_nobody_knows_is_asked_about_at_once(till, shop):
    payment = await till.authorize("silent_after")
    assert said(payment) == "UNKNOWN"

    asked = await confirmed(shop, ask(payment))

    assert said(asked) == "AUTHORIZED"
    await till.agrees(payment)


async def test_while_a_customer_may_still_decide_nothing_is_promised(till, shop, payment):
    await confirmed(shop, ask(payment))

    assert await shop.published(PaymentAuthorized) == []
    with refused(ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, state="REQUIRES_ACTION"):
        await till.capture(payment)


async def test_ten_at_once_are_one_authorization(till, shop, payment):
    await till.answer_challenge(payment, "pass")

    asked = await at_once(*(confirmed(shop, ask(payment)) for _ in range(10)))

    assert {said(each) for each in asked} == {"AUTHORIZED"}
    assert len(await shop.published(PaymentAuthorized)) == 1
    await till.agrees(payment)


async def test_a_repeated_request_has_the_first_answer(till, shop, payment):
    request = ask(payment)
    first = await confirmed(shop, request)
    await till.answer_challenge(payment, "pass")
    await till.until(payment, "AUTHORIZED")

    assert await confirmed(shop, request) == first
    assert said(await confirmed(shop, ask(payment))) == "AUTHORIZED"


async def test_refuses_another_payment_with_the_same_request_id(till, shop, payment):
    request = ask(payment)
    await confirmed(shop, request)

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await confirmed(shop, ask(await till.authorize(), request_id=request.request_id))


async def test_a_customer_confirms_their_own_and_nobody_elses(till, shop, payment):
    await till.answer_challenge(payment, "pass")
    own, other = shop.as_("customer", payment.customer_id), shop.as_("customer", new_id())

    with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, payment_id=payment.payment_id):
        await confirmed(other, ask(payment))
    assert said(await confirmed(own, ask(payment))) == "AUTHORIZED"


async def test_answers_another_stores_payment_exactly_like_one_that_does_not_exist(shop, payment):
    said_of = set()
    for payment_id in (payment.payment_id, new_id()):
        with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, payment_id=payment_id) as refusal:
            await confirmed(shop.another(), ask(payment, payment_id=payment_id))
        said_of.add(refusal.message.replace(payment_id, "…"))
    assert len(said_of) == 1


@pytest.mark.parametrize("field", ["payment_id", "request_id"])
async def test_refuses_what_is_no_id_and_names_it(shop, payment, field):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await confirmed(shop, ask(payment, **{field: "this one"}))
    assert list(refusal.violations) == [field]


async def test_couriers_and_strangers_may_not_ask(shop, payment):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await confirmed(shop.as_("courier"), ask(payment))
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await confirmed(shop.as_nobody, ask(payment))


async def test_a_browser_that_comes_back_confirms_through_the_gateway(till, shop, payment):
    await till.answer_challenge(payment, "pass")
    customer = shop.as_("customer", payment.customer_id)

    path = f"/v1/payments/{payment.payment_id}:confirm"
    reply = await customer.rest("POST", path, json={"requestId": new_id()})

    assert (reply.status, reply.body["payment"]["state"]) == (200, "PAYMENT_STATE_AUTHORIZED")
