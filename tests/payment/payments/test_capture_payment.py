"""CapturePayment."""

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentCaptured
from commerce.payment.v1.payment_service_pb2 import CapturePaymentRequest

from services.runtime.refusals import reason_of
from tests.payment.till import at_once, done, said
from tests.shop import new_id, refused


async def test_takes_the_money_and_books_it(till, shop):
    payment = await till.authorize(minor_units=1999)

    captured = await till.capture(payment)

    assert (said(captured), captured.captured.minor_units) == ("CAPTURED", 1999)
    assert done(captured) == [("authorize", "SUCCEEDED"), ("capture", "SUCCEEDED")]
    await till.agrees(payment)
    (event,) = await shop.published(PaymentCaptured)
    assert (event.payment.payment_id, event.payment.version) == (payment.payment_id, 4)
    entries = await shop.clients.rows(
        "SELECT account, debit_minor_units AS debit, credit_minor_units AS credit "
        "FROM payment.ledger_entries WHERE store_id = $1 AND kind = 'capture' ORDER BY account",
        shop.store_id,
    )
    assert [tuple(entry) for entry in entries] == [
        ("authorizations", 1999, 0),
        ("customer_receivable", 0, 1999),
        ("provider_clearing", 1999, 0),
        ("revenue", 0, 1999),
    ]


async def test_captures_once_however_often_it_is_asked_with_one_request_id(till):
    payment, request_id = await till.authorize(), new_id()

    captured = await at_once(*(till.capture(payment, request_id) for _ in range(10)))

    settled = await till.until(payment, "CAPTURED")
    assert {one.payment_id for one in captured} == {payment.payment_id}
    assert done(settled) == [("authorize", "SUCCEEDED"), ("capture", "SUCCEEDED")]
    await till.agrees(payment)


async def test_a_second_capture_is_refused(till):
    payment = await till.authorize()
    await till.capture(payment)

    with refused(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="capture", state="CAPTURED"
    ):
        await till.capture(payment)
    await till.agrees(payment)


@pytest.mark.parametrize(
    ("method", "state"),
    [("declined", "FAILED"), ("requires_action", "REQUIRES_ACTION"), ("late_webhook", "PENDING")],
)
async def test_refuses_money_that_was_not_promised(till, method, state):
    payment = await till.authorize(method)

    with refused(ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="capture", state=state):
        await till.capture(payment)


async def test_a_capture_and_a_void_at_once_never_both_happen(till):
    payments = await at_once(*(till.authorize() for _ in range(8)))

    for payment in payments:
        outcomes = await at_once(_outcome(till.capture(payment)), _outcome(till.void(payment)))
        assert set(outcomes) in (
            {"CAPTURED", "PAYMENT_OPERATION_NOT_ALLOWED"},
            {"VOIDED", "PAYMENT_OPERATION_NOT_ALLOWED"},
        )
        await till.agrees(payment)


async def test_answers_another_stores_payment_exactly_like_one_that_does_not_exist(till, shop):
    payment = await till.authorize()

    said_of = {}
    for payment_id in (payment.payment_id, new_id()):
        request = CapturePaymentRequest(payment_id=payment_id, request_id=new_id())
        with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, payment_id=payment_id) as refusal:
            await shop.another().payments.CapturePayment(request)
        said_of[payment_id] = refusal.message.replace(payment_id, "…")
    assert len(set(said_of.values())) == 1
    assert said(await till.get(payment)) == "AUTHORIZED"


async def test_a_store_administrator_captures_through_the_gateway(till, shop):
    payment = await till.authorize()

    reply = await shop.rest(
        "POST", f"/v1/payments/{payment.payment_id}:capture", json={"requestId": new_id()}
    )

    assert (reply.status, reply.body["payment"]["state"]) == (200, "PAYMENT_STATE_CAPTURED")
    assert reply.body["payment"]["captured"] == {"currencyCode": "EUR", "minorUnits": "1999"}


async def _outcome(call):
    try:
        return said(await call)
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
