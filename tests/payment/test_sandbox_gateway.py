"""The sandbox's gateway before a provider that misbehaves in ways the sandbox does not."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import SecretStr

from services.payment.outcomes import NeverSeen, Refused, Told, Unknown
from services.payment.payments import Operation, Payment
from services.payment.rules import PENDING
from services.payment.sandbox_gateway import REPLY_BYTES, SandboxGateway
from services.payment.settings import PaymentSettings
from services.runtime.ids import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHARGE = {
    "id": "ch_1",
    "status": "authorized",
    "currency_code": "EUR",
    "amount_minor_units": 5,
    "captured_minor_units": 0,
    "refunded_minor_units": 0,
    "decline_code": None,
    "next_action_url": None,
}


class Provider:
    """Answers what the test says, and remembers what it was asked."""

    def __init__(self):
        self.status, self.body, self.delay = 200, json.dumps(CHARGE).encode(), 0.0
        self.hang_up = False
        self.asked = []

    async def answer(self, request):
        self.asked.append((request, await request.text()))
        await asyncio.sleep(self.delay)
        if self.hang_up:
            request.transport.abort()
        return web.Response(status=self.status, body=self.body, headers={"Location": "/elsewhere"})


@pytest.fixture
async def provider():
    return Provider()


@pytest.fixture
async def gateway(provider):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", provider.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway = SandboxGateway(settings(f"http://127.0.0.1:{runner.addresses[0][1]}"))
    yield gateway
    await gateway.close()
    await runner.cleanup()


def settings(url):
    return PaymentSettings.model_construct(
        sandbox_url=url,
        sandbox_api_key=SecretStr("key"),
        sandbox_webhook_secret=SecretStr("secret"),
        provider_timeout_seconds=0.3,
        provider_connections=4,
    )


def operation(kind="authorize"):
    return Operation(operation_id=str(new_id()), kind=kind, amount=5, attempts=1, create_time=NOW)


def payment():
    return Payment(
        payment_id=str(new_id()),
        order_id=str(new_id()),
        store_id=str(new_id()),
        customer_id=str(new_id()),
        state=PENDING,
        amount=5,
        currency_code="EUR",
        payment_method="pm_sandbox_ok",
        provider_reference="ch_1",
        create_time=NOW,
        update_time=NOW,
    )


async def test_sends_the_operations_id_as_the_key_and_the_trace(gateway, provider):
    asked = operation()

    assert isinstance(await gateway.perform(asked, payment()), Told)

    (request, body) = provider.asked[0]
    assert request.headers["Idempotency-Key"] == asked.operation_id
    assert request.headers["Authorization"] == "Bearer key"
    assert len(request.headers["traceparent"]) == 55
    assert json.loads(body)["amount_minor_units"] == 5


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b"[" * 5_000),
        (200, json.dumps(CHARGE | {"status": "exploded"}).encode()),
        (200, json.dumps(CHARGE | {"amount_minor_units": "5"}).encode()),
        (200, json.dumps(CHARGE | {"amount_minor_units": True}).encode()),
        (200, json.dumps(CHARGE | {"id": None}).encode()),
        (200, b" " * (REPLY_BYTES + 1) + json.dumps(CHARGE).encode()),
        (201, json.dumps(CHARGE).encode()),
        (302, b"{}"),
        (401, b'{"error": {"code": "unauthorized"}}'),
        (404, b"{}"),
        (409, b'{"error": {"code": "idempotency_key_reused"}}'),
        (409, b'{"error": "step_not_allowed"}'),
        (429, b"{}"),
        (500, b'{"error": {"code": "step_not_allowed"}}'),
        (503, b""),
    ],
)
@pytest.mark.parametrize("question", ["perform", "look_up"])
async def test_an_answer_that_is_none_is_unknown(gateway, provider, status, body, question):
    provider.status, provider.body = status, body

    if question == "perform":
        outcome = await gateway.perform(operation(), payment())
    else:
        outcome = await gateway.look_up(operation())

    assert isinstance(outcome, Unknown), outcome
    assert len(provider.asked) == 1


async def test_no_answer_in_time_is_unknown(gateway, provider):
    provider.delay = 5
    assert isinstance(await gateway.perform(operation(), payment()), Unknown)


async def test_a_connection_that_breaks_is_unknown(gateway, provider):
    provider.hang_up = True
    assert isinstance(await gateway.perform(operation(), payment()), Unknown)


async def test_a_provider_that_is_not_there_is_unknown():
    gateway = SandboxGateway(settings("http://127.0.0.1:9"))
    assert isinstance(await gateway.perform(operation(), payment()), Unknown)
    await gateway.close()


async def test_a_refusal_is_final_and_says_why(gateway, provider):
    provider.status = 409
    provider.body = b'{"error": {"code": "step_not_allowed", "charge_status": "captured"}}'
    assert await gateway.perform(operation("void"), payment()) == Refused("step_not_allowed", "captured")


async def test_a_key_that_was_never_seen_is_told_from_a_charge_that_is_unknown(gateway, provider):
    provider.status = 404
    provider.body = b'{"error": {"code": "operation_unknown"}}'
    assert isinstance(await gateway.look_up(operation()), NeverSeen)
    provider.body = b'{"error": {"code": "charge_unknown"}}'
    assert isinstance(await gateway.look_up(operation()), Unknown)
    assert await gateway.perform(operation("capture"), payment()) == Refused("charge_unknown")
