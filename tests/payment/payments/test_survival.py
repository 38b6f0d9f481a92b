"""What becomes of an operation whose process, or whose provider, dies in the middle of it."""

import asyncio

import grpc
import pytest

from tests.payment.till import at_once, done, said
from tests.shop import eventually


async def test_a_charge_between_its_effect_and_its_record_is_found_again_and_charged_once(till, shop):
    """The provider has charged and not answered when the payment service dies."""
    asking = till.asking("silent_after")
    asked = asyncio.create_task(till.ask(asking))
    await eventually(lambda: till.book(asking))

    await till.kill()

    await _ended(asked)
    payment = await till.until(await till.ask(_again(till, asking)), "AUTHORIZED")
    assert payment.operations[0].attempts >= 2
    await till.agrees(payment)


async def test_a_charge_that_was_recorded_and_never_sent_is_sent_once(till, shop):
    asking = till.asking()
    async with till.frozen():
        asked = asyncio.create_task(till.ask(asking))
        sql = "SELECT FROM payment.payments WHERE order_id = $1"
        await eventually(lambda: shop.clients.rows(sql, asking.order_id))
        await till.kill()
    await _ended(asked)

    payment = await till.until(await till.ask(_again(till, asking)), "AUTHORIZED")
    await till.agrees(payment)


@pytest.mark.parametrize("kind", ["capture", "void", "refund"])
async def test_an_operation_survives_the_death_of_its_process(till, kind):
    payment = await till.authorize()
    if kind == "refund":
        await till.capture(payment)
    async with till.frozen():
        asked = asyncio.create_task(getattr(till, kind)(payment))

        async def recorded():
            return len((await till.get(payment)).operations) > len(payment.operations) + (kind == "refund")

        await eventually(recorded)
        await till.kill()
    await _ended(asked)

    state = {"capture": "CAPTURED", "void": "VOIDED", "refund": "REFUNDED"}[kind]
    assert done(await till.until(payment, state))[-1] == (kind, "SUCCEEDED")
    await till.agrees(payment)


async def test_a_caller_who_does_not_wait_leaves_nothing_undone(till):
    asking = till.asking("slow")
    with pytest.raises(grpc.aio.AioRpcError) as left:
        await till.service.payments.AuthorizePayment(asking, timeout=0.5)
    assert left.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    payment = await till.until(await till.ask(_again(till, asking)), "AUTHORIZED")
    await till.agrees(payment)


async def test_payments_wait_out_a_provider_that_is_down(till, payment_cluster):
    payment_cluster.kill("sandbox")
    payments = await at_once(*(till.authorize() for _ in range(5)))
    assert {said(payment) for payment in payments} <= {"PENDING", "UNKNOWN", "AUTHORIZED"}

    await payment_cluster.wait_ready("sandbox")

    for payment in payments:
        await till.until(payment, "AUTHORIZED")
        await till.agrees(payment)


async def test_fifty_payments_through_the_death_of_service_and_provider_are_each_charged_once(
    till, payment_cluster
):
    asking = [till.asking("ok" if number % 5 else "slow") for number in range(50)]
    asked = [asyncio.create_task(till.ask(one)) for one in asking]
    await asyncio.sleep(0.1)
    payment_cluster.kill("sandbox")
    await payment_cluster.wait_ready("sandbox")
    await till.kill()
    await asyncio.gather(*(_ended(one) for one in asked))

    for one in asking:
        payment = await till.until(await till.ask(_again(till, one)), "AUTHORIZED")
        await till.agrees(payment)


def _again(till, asking):
    fields = ("order_id", "store_id", "customer_id", "amount", "payment_method")
    return till.asking(**{field: getattr(asking, field) for field in fields})


async def _ended(asked):
    try:
        await asked
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE
