"""RefundPayment."""

import asyncio
from functools import partial

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.payment_events_pb2 import PaymentRefunded
from commerce.payment.v1.payment_service_pb2 import RefundPaymentRequest

from services.runtime.refusals import reason_of
from tests.payment.till import at_once, done, refunds, said
from tests.shop import eventually, new_id, refused

TOO_LARGE = ErrorReason.ERROR_REASON_REFUND_TOO_LARGE


@pytest.fixture
async def captured(till):
    """A payment of 19.99 that was captured."""
    return await till.capture(await till.authorize(minor_units=1999))


async def test_gives_everything_back_and_books_it(till, shop, captured):
    refunded = await till.refund(captured)

    assert (said(refunded), refunded.refunded.minor_units) == ("REFUNDED", 1999)
    assert done(refunded)[2] == ("refund", "SUCCEEDED")
    await till.agrees(captured)
    (event,) = await shop.published(PaymentRefunded)
    assert (event.payment.payment_id, event.payment.version) == (captured.payment_id, 6)
    assert (event.refund.minor_units, event.refunded.minor_units) == (1999, 1999)


async def test_gives_a_part_back_and_books_so_much(till, shop, captured):
    refunded = await till.refund(captured, minor_units=499)

    assert (said(refunded), refunded.refunded.minor_units) == ("PARTIALLY_REFUNDED", 499)
    assert refunds(refunded) == [(499, "SUCCEEDED")]
    await till.agrees(captured)
    (event,) = await shop.published(PaymentRefunded)
    assert (event.refund.currency_code, event.refund.minor_units) == ("EUR", 499)
    assert event.refunded.minor_units == 499
    assert await booked(shop, refunded.operations[2]) == [("provider_clearing", 0, 499), ("refunds", 499, 0)]


async def test_gives_back_in_parts_until_nothing_is_left(till, shop, captured):
    states = []
    for minor_units in (500, 700, 798):
        states.append(said(await till.refund(captured, minor_units=minor_units)))
        await till.agrees(captured)
    assert said(await till.refund(captured)) == "REFUNDED"

    settled = await till.get(captured)
    assert states == ["PARTIALLY_REFUNDED"] * 3
    assert refunds(settled) == [(each, "SUCCEEDED") for each in (500, 700, 798, 1)]
    await till.agrees(captured)
    told = await shop.published(PaymentRefunded)
    assert [one.refund.minor_units for one in told] == [500, 700, 798, 1]
    assert [one.refunded.minor_units for one in told] == [500, 1200, 1998, 1999]
    assert await differences(shop) == 0


async def test_refuses_more_than_is_left_and_asks_nobody(till, captured):
    await till.refund(captured, minor_units=1000)

    with refused(TOO_LARGE, limit="999"):
        await till.refund(captured, minor_units=1000)

    assert refunds(await till.get(captured)) == [(1000, "SUCCEEDED")]
    await till.agrees(captured)


async def test_gives_back_in_a_currency_that_has_ended_but_not_in_none(till):
    paid = await till.authorize(amount=Money(currency_code="BGN", minor_units=1999))
    captured = await till.capture(paid, minor_units=1999, currency="BGN")

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await till.refund(captured, minor_units=1, currency="ZZZ")
    assert said.violations == {"amount.currency_code": "must be a currency of ISO 4217, such as EUR"}

    refunded = await till.refund(captured, minor_units=1999, currency="BGN")
    assert refunded.refunded == Money(currency_code="BGN", minor_units=1999)


async def test_refuses_when_all_of_it_was_given_back(till, captured):
    await till.refund(captured)

    for minor_units in (None, 1):
        with refused(
            ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="refund", state="REFUNDED"
        ):
            await till.refund(captured, minor_units=minor_units)


async def test_refuses_another_currency(till, captured):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await till.refund(captured, minor_units=1, currency="USD")

    assert refusal.violations == {"amount.currency_code": "must be the payment's: EUR"}
    assert refunds(await till.get(captured)) == []


