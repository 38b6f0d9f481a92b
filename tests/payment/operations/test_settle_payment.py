"""SettlePayment."""

from uuid import UUID

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.operations_service_pb2 import SettlePaymentRequest
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized

from tests.payment.till import at_once, said
from tests.shop import new_id, refused


def asking(payment_id, **given):
    return SettlePaymentRequest(**({"payment_id": payment_id, "request_id": new_id()} | given))


async def settle(shop, payment, **given):
    reply = await shop.payment_operations.SettlePayment(asking(payment.payment_id, **given))
    return reply.payment


@pytest.fixture
async def waiting(till):
    """A payment whose customer has not decided."""
    return await till.authorize("requires_action")


async def test_asks_the_provider_at_once(till, shop, waiting):
    still = await settle(shop, waiting)
    assert said(still) == "REQUIRES_ACTION"
    assert still.operations[0].attempts >= 2


async def test_goes_on_from_what_the_provider_tells(till, shop):
    """Its answer was lost, and by itself it is asked again tomorrow."""
    payment = await till.authorize("silent_after")
    sql = """UPDATE payment.operations SET due_time = now() + interval '1 day'
        WHERE payment_id = $1 AND state = 4 RETURNING 1"""
    if await shop.clients.rows(sql, UUID(payment.payment_id)):
        assert said(await settle(shop, payment)) == "AUTHORIZED"
    assert said(await till.get(payment)) == "AUTHORIZED"
    await till.agrees(payment)


async def test_a_lost_answer_is_found_however_many_ask_at_once(till, shop):
    payment = await till.authorize("silent_after")
    assert said(payment) == "UNKNOWN"

    await at_once(*(_asked(shop, payment) for _ in range(10)))

    await till.until(payment, "AUTHORIZED")
    await till.agrees(payment)
    assert len(await shop.published(PaymentAuthorized)) == 1


async def _asked(shop, payment):
    """Whoever comes last finds nothing open."""
    try:
        await settle(shop, payment)
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_twice_with_one_request_id_is_one_question(till, shop, waiting):
    payment = waiting
    request = asking(payment.payment_id)
    replies = [await shop.payment_operations.SettlePayment(request) for _ in range(2)]
    assert replies[0] == replies[1]


async def test_refuses_where_nothing_is_open(till, shop):
    payment = await till.authorize()
    with refused(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="settle", state="AUTHORIZED"
    ):
        await settle(shop, payment)


async def test_refuses_another_stores_payment_like_a_missing_one(shop, waiting):
    payment = waiting
    for by, payment_id in ((shop.another(), payment.payment_id), (shop, new_id())):
        with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, payment_id=payment_id):
            await by.payment_operations.SettlePayment(asking(payment_id))
    for role in ("store_manager", "platform_admin", "service"):
        await settle(shop.as_(role), payment)


async def test_refuses_whoever_may_not_and_what_cannot_be(shop, waiting):
    payment = waiting
    for role in ("customer", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await settle(shop.as_(role, customer_id=payment.customer_id), payment)
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await settle(shop.as_nobody, payment)
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await shop.payment_operations.SettlePayment(asking("x"))
    assert set(told.violations) == {"payment_id"}
