"""ListUnsettledOperations."""

import uuid

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.operations_service_pb2 import ListUnsettledOperationsRequest
from commerce.payment.v1.payment_pb2 import PaymentOperationState, PaymentState

from services.payment.operations.queries import OPERATIONS_UNSETTLED
from tests.payment import bulk
from tests.shop import eventually, new_id, refused

# The same refund once more, and the provider does it.
DONE_AFTER_ALL = """
INSERT INTO payment.operations (operation_id, payment_id, store_id, kind, state, amount_minor_units, attempts,
    create_time, due_time, settle_time, gateway)
SELECT $2, payment_id, store_id, kind, 2, amount_minor_units, 1, now(), now(), now(), gateway
FROM payment.operations WHERE payment_id = $1 AND kind = 'refund'
"""

# What nobody makes fail from outside: one operation is refused, and those after it are not.
FAILED_FIRST = """
INSERT INTO payment.operations (operation_id, payment_id, store_id, kind, state, amount_minor_units, attempts,
    create_time, due_time, settle_time, gateway, failure_code, wanted_minor_units)
SELECT $3, payment_id, store_id, $2, 3, 400, 1, create_time, create_time, now(), gateway, 'refused', 400
FROM payment.payments WHERE payment_id = $1
"""
BY_RETURNS = "UPDATE payment.operations SET wanted_minor_units = amount_minor_units WHERE payment_id = $1"


async def unsettled(shop, size=500, **given):
    """Those of this store's."""
    request = ListUnsettledOperationsRequest(page_size=size, **given)
    reply = await shop.as_("platform_admin").payment_operations.ListUnsettledOperations(request)
    return [each for each in reply.operations if each.store_id == shop.store_id]


async def fail_first(shop, payment, kind):
    async with bulk.administrator(shop) as connection:
        await connection.execute(FAILED_FIRST, uuid.UUID(payment.payment_id), kind, uuid.UUID(new_id()))


async def test_lists_what_the_provider_has_not_answered_and_when_it_is_asked_next(till, shop):
    payment = await till.authorize("requires_action")
    await till.authorize()

    (found,) = await unsettled(shop)

    assert (found.payment_id, found.order_id) == (payment.payment_id, payment.order_id)
    assert (found.gateway, found.state) == ("sandbox", PaymentState.PAYMENT_STATE_REQUIRES_ACTION)
    operation = found.operation
    assert operation.operation_id == payment.operations[0].operation_id
    assert (operation.kind, operation.attempts) == ("authorize", 1)
    assert operation.state == PaymentOperationState.PAYMENT_OPERATION_STATE_PENDING
    assert operation.amount == payment.amount
    assert len(operation.trace_id) == 32
    assert operation.due_time.ToNanoseconds() > operation.create_time.ToNanoseconds()


async def test_the_one_that_waits_longest_comes_first(till, shop):
    made = [(await till.authorize("requires_action")).payment_id for _ in range(3)]
    assert [each.payment_id for each in await unsettled(shop)] == made


async def test_what_waits_for_its_turn_is_among_them_and_what_is_settled_is_not(till, shop):
    payment = await till.capture(await till.authorize())
    async with till.frozen():
        for _ in range(2):
            await till.refund(payment, minor_units=100)
        states = {each.operation.state for each in await unsettled(shop)}
        assert PaymentOperationState.PAYMENT_OPERATION_STATE_WAITING in states
        assert len(await unsettled(shop)) == 2

    async def none():
        return await unsettled(shop) == []

    await eventually(none)


async def test_a_refund_that_failed_is_among_them_with_the_providers_words_until_it_is_done_after_all(
    till, shop
):
    payment = await till.capture(await till.authorize())
    await till.provider(
        "POST", f"/v1/charges/{payment.provider_reference}/refund", {"amount_minor_units": 900}
    )
    await till.refund(payment)

    (found,) = await unsettled(shop)

    assert found.operation.kind == "refund"
    assert found.operation.state == PaymentOperationState.PAYMENT_OPERATION_STATE_FAILED
    assert found.operation.failure_code == "amount_exceeds_captured"
    assert found.operation.provider_message == "more than is left of what was captured"
    async with bulk.administrator(shop) as connection:
        await connection.execute(DONE_AFTER_ALL, uuid.UUID(payment.payment_id), uuid.UUID(new_id()))
    assert await unsettled(shop) == []


