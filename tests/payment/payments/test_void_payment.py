"""VoidPayment."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentVoided

from tests.payment.till import done, said
from tests.shop import new_id, refused


async def test_gives_the_promise_up(till, shop):
    payment = await till.authorize()

    voided = await till.void(payment)

    assert said(voided) == "VOIDED"
    assert done(voided) == [("authorize", "SUCCEEDED"), ("void", "SUCCEEDED")]
    await till.agrees(payment)
    (event,) = await shop.published(PaymentVoided)
    assert event.payment.order_id == payment.order_id


async def test_a_repeated_request_has_the_first_answer(till):
    payment, request_id = await till.authorize(), new_id()

    first, again = await till.void(payment, request_id), await till.void(payment, request_id)

    assert first == again


@pytest.mark.parametrize("method", ["declined", "requires_action"])
async def test_refuses_what_was_not_promised(till, method):
    payment = await till.authorize(method)

    with refused(ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="void"):
        await till.void(payment)


async def test_refuses_money_that_was_taken(till):
    payment = await till.authorize()
    await till.capture(payment)

    with refused(ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, state="CAPTURED"):
        await till.void(payment)
    await till.agrees(payment)


async def test_a_charge_that_the_provider_had_voided_already_is_void(till):
    payment = await till.authorize()
    await till.provider("POST", f"/v1/charges/{payment.provider_reference}/void", {})

    assert said(await till.void(payment)) == "VOIDED"
    await till.agrees(payment)


async def test_what_the_provider_refuses_has_failed_and_the_payment_stays(till):
    payment = await till.authorize()
    charge = f"/v1/charges/{payment.provider_reference}"
    await till.provider("POST", f"{charge}/capture", {"amount_minor_units": 1999})

    refused_there = await till.void(payment)

    assert said(refused_there) == "AUTHORIZED"
    assert done(refused_there) == [("authorize", "SUCCEEDED"), ("void", "FAILED")]


async def test_a_managers_token_is_not_enough(till, shop):
    payment = await till.authorize()
    till.shop = shop.as_("store_manager")

    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await till.void(payment)
