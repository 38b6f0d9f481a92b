"""The sandbox's gateway before a provider that misbehaves in ways the sandbox does not."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web
from commerce.payment.v1.payment_pb2 import PaymentState
from pydantic import SecretStr

from services.payment.gateways.gateway import HOSTED, Unfetched
from services.payment.gateways.http import REPLY_BYTES
from services.payment.gateways.sandbox import SandboxGateway
from services.payment.rules.outcomes import NeverSeen, NotSent, Refused, Told, Unknown
from services.payment.rules.payment import Operation, Payment
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
async def url(provider):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", provider.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def gateway(url):
    gateway = SandboxGateway(settings(url))
    yield gateway
    await gateway.close()


@pytest.fixture
async def impatient(url):
    gateway = SandboxGateway(settings(url, timeout_seconds=0.3))
    yield gateway
    await gateway.close()


def settings(url, timeout_seconds=20.0):
    return PaymentSettings.model_construct(
        sandbox_url=url,
        sandbox_api_key=SecretStr("key"),
        sandbox_webhook_secret=SecretStr("secret"),
        provider_timeout_seconds=timeout_seconds,
        provider_connections=4,
    )


def operation(kind="authorize"):
    return Operation(operation_id=str(new_id()), kind=kind, amount=5, attempts=1, create_time=NOW)


def payment(payment_method="pm_sandbox_ok"):
    return Payment(
        payment_id=str(new_id()),
        order_id=str(new_id()),
        store_id=str(new_id()),
        customer_id=str(new_id()),
        state=PaymentState.PAYMENT_STATE_PENDING,
        amount=5,
        currency_code="EUR",
        payment_method=payment_method,
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
        (200, json.dumps(CHARGE | {"status": ["captured"]}).encode()),
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
        outcome = await gateway.look_up(operation(), payment())

    assert isinstance(outcome, Unknown), outcome
    assert len(provider.asked) == 1


async def test_no_answer_in_time_is_unknown(impatient, provider):
    provider.delay = 5
    assert isinstance(await impatient.perform(operation(), payment()), Unknown)


async def test_a_connection_that_breaks_is_unknown(gateway, provider):
    provider.hang_up = True
    assert isinstance(await gateway.perform(operation(), payment()), Unknown)


async def test_a_provider_that_is_not_there_was_sent_nothing():
    gateway = SandboxGateway(settings("http://127.0.0.1:9"))
    assert isinstance(await gateway.perform(operation(), payment()), NotSent)
    await gateway.close()


async def test_a_refusal_is_final_and_says_why(gateway, provider):
    provider.status = 409
    provider.body = b'{"error": {"code": "step_not_allowed", "charge_status": "captured"}}'
    assert await gateway.perform(operation("void"), payment()) == Refused("step_not_allowed", "captured")


async def test_a_key_that_was_never_seen_is_told_from_a_charge_that_is_unknown(gateway, provider):
    provider.status = 404
    provider.body = b'{"error": {"code": "operation_unknown"}}'
    assert isinstance(await gateway.look_up(operation(), payment()), NeverSeen)
    provider.body = b'{"error": {"code": "charge_unknown"}}'
    assert isinstance(await gateway.look_up(operation(), payment()), Unknown)
    assert await gateway.perform(operation("capture"), payment()) == Refused("charge_unknown")


async def test_a_void_after_a_capture_tells_that_the_rest_was_given_up(gateway, provider):
    provider.body = json.dumps(CHARGE | {"status": "captured", "captured_minor_units": 2}).encode()
    for kind in ("void", "expire"):
        told = await gateway.perform(operation(kind), payment())
        assert isinstance(told, Told)
        assert (told.status, told.captured) == ("voided", 2)
        assert provider.asked[-1][0].path == "/v1/charges/ch_1/void"


async def test_a_time_that_is_over_is_told_as_the_charges_end(gateway, provider):
    """Of a charge that was captured in part the provider itself says that it is captured."""
    provider.status = 409
    provider.body = b'{"error": {"code": "authorization_expired", "charge_status": "captured"}}'
    refused = Refused("authorization_expired", "expired")
    assert await gateway.perform(operation("capture"), payment()) == refused


async def test_hosted_is_the_providers_own_page(gateway, provider):
    await gateway.perform(operation(), payment(HOSTED))
    assert json.loads(provider.asked[0][1])["payment_method"] == "pm_sandbox_hosted"


async def test_nothing_in_a_token_or_a_reference_leads_to_another_path(gateway, provider):
    await gateway.forget("pm_sandbox_ok/../../charges?x=1#y")
    await gateway.perform(operation("refund"), replace(payment(), provider_reference="../ch_2"))
    paths = [request.raw_path for request, _ in provider.asked]
    assert paths == [
        "/v1/payment_methods/pm_sandbox_ok%2F..%2F..%2Fcharges%3Fx=1%23y",
        "/v1/charges/..%2Fch_2/refund",
    ]


LINE = {
    "id": "txn_1",
    "type": "capture",
    "charge_id": "ch_1",
    "operation_reference": "cap_1",
    "currency_code": "EUR",
    "gross_minor_units": 5,
    "fee_minor_units": 1,
    "created": 1,
}


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (500, {"lines": [], "next_after": None}),
        (200, {}),
        (200, {"lines": [], "next_after": 4}),
        (200, {"lines": [LINE | {"type": "gift"}], "next_after": None}),
        (200, {"lines": [LINE | {"created": "now"}], "next_after": None}),
        (200, {"lines": [LINE | {"gross_minor_units": 0.5}], "next_after": None}),
        (200, {"lines": ["capture"], "next_after": None}),
    ],
)
async def test_a_report_that_is_none_is_not_taken_for_an_empty_one(gateway, provider, status, page):
    provider.status, provider.body = status, json.dumps(page).encode()
    with pytest.raises(Unfetched):
        [line async for line in gateway.settlement(NOW, NOW)]
