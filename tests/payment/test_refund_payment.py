"""RefundPayment."""

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentRefunded

from services.runtime.refusals import reason_of
from tests.payment.till import at_once, done, said
from tests.shop import new_id, refused


async def test_gives_everything_back_and_books_it(till, shop):
    payment = await till.authorize(minor_units=1999)
    await till.capture(payment)

    refunded = await till.refund(payment)

    assert (said(refunded), refunded.refunded.minor_units) == ("REFUNDED", 1999)
    assert done(refunded)[2] == ("refund", "SUCCEEDED")
    await till.agrees(payment)
    (event,) = await shop.published(PaymentRefunded)
    assert (event.payment.payment_id, event.payment.version) == (payment.payment_id, 4)


async def test_many_refunds_at_once_are_one(till, shop):
    payment = await till.authorize()
    await till.capture(payment)

    outcomes = await at_once(*(_outcome(till.refund(payment)) for _ in range(10)))

    assert outcomes.count("REFUNDED") == 1
    assert outcomes.count("PAYMENT_OPERATION_NOT_ALLOWED") == 9
    await till.agrees(payment)
    assert len(await shop.published(PaymentRefunded)) == 1


async def test_a_repeated_request_has_the_first_answer(till):
    payment, request_id = await till.authorize(), new_id()
    await till.capture(payment)

    first, again = await till.refund(payment, request_id), await till.refund(payment, request_id)

    assert first == again
    await till.agrees(payment)


async def test_refuses_money_that_was_never_taken(till):
    payment = await till.authorize()

    with refused(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="refund", state="AUTHORIZED"
    ):
        await till.refund(payment)


async def _outcome(call):
    try:
        return said(await call)
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