async def test_a_parcel_that_was_not_paid_stays_when_the_next_is_until_too_little_is_left_for_it(till, shop):
    payment = await till.authorize(minor_units=1200)
    await fail_first(shop, payment, "capture")
    for _ in range(2):
        await till.capture(payment, minor_units=400)
        (found,) = await unsettled(shop)
        assert (found.operation.kind, found.operation.failure_code) == ("capture", "refused")
    await till.capture(payment, minor_units=400)
    assert await unsettled(shop) == []


async def test_a_return_that_gave_nothing_back_stays_when_the_next_does_until_somebody_pays_it_by_hand(
    till, shop
):
    payment = await till.capture(await till.authorize(minor_units=1200))
    await fail_first(shop, payment, "refund")
    await till.refund(payment, minor_units=400)
    async with bulk.administrator(shop) as connection:
        await connection.execute(BY_RETURNS, uuid.UUID(payment.payment_id))
    await till.refund(payment, minor_units=100)
    (found,) = await unsettled(shop)
    assert (found.operation.kind, found.operation.failure_code) == ("refund", "refused")
    await till.refund(payment, minor_units=400)
    assert await unsettled(shop) == []


async def test_a_capture_that_failed_is_among_them_and_what_is_open_comes_first(till, shop):
    refused_one = await till.authorize()
    await till.provider("POST", f"/v1/charges/{refused_one.provider_reference}/void", {})
    await till.capture(refused_one)
    open_one = await till.authorize("requires_action")

    found = await unsettled(shop)

    assert [each.payment_id for each in found] == [open_one.payment_id, refused_one.payment_id]
    assert (found[1].operation.kind, found[1].operation.failure_code) == ("capture", "step_not_allowed")


async def test_a_payment_that_was_declined_is_not_among_them(till, shop):
    await till.authorize("declined")
    assert await unsettled(shop) == []


async def test_only_of_one_gateway_when_asked_and_no_more_than_asked(till, shop):
    for _ in range(2):
        await till.authorize("requires_action")
    assert len(await unsettled(shop, gateway="sandbox")) == 2
    assert await unsettled(shop, gateway="elsewhere") == []
    request = ListUnsettledOperationsRequest(page_size=1)
    reply = await shop.as_service.payment_operations.ListUnsettledOperations(request)
    assert len(reply.operations) == 1


async def test_does_not_read_all_operations_of_all_time(till, shop):
    """Each half has its index, and there are few in either."""
    await till.authorize("requires_action")
    async with bulk.administrator(shop) as connection:
        await connection.execute("SET enable_seqscan = off")
        arguments = OPERATIONS_UNSETTLED.arguments({"gateway": "", "size": 50})
        plan = await connection.fetch("EXPLAIN " + OPERATIONS_UNSETTLED.sql, *arguments)
    text = "\n".join(row[0] for row in plan)
    assert "operations_due" in text or "operations_one_open" in text, text
    assert "operations_waiting" in text, text
    assert "Seq Scan" not in text, text


@pytest.mark.parametrize("role", ["store_admin", "store_manager", "customer", "courier"])
async def test_refuses_whoever_sees_one_store_only(shop, role):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_(role, customer_id=shop.store_id).payment_operations.ListUnsettledOperations(
            ListUnsettledOperationsRequest()
        )


async def test_refuses_nobody_and_what_cannot_be(shop):
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.payment_operations.ListUnsettledOperations(ListUnsettledOperationsRequest())
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await unsettled(shop, size=501)
    assert set(told.violations) == {"page_size"}