@pytest.mark.parametrize("minor_units", [0, -1])
async def test_refuses_to_give_back_nothing_or_less(till, captured, minor_units):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await till.refund(captured, minor_units=minor_units)

    assert "amount" in refusal.violations


@pytest.mark.parametrize("minor_units", [None, 1])
async def test_refuses_money_that_was_never_taken(till, minor_units):
    payment = await till.authorize()

    with refused(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="refund", state="AUTHORIZED"
    ):
        await till.refund(payment, minor_units=minor_units)


async def test_many_refunds_of_everything_at_once_are_one(till, shop, captured):
    outcomes = await at_once(*(_outcome(till.refund(captured)) for _ in range(10)))

    assert outcomes.count("REFUNDED") == 1
    assert set(outcomes) <= {"REFUNDED", "PAYMENT_OPERATION_NOT_ALLOWED", "REFUND_TOO_LARGE"}
    await till.agrees(captured)
    assert len(await shop.published(PaymentRefunded)) == 1


async def test_of_twenty_tenths_at_once_ten_are_given_back(till, shop):
    payment = await till.capture(await till.authorize(minor_units=1000))

    outcomes = await at_once(*(_outcome(till.refund(payment, minor_units=100)) for _ in range(20)))

    no = [each for each in outcomes if each in ("REFUND_TOO_LARGE", "PAYMENT_OPERATION_NOT_ALLOWED")]
    assert len(no) == 10, outcomes
    settled = await till.until(payment, "REFUNDED")
    assert refunds(settled) == [(100, "SUCCEEDED")] * 10
    assert [operation.attempts for operation in settled.operations[2:]] == [1] * 10
    await till.agrees(payment)
    told = await shop.published(PaymentRefunded)
    assert sorted(one.refunded.minor_units for one in told) == list(range(100, 1001, 100))
    assert await differences(shop) == 0


async def test_parts_and_the_rest_at_once_never_give_back_more_than_was_taken(till):
    payments = await at_once(*(till.authorize() for _ in range(5)))
    await at_once(*(till.capture(payment) for payment in payments))

    for payment in payments:
        await at_once(*(_outcome(till.refund(payment, minor_units=part)) for part in (700, None, 1500, 800)))
        settled = await eventually(partial(till.settled, payment))
        assert 0 < settled.refunded.minor_units <= 1999
        assert said(settled) == ("REFUNDED" if settled.refunded.minor_units == 1999 else "PARTIALLY_REFUNDED")
        await till.agrees(payment)


async def test_one_request_sent_many_times_at_once_is_one_refund(till, captured):
    request_id = new_id()

    replies = await at_once(*(till.refund(captured, request_id, 500) for _ in range(10)))

    assert len({reply.SerializeToString() for reply in replies}) == 1
    assert refunds(await till.until(captured, "PARTIALLY_REFUNDED")) == [(500, "SUCCEEDED")]
    await till.agrees(captured)


async def test_a_repeated_request_has_the_first_answer(till, captured):
    request_id = new_id()

    first = await till.refund(captured, request_id, 500)
    await till.refund(captured, minor_units=100)

    assert await till.refund(captured, request_id, 500) == first
    await till.agrees(captured)


async def test_refuses_another_refund_with_the_same_request_id(till, captured):
    request_id = new_id()
    await till.refund(captured, request_id, 500)

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED, request_id=request_id):
        await till.refund(captured, request_id, 501)


async def test_a_refund_waits_while_nobody_knows_what_became_of_the_one_before(till, captured):
    async with till.frozen():
        lost = await till.refund(captured, minor_units=400)
        assert (said(lost), refunds(lost)) == ("CAPTURED", [(400, "UNKNOWN")])

        second = await till.refund(captured, minor_units=500)
        assert refunds(second) == [(400, "UNKNOWN"), (500, "WAITING")]
        with refused(TOO_LARGE, limit="1099"):
            await till.refund(captured, minor_units=1100)
        third = await till.refund(captured)
        assert refunds(third)[2] == (1099, "WAITING")

    settled = await till.until(captured, "REFUNDED")
    assert refunds(settled) == [(400, "SUCCEEDED"), (500, "SUCCEEDED"), (1099, "SUCCEEDED")]
    await till.agrees(captured)


