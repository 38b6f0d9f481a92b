"""GetPayment."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest

from tests.payment.till import done
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
