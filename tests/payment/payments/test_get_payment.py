"""GetPayment."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest

from tests.payment.till import done, said
from tests.shop import new_id, refused


async def test_shows_what_was_done_the_first_thing_first(till):
    payment = await till.authorize()
    await till.capture(payment)
    await till.refund(payment)

    found = await till.get(payment)

    assert [kind for kind, _ in done(found)] == ["authorize", "capture", "refund"]
    for operation in found.operations:
        assert operation.amount.minor_units == 1999
        assert (operation.attempts, len(operation.trace_id)) == (1, 32)
        assert operation.create_time.ToNanoseconds() <= operation.settle_time.ToNanoseconds()


async def test_shows_the_providers_own_ids_and_why_each_thing_was_asked_for(till):
    payment = await till.authorize()
    await till.capture(payment, minor_units=1_000)
    await till.refund(payment, minor_units=300, reason="it was too small")
    await till.void(payment)

    found = await till.get(payment)

    references = [operation.provider_reference for operation in found.operations]
    assert references[0] == found.provider_reference == (await till.charge(payment))["id"]
    assert [reference.partition("_")[0] for reference in references] == ["ch", "cap", "re", "void"]
    assert [operation.reason for operation in found.operations] == ["", "", "it was too small", ""]
    assert len({operation.trace_id for operation in found.operations}) == 4
    for operation in found.operations:
        looked_up = await till.provider("GET", f"/v1/operations/{operation.operation_id}")
        assert looked_up["operation_reference"] == operation.provider_reference


async def test_shows_why_the_provider_refused(till, shop):
    payment = await till.authorize()
    await till.provider("POST", f"/v1/charges/{payment.provider_reference}/void", {})
    await till.capture(payment)

    found = await till.get(payment)

    assert (done(found)[1], found.operations[1].failure_code) == (("capture", "FAILED"), "step_not_allowed")


async def test_shows_the_providers_own_words_to_staff_and_never_to_customers(till, shop):
    payment = await till.authorize()
    await till.provider("POST", f"/v1/charges/{payment.provider_reference}/void", {})
    await till.capture(payment)

    asked = GetPaymentRequest(payment_id=payment.payment_id)
    for role in ("store_manager", "store_admin", "platform_admin", "service"):
        (_, capture) = (await shop.as_(role).payments.GetPayment(asked)).payment.operations
        assert capture.provider_message == "cannot capture a charge that is voided", role
    buyer = shop.as_("customer", customer_id=payment.customer_id)
    (_, capture) = (await buyer.payments.GetPayment(asked)).payment.operations
    assert (capture.provider_message, capture.provider_request_id) == ("", "")


async def test_shows_when_the_provider_is_asked_next_while_nobody_knows(till):
    async with till.frozen():
        payment = await till.authorize()
        (operation,) = (await till.get(payment)).operations
        assert operation.HasField("due_time") and not operation.HasField("settle_time")

    (operation,) = (await till.until(payment, "AUTHORIZED")).operations
    assert operation.attempts > 1
    assert operation.HasField("settle_time") and not operation.HasField("due_time")


async def test_nobody_is_sent_to_confirm_what_is_being_given_up(till):
    payment = await till.authorize("requires_action")
    assert (await till.get(payment)).next_action_url == payment.next_action_url != ""

    async with till.frozen():
        await till.applied(await till.cancelled(payment))
        waits = await till.get(payment)

    assert (said(waits), waits.next_action_url) == ("REQUIRES_ACTION", "")


async def test_a_customer_sees_their_own_and_nobody_elses(till, shop):
    own, other = await till.authorize(), await till.authorize()
    customer = shop.as_("customer", own.customer_id)

    found = await customer.payments.GetPayment(GetPaymentRequest(payment_id=own.payment_id))
    assert found.payment.payment_id == own.payment_id
    with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, payment_id=other.payment_id):
        await customer.payments.GetPayment(GetPaymentRequest(payment_id=other.payment_id))


async def test_answers_another_stores_payment_exactly_like_one_that_does_not_exist(till, shop):
    payment = await till.authorize()

    for payment_id in (payment.payment_id, new_id()):
        with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, payment_id=payment_id) as refusal:
            await shop.another().payments.GetPayment(GetPaymentRequest(payment_id=payment_id))
        assert refusal.message == "There is no such payment"


async def test_a_browser_gets_whole_cents(till, shop):
    payment = await till.authorize(minor_units=10**12)

    reply = await shop.rest("GET", f"/v1/payments/{payment.payment_id}")

    assert reply.status == 200
    assert reply.body["payment"]["amount"] == {"currencyCode": "EUR", "minorUnits": str(10**12)}