async def test_refunds_that_wait_survive_the_death_of_the_process(till, captured):
    async with till.frozen():
        first = asyncio.create_task(_outcome(till.refund(captured, minor_units=400)))
        await eventually(lambda: till.has(captured, (400, "PENDING")))
        await till.refund(captured, minor_units=500)
        await till.kill()
    await first

    settled = await eventually(lambda: till.settled(captured))
    assert refunds(settled) == [(400, "SUCCEEDED"), (500, "SUCCEEDED")]
    assert (said(settled), settled.refunded.minor_units) == ("PARTIALLY_REFUNDED", 900)
    await till.agrees(captured)


async def test_what_the_provider_refuses_gives_nothing_back_and_holds_nobody_up(till, captured):
    """Somebody has given the money back at the provider already, and not told us."""
    charge = f"/v1/charges/{captured.provider_reference}/refund"
    await till.provider("POST", charge, {"amount_minor_units": 1999})
    async with till.frozen():
        first = asyncio.create_task(till.refund(captured, minor_units=400))
        await eventually(lambda: till.has(captured, (400, "PENDING")))
        await till.refund(captured, minor_units=500)
    await first

    settled = await eventually(lambda: till.settled(captured))
    assert (said(settled), settled.refunded.minor_units) == ("CAPTURED", 0)
    assert refunds(settled) == [(400, "FAILED"), (500, "FAILED")]


async def test_a_sum_that_is_another_one_at_the_provider_is_not_booked(till, shop, captured):
    charge = f"/v1/charges/{captured.provider_reference}/refund"
    await till.provider("POST", charge, {"amount_minor_units": 100})

    contradicted = await till.refund(captured, minor_units=500)

    assert (said(contradicted), contradicted.refunded.minor_units) == ("CAPTURED", 0)
    assert refunds(contradicted) == [(500, "PENDING")]
    assert await shop.published(PaymentRefunded) == []


async def test_answers_another_stores_payment_exactly_like_one_that_does_not_exist(till, shop, captured):
    messages = set()
    for payment_id in (captured.payment_id, new_id()):
        request = RefundPaymentRequest(payment_id=payment_id, request_id=new_id())
        with refused(ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, payment_id=payment_id) as refusal:
            await shop.another().payments.RefundPayment(request)
        messages.add(refusal.message)
    assert len(messages) == 1
    assert refunds(await till.get(captured)) == []


async def test_a_managers_token_is_not_enough(till, shop, captured):
    till.shop = shop.as_("store_manager")

    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await till.refund(captured, minor_units=1)


async def test_a_store_administrator_gives_a_part_back_through_the_gateway(till, shop, captured):
    reply = await shop.rest(
        "POST",
        f"/v1/payments/{captured.payment_id}:refund",
        json={
            "amount": {"currencyCode": "EUR", "minorUnits": "500"},
            "reason": "scratched",
            "requestId": new_id(),
        },
    )

    assert (reply.status, reply.body["payment"]["state"]) == (200, "PAYMENT_STATE_PARTIALLY_REFUNDED")
    assert reply.body["payment"]["refunded"] == {"currencyCode": "EUR", "minorUnits": "500"}


async def booked(shop, operation):
    rows = await shop.clients.rows(
        "SELECT account, debit_minor_units, credit_minor_units FROM payment.ledger_entries "
        "WHERE transaction_id = $1 ORDER BY account",
        operation.operation_id,
    )
    return [tuple(row) for row in rows]


async def differences(shop):
    """Debits less credits of the store's whole ledger."""
    rows = await shop.clients.rows(
        "SELECT coalesce(sum(debit_minor_units - credit_minor_units), 0)::int FROM payment.ledger_entries "
        "WHERE store_id = $1",
        shop.store_id,
    )
    return rows[0][0]


async def _outcome(call):
    try:
        return said(await call)
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
