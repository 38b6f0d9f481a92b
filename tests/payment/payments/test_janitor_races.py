"""The janitor takes up an operation whose answer is on its way: both come back, and it is done and told once."""

import asyncio

import pytest
from commerce.payment.v1.payment_events_pb2 import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRefunded,
    PaymentVoided,
)

from tests.payment.till import AMOUNT, done, said
from tests.shop import eventually, new_id

DUE = """UPDATE payment.operations o SET due_time = now() FROM payment.payments p
    WHERE p.payment_id = o.payment_id AND p.order_id = $1 AND o.kind = $2 AND o.state = 1 AND o.attempts = 1
    RETURNING o.operation_id"""
ATTEMPTS = """SELECT o.attempts FROM payment.operations o JOIN payment.payments p USING (payment_id)
    WHERE p.order_id = $1 AND o.kind = $2"""


async def race(till, order_id, kind, ask):
    """Ask, and have the janitor ask as well before the provider has answered."""
    rows = till.shop.clients.rows

    async def twice():
        return [row["attempts"] for row in await rows(ATTEMPTS, order_id, kind)] == [2]

    async with till.frozen():
        asked = asyncio.create_task(ask())
        await eventually(lambda: rows(DUE, order_id, kind))
        await eventually(twice)
    return await asked


async def taken(till):
    return await till.capture(await till.authorize())


@pytest.mark.parametrize("method", ["ok", "requires_action", "declined"])
async def test_an_authorization_is_made_once(till, shop, method):
    asking = till.asking(method)

    answer = await race(till, asking.order_id, "authorize", lambda: till.ask(asking))

    state = {"ok": "AUTHORIZED", "requires_action": "REQUIRES_ACTION", "declined": "FAILED"}[method]
    found = await eventually(lambda: standing(till, answer, state))
    assert len(await till.book(found)) == 1
    assert len(await shop.published(PaymentAuthorized)) == (method == "ok")


@pytest.mark.parametrize("units", [AMOUNT, 700])
async def test_money_is_taken_once(till, shop, units):
    payment, request_id = await till.authorize(), new_id()

    await race(
        till, payment.order_id, "capture", lambda: till.capture(payment, request_id, minor_units=units)
    )

    paid = await till.until(payment, "CAPTURED" if units == AMOUNT else "PARTIALLY_CAPTURED")
    assert paid.captured.minor_units == units
    assert len(await shop.published(PaymentCaptured)) == 1
    await till.agrees(paid)
    assert (await till.capture(payment, request_id, minor_units=units)).captured.minor_units == units


async def test_money_is_given_back_once(till, shop):
    payment, request_id = await taken(till), new_id()

    await race(till, payment.order_id, "refund", lambda: till.refund(payment, request_id, 700))

    back = await till.until(payment, "PARTIALLY_REFUNDED")
    assert back.refunded.minor_units == 700
    assert len(await shop.published(PaymentRefunded)) == 1
    await till.agrees(back)


async def test_a_promise_is_given_up_once(till, shop):
    payment = await till.authorize()

    await race(till, payment.order_id, "void", lambda: till.void(payment))

    gone = await till.until(payment, "VOIDED")
    assert done(gone) == [("authorize", "SUCCEEDED"), ("void", "SUCCEEDED")]
    assert len(await shop.published(PaymentVoided)) == 1
    await till.agrees(gone)


async def standing(till, payment, state):
    found = await till.get(payment)
    return found if said(found) == state else None
