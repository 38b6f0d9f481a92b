"""Stripe's gateway before a Stripe that answers what the test says, in the shapes of its documentation."""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl

import pytest
import stripe
from aiohttp import web
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import PaymentState
from commerce.payment.v1.settlement_service_pb2 import SettlementLineKind
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.payment.gateways.gateway import Unfetched
from services.payment.gateways.http import REPLY_BYTES
from services.payment.gateways.stripe.amounts import (
    HUNDREDFOLD,
    HUNDREDTH,
    TENS,
    Inexact,
    from_stripe,
    to_stripe,
)
from services.payment.gateways.stripe.gateway import StripeGateway
from services.payment.rules.outcomes import Method, NeverSeen, NotSent, Refused, Told, Unknown
from services.payment.rules.payment import DISPUTE_OPEN, DISPUTE_WON, Operation, Payment
from services.payment.settings import PaymentSettings
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal

KEY, SECRET = "sk_test_4f9d2c", "whsec_91ab7e"
MANY = st.integers(min_value=0, max_value=10**15)


class Provider:
    """Answers a request by its verb and path, and remembers what it was asked."""

    def __init__(self):
        self.answers, self.asked, self.delay, self.hang_up = {}, [], 0.0, False

    def says(self, route, *answers):
        """The last answer is repeated."""
        self.answers[route] = [answer if isinstance(answer, tuple) else (200, answer) for answer in answers]

    async def answer(self, request):
        form = dict(parse_qsl(await request.text()))
        self.asked.append((f"{request.method} {request.path}", request, form))
        await asyncio.sleep(self.delay)
        if self.hang_up:
            request.transport.abort()
        answers = self.answers[f"{request.method} {request.path}"]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(
            status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode()
        )


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
    gateway = StripeGateway(settings(url))
    yield gateway
    await gateway.close()


@pytest.fixture
async def impatient(url):
    gateway = StripeGateway(settings(url, timeout_seconds=0.3))
    yield gateway
    await gateway.close()


def settings(url, timeout_seconds=20.0):
    return PaymentSettings.model_construct(
        stripe_url=url,
        stripe_secret_key=SecretStr(KEY),
        stripe_webhook_secret=SecretStr(SECRET),
        return_url="https://shop.example/back?lang=de",
        provider_timeout_seconds=timeout_seconds,
        provider_connections=4,
    )


def operation(kind="authorize", amount=1000, age=timedelta(0)):
    return Operation(
        operation_id=str(new_id()), kind=kind, amount=amount, create_time=datetime.now(UTC) - age
    )


def payment(reference="pi_1", method="pm_stripe_pm_card_visa", currency_code="EUR", **sums):
    return Payment(
        payment_id=str(new_id()),
        order_id=str(new_id()),
        store_id=str(new_id()),
        customer_id=str(new_id()),
        state=PaymentState.PAYMENT_STATE_PENDING,
        amount=1000,
        currency_code=currency_code,
        payment_method=method,
        provider_reference=reference,
        create_time=datetime.now(UTC),
        update_time=datetime.now(UTC),
        **sums,
    )


def charge(captured=0, refunded=0):
    card = {"brand": "visa", "capture_before": 1_800_000_000, "multicapture": {"status": "available"}}
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 1000,
        "amount_captured": captured,
        "amount_refunded": refunded,
        "payment_intent": "pi_1",
        "payment_method_details": {"card": card, "type": "card"},
    }


def intent(status="requires_capture", received=0, refunded=0, **fields):
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 1000,
        "amount_capturable": 0,
        "amount_received": received,
        "currency": "eur",
        "status": status,
        "latest_charge": charge(received, refunded),
        "metadata": {},
        "last_payment_error": None,
        "next_action": None,
        "cancellation_reason": None,
        **fields,
    }


def refused(code, kind="invalid_request_error", **fields):
    return {"error": {"type": kind, "code": code, "message": "No.", **fields}}


CREATE, INTENT = "POST /v1/payment_intents", "GET /v1/payment_intents/pi_1"
CAPTURE, CANCEL = "POST /v1/payment_intents/pi_1/capture", "POST /v1/payment_intents/pi_1/cancel"
REFUND, REFUNDS = "POST /v1/refunds", "GET /v1/refunds"
SEARCH = "GET /v1/payment_intents/search"


@given(MANY, st.sampled_from(["EUR", "USD", "JPY", "HUF", *HUNDREDFOLD]))
def test_every_amount_comes_back_as_it_was_sent(minor_units, currency_code):
    assert from_stripe(to_stripe(minor_units, currency_code), currency_code) == minor_units


@given(MANY, st.sampled_from(sorted(TENS | HUNDREDTH)))
def test_an_amount_that_stripe_does_not_have_is_not_rounded(minor_units, currency_code):
    step = 10 if currency_code in TENS else 100
    if minor_units % step:
        with pytest.raises(Inexact):
            to_stripe(minor_units, currency_code)
    else:
        assert from_stripe(to_stripe(minor_units, currency_code), currency_code) == minor_units


@pytest.mark.parametrize(
    ("minor_units", "currency_code", "sent"),
    [
        (5, "ISK", 500),
        (5, "UGX", 500),
        (5, "JPY", 5),
        (500, "MGA", 5),
        (5120, "KWD", 5120),
        (999, "HUF", 999),
    ],
)
def test_special_currencies_are_sent_as_stripe_counts_them(minor_units, currency_code, sent):
    assert to_stripe(minor_units, currency_code) == sent


def test_a_fraction_of_a_krona_is_not_rounded_either():
    with pytest.raises(Inexact):
        from_stripe(550, "ISK")


async def test_authorizes_by_hand_under_the_operations_key(gateway, provider):
    provider.says(CREATE, intent())
    asked, paid = operation(), payment("")

    told = await gateway.perform(asked, paid)

    assert told == Told(
        status="authorized",
        reference="pi_1",
        amount=1000,
        currency_code="EUR",
        expire_time=datetime.fromtimestamp(1_800_000_000, UTC),
    )
    _, request, form = provider.asked[0]
    assert request.headers["Idempotency-Key"] == asked.operation_id
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Accept-Encoding"] == "identity"
    assert len(request.headers["traceparent"]) == 55
    assert "X-Stripe-Client-Telemetry" not in request.headers
    assert form == {
        "amount": "1000",
        "currency": "eur",
        "payment_method": "pm_card_visa",
        "payment_method_types[0]": "card",
        "payment_method_options[card][request_multicapture]": "if_available",
        "capture_method": "manual",
        "confirm": "true",
        "return_url": f"https://shop.example/back?lang=de&payment_id={paid.payment_id}",
        "metadata[operation_id]": asked.operation_id,
        "metadata[order_id]": paid.order_id,
        "metadata[store_id]": paid.store_id,
        "expand[0]": "latest_charge",
    }


async def test_a_saved_method_is_used_with_the_customer_it_is_attached_to(gateway, provider):
    provider.says(CREATE, intent())
    await gateway.perform(operation(), payment("", "pm_stripe_cus_ab12_pm_34cd"))
    _, _, form = provider.asked[0]
    assert (form["customer"], form["payment_method"]) == ("cus_ab12", "pm_34cd")


async def test_what_became_of_an_authorization_is_told(gateway, provider):
    redirect = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/3ds"}}
    error = {"code": "card_declined", "decline_code": "insufficient_funds"}
    cases = [
        (
            intent("requires_action", next_action=redirect),
            "requires_action",
            "",
            "https://hooks.stripe.com/3ds",
        ),
        (intent("processing"), "processing", "", ""),
        (intent("requires_payment_method", last_payment_error=error), "declined", "insufficient_funds", ""),
        (intent("canceled", cancellation_reason="requested_by_customer"), "voided", "", ""),
        (intent("canceled", cancellation_reason="expired"), "expired", "", ""),
        (intent("canceled", cancellation_reason="automatic"), "expired", "", ""),
        (intent("succeeded", 1000), "captured", "", ""),
    ]
    for body, status, decline_code, url in cases:
        provider.says(INTENT, body)
        told = await gateway.look_up(operation(), payment())
        assert (told.status, told.decline_code, told.next_action_url) == (status, decline_code, url)


async def test_a_declined_card_is_told_with_its_intent(gateway, provider):
    error = {"code": "card_declined", "decline_code": "generic_decline"}
    body = intent("requires_payment_method", latest_charge="ch_1", last_payment_error=error)
    provider.says(
        CREATE,
        (402, refused("card_declined", "card_error", payment_intent=body, decline_code="generic_decline")),
    )

    told = await gateway.perform(operation(), payment(""))

    assert (told.status, told.reference, told.decline_code) == ("declined", "pi_1", "generic_decline")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (402, refused("card_declined", "card_error"), Refused("card_declined")),
        (400, refused("amount_too_small", param="amount"), Refused("amount_too_small")),
        (
            400,
            {"error": {"type": "invalid_request_error", "param": "currency"}},
            Refused("invalid_request_currency"),
        ),
        (404, refused("resource_missing"), Refused("resource_missing")),
        (401, {"error": {"type": "invalid_request_error"}}, NotSent("unauthorized")),
        (403, {"error": {"type": "invalid_request_error"}}, NotSent("unauthorized")),
    ],
)
async def test_an_error_that_says_nothing_was_done_is_final(gateway, provider, status, body, outcome):
    provider.says(CREATE, (status, body))
    assert await gateway.perform(operation(), payment("")) == outcome


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"a":' + b"[" * 990 + b"]" * 990 + b"}"),
        (200, b"[" * 5_000),
        (200, intent("exploded")),
        (200, intent("requires_payment_method")),
        (200, intent(amount="1000")),
        (200, intent(amount=True)),
        (200, intent(currency="euros")),
        (200, intent(id="../charges")),
        (200, intent(latest_charge={"id": "ch_1"})),
        (200, b" " * (REPLY_BYTES + 1)),
        (302, b"{}"),
        (400, b"{}"),
        (400, {"error": "invalid_grant"}),
        (400, {"error": 5}),
        (400, refused("rate_limit")),
        (400, refused("lock_timeout")),
        (400, refused(None, "api_error")),
        (402, {"error": {}}),
        (404, b"{}"),
        (409, refused("idempotency_key_in_use", "idempotency_error")),
        (429, refused("lock_timeout")),
        (500, refused("card_declined", "card_error")),
        (503, b""),
    ],
    ids=str,
)
async def test_an_answer_that_is_none_is_unknown(gateway, provider, answer):
    provider.says(CREATE, answer)
    provider.says(INTENT, answer)
    assert isinstance(await gateway.perform(operation(), payment("")), Unknown)
    assert isinstance(await gateway.look_up(operation(), payment()), Unknown)
    assert len(provider.asked) == 2


async def test_a_key_that_was_used_for_another_request_leads_to_what_was_authorized_with_it(
    gateway, provider
):
    """The payment is made anew after its history was lost; its address to come back to is another one."""
    asked = operation()
    provider.says(CREATE, (400, refused(None, "idempotency_error")))
    provider.says(SEARCH, (500, b""))
    assert isinstance(await gateway.perform(asked, payment("")), Unknown)
    provider.says(SEARCH, {"object": "search_result", "data": [], "has_more": False})
    assert isinstance(await gateway.perform(asked, payment("")), Unknown)
    found = intent(metadata={"operation_id": asked.operation_id})
    provider.says(SEARCH, {"object": "search_result", "data": [found], "has_more": False})

    told = await gateway.perform(asked, payment(""))

    assert (told.status, told.reference) == ("authorized", "pi_1")


@pytest.mark.parametrize("kind", ["capture", "void", "refund"])
async def test_a_key_of_another_step_that_was_used_before_is_unknown_and_looked_up(gateway, provider, kind):
    provider.says(CAPTURE, (400, refused(None, "idempotency_error")))
    provider.says("POST /v1/payment_intents/pi_1/cancel", (400, refused(None, "idempotency_error")))
    provider.says("POST /v1/refunds", (400, refused(None, "idempotency_error")))
    assert isinstance(await gateway.perform(operation(kind), payment()), Unknown)


async def test_silence_is_unknown_and_nobody_there_is_not_sent(gateway, impatient, provider):
    provider.says(CREATE, intent())
    provider.delay = 5
    assert isinstance(await impatient.perform(operation(), payment("")), Unknown)
    provider.delay, provider.hang_up = 0, True
    assert isinstance(await gateway.perform(operation(), payment("")), Unknown)
    nobody = StripeGateway(settings("http://127.0.0.1:9"))
    assert isinstance(await nobody.perform(operation(), payment("")), NotSent)
    await nobody.close()


async def test_only_the_last_capture_gives_up_the_rest(gateway, provider):
    provider.says(CAPTURE, intent(received=700), intent("succeeded", 1000))

    first = await gateway.perform(operation("capture", 700), payment())
    last = await gateway.perform(operation("capture", 300), payment(captured=700))

    assert (first.status, first.captured, first.operation_reference) == ("captured", 700, "ch_1")
    assert (last.status, last.captured) == ("captured", 1000)
    forms = [form for _, _, form in provider.asked]
    assert [form["amount_to_capture"] for form in forms] == ["700", "300"]
    assert [form.get("final_capture") for form in forms] == ["false", None]


async def test_an_amount_that_stripe_does_not_take_is_refused_unasked(gateway, provider):
    outcome = await gateway.perform(operation("capture", 5), payment(currency_code="KWD"))
    assert outcome == Refused("amount_unsupported")
    assert provider.asked == []


async def test_a_void_cancels_and_after_a_capture_releases_the_rest(gateway, provider):
    provider.says(CANCEL, intent("canceled"), intent("canceled", cancellation_reason="abandoned"))
    provider.says(CAPTURE, intent("succeeded", 700))

    voided = await gateway.perform(operation("void"), payment())
    expired = await gateway.perform(operation("expire"), payment())
    released = await gateway.perform(operation("void", 300), payment(captured=700))

    assert (voided.status, expired.status) == ("voided", "expired")
    assert (released.status, released.captured) == ("voided", 700)
    _, _, form = provider.asked[-1]
    assert (form["amount_to_capture"], form["final_capture"]) == ("0", "true")


async def test_a_refused_step_says_where_the_charge_stands(gateway, provider):
    for route in (CANCEL, CAPTURE):
        provider.says(route, (400, refused("payment_intent_unexpected_state")))
    cases = [
        ("void", payment(), intent("succeeded", 1000), "captured"),
        ("void", payment(), intent("canceled"), "voided"),
        ("capture", payment(), intent("canceled", cancellation_reason="expired"), "expired"),
    ]
    for kind, paid, body, standing in cases:
        provider.says(INTENT, body)
        outcome = await gateway.perform(operation(kind), paid)
        assert outcome == Refused("payment_intent_unexpected_state", standing)

    provider.says(INTENT, intent("succeeded", 700))
    released = await gateway.perform(operation("expire", 300), payment(captured=700))
    assert (released.status, released.captured) == ("expired", 700)

    provider.says(INTENT, (500, b""))
    assert isinstance(await gateway.perform(operation("void"), payment()), Unknown)


async def test_refunds_a_part_and_tells_the_sum(gateway, provider):
    asked = operation("refund", 200)
    after = intent("succeeded", 1000, refunded=300)
    body = {"id": "re_1", "object": "refund", "status": "succeeded", "payment_intent": after}
    provider.says(REFUND, body)

    told = await gateway.perform(asked, payment(captured=1000, refunded=100))

    assert (told.status, told.refunded, told.operation_reference) == ("refunded", 300, "re_1")
    _, request, form = provider.asked[0]
    assert request.headers["Idempotency-Key"] == asked.operation_id
    assert (form["payment_intent"], form["amount"]) == ("pi_1", "200")
    assert form["metadata[operation_id]"] == asked.operation_id

    provider.says(REFUND, body | {"status": "pending"})
    assert isinstance(await gateway.perform(asked, payment(captured=1000)), Unknown)
    provider.says(REFUND, body | {"status": "failed", "failure_reason": "expired_or_canceled_card"})
    assert await gateway.perform(asked, payment(captured=1000)) == Refused(
        "expired_or_canceled_card", "captured"
    )


async def test_a_lost_capture_is_told_by_the_sums(gateway, provider):
    asked, paid = operation("capture", 300), payment(captured=200)
    outcomes = []
    for received in (200, 500, 400):
        provider.says(INTENT, intent(received=received))
        outcomes.append(await gateway.look_up(asked, paid))
    never, told, odd = outcomes
    assert isinstance(never, NeverSeen)
    assert (told.status, told.captured) == ("captured", 500)
    assert isinstance(odd, Unknown)


async def test_a_lost_void_is_told_by_the_intent(gateway, provider):
    asked = operation("void", 300)
    provider.says(INTENT, intent())
    assert isinstance(await gateway.look_up(asked, payment()), NeverSeen)
    provider.says(INTENT, intent("canceled"))
    assert (await gateway.look_up(asked, payment())).status == "voided"
    provider.says(INTENT, intent("succeeded", 700))
    assert (await gateway.look_up(asked, payment(captured=700))).status == "voided"
    provider.says(INTENT, intent("succeeded", 1000))
    assert isinstance(await gateway.look_up(asked, payment(captured=700)), NeverSeen)


async def test_a_lost_refund_is_found_by_its_key_on_whatever_page(gateway, provider):
    asked = operation("refund", 200)
    ours = {
        "id": "re_2",
        "object": "refund",
        "status": "succeeded",
        "metadata": {"operation_id": asked.operation_id},
    }
    others = [{"id": "re_1", "object": "refund", "status": "succeeded", "metadata": "odd"}]
    provider.says(INTENT, intent("succeeded", 1000, refunded=200))
    provider.says(
        REFUNDS,
        {"object": "list", "data": others, "has_more": True},
        {"object": "list", "data": [ours], "has_more": False},
        {"object": "list", "data": [], "has_more": False},
    )

    told = await gateway.look_up(asked, payment(captured=1000))
    assert (told.status, told.refunded, told.operation_reference) == ("refunded", 200, "re_2")
    assert parse_qs(provider.asked[-1][1].query_string)["starting_after"] == ["re_1"]
    assert isinstance(await gateway.look_up(asked, payment(captured=1000)), NeverSeen)


async def test_a_list_that_never_ends_is_unknown(gateway, provider):
    page = {"object": "list", "data": [{"id": "re_1", "object": "refund"}], "has_more": True}
    provider.says(INTENT, intent("succeeded", 1000))
    provider.says(REFUNDS, page)
    assert isinstance(await gateway.look_up(operation("refund"), payment(captured=1000)), Unknown)


async def test_a_lost_authorization_is_repeated_while_stripe_keeps_its_key_and_searched_for(
    gateway, provider
):
    assert isinstance(await gateway.look_up(operation(), payment("")), NeverSeen)
    assert provider.asked == []

    asked = operation(age=timedelta(hours=1))
    provider.says(SEARCH, (429, refused("rate_limit")))
    assert isinstance(await gateway.look_up(asked, payment("")), NeverSeen)
    old = operation(age=timedelta(hours=24))
    assert isinstance(await gateway.look_up(old, payment("")), Unknown)

    provider.says(SEARCH, {"object": "search_result", "data": [], "has_more": False})
    assert isinstance(await gateway.look_up(old, payment("")), NeverSeen)
    found = intent(metadata={"operation_id": old.operation_id})
    provider.says(SEARCH, {"object": "search_result", "data": [found], "has_more": False})
    assert (await gateway.look_up(old, payment(""))).status == "authorized"
    assert provider.asked[-1][1].query["query"] == f"metadata['operation_id']:'{old.operation_id}'"
    assert isinstance(await gateway.look_up(operation(age=timedelta(hours=24)), payment("")), NeverSeen)


async def test_an_authorization_that_its_customer_has_confirmed_goes_on(gateway, provider):
    provider.says(INTENT, intent("requires_confirmation"))
    provider.says("POST /v1/payment_intents/pi_1/confirm", intent())
    asked = operation()
    assert (await gateway.look_up(asked, payment())).status == "authorized"
    assert provider.asked[-1][1].headers["Idempotency-Key"] == f"{asked.operation_id}:confirm"


async def test_a_payment_method_is_what_its_customer_knows_it_by(gateway, provider):
    route = "GET /v1/payment_methods/pm_34cd"
    card = {"brand": "visa", "last4": "4242", "exp_month": 8, "exp_year": 2030}
    body = {"id": "pm_34cd", "object": "payment_method", "type": "card", "card": card}
    provider.says(route, body | {"customer": "cus_ab12"}, body | {"customer": None})
    visa = Method(brand="visa", last_four="4242", expiry_month=8, expiry_year=2030)
    assert await gateway.method("pm_stripe_cus_ab12_pm_34cd") == visa
    assert await gateway.method("pm_stripe_cus_ab12_pm_34cd") == Refused("payment_method_detached")
    assert await gateway.method("pm_stripe_pm_34cd") == visa
    provider.says(route, (404, refused("resource_missing")))
    assert await gateway.method("pm_stripe_pm_34cd") == Refused("resource_missing")
    asked = len(provider.asked)
    for token in ("..", "pm_34cd/detach", "", "pm 1", "pm_1?x=1"):
        assert await gateway.method(f"pm_stripe_{token}") == Refused("resource_missing")
    assert len(provider.asked) == asked


async def test_a_method_that_nobody_has_is_forgotten(gateway, provider):
    method, detach = "GET /v1/payment_methods/pm_1", "POST /v1/payment_methods/pm_1/detach"
    provider.says(detach, {"id": "pm_1", "object": "payment_method"})
    assert await gateway.forget("pm_stripe_pm_1") is None
    provider.says(detach, (400, refused(None)))
    provider.says(method, {"id": "pm_1", "object": "payment_method", "customer": None})
    assert await gateway.forget("pm_stripe_pm_1") is None
    provider.says(method, (404, refused("resource_missing")))
    assert await gateway.forget("pm_stripe_pm_1") is None
    provider.says(method, {"id": "pm_1", "object": "payment_method", "customer": "cus_1"})
    assert isinstance(await gateway.forget("pm_stripe_pm_1"), Refused)
    provider.says(detach, (500, b""))
    assert isinstance(await gateway.forget("pm_stripe_pm_1"), Unknown)


def signed(body, at=None, secret=SECRET):
    return {"stripe-signature": stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at)}


async def test_a_webhook_is_stripes_or_refused_with_the_cause(gateway):
    body = b'{"object": "event"}'
    now = int(time.time())
    good = signed(body)
    await gateway.verify(body, good)
    header = good["stripe-signature"]
    await gateway.verify(body, {"stripe-signature": f"{header},v0={'0' * 64}"})
    cases = [
        (body, {}, "missing"),
        (body, {"stripe-signature": b"t=1,v1=ab"}, "missing"),
        (body, {"stripe-signature": "v1=ab"}, "malformed"),
        (body, {"stripe-signature": f"t={now},v1=é"}, "malformed"),
        (body, {"stripe-signature": f"t={now},v0={'0' * 64}"}, "wrong"),
        (body + b" ", good, "wrong"),
        (b"\xff", good, "wrong"),
        (body, signed(body, secret="another"), "wrong"),
        (body, signed(body, now - 301), "too old"),
        (body, signed(body, now + 400), "too old"),
    ]
    for asked, headers, cause in cases:
        with pytest.raises(Refusal) as refusal:
            await gateway.verify(asked, headers)
        assert refusal.value.reason == ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID
        assert refusal.value.metadata == {"cause": cause}


def event(name, subject):
    return json.dumps({"id": "evt_1", "object": "event", "type": name, "data": {"object": subject}}).encode()


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("payment_intent.requires_action", intent("requires_action"), "requires_action"),
        ("payment_intent.processing", intent("processing"), "processing"),
        (
            "payment_intent.payment_failed",
            intent("requires_payment_method", last_payment_error={"code": "card_declined"}),
            "declined",
        ),
        ("payment_intent.canceled", intent("canceled"), "voided"),
        ("payment_intent.canceled", intent("canceled", cancellation_reason="expired"), "expired"),
    ],
)
def test_an_intents_event_tells_of_its_authorization(gateway, name, body, status):
    key = str(new_id())
    notice = gateway.read(event(name, body | {"metadata": {"operation_id": key}}))
    assert (notice.event_id, notice.type, notice.operation_id) == ("evt_1", name, key)
    assert notice.charge_reference == notice.told.reference == "pi_1"
    assert (notice.told.status, notice.ask) == (status, False)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        # Also of an operation that it names: it does not say how often the card may be captured.
        (
            "payment_intent.amount_capturable_updated",
            intent(metadata={"operation_id": "0190b8a0-1111-7000-8000-000000000001"}),
        ),
        ("payment_intent.amount_capturable_updated", intent(received=700)),
        ("payment_intent.succeeded", intent("succeeded", 1000)),
        ("charge.captured", charge(1000)),
        ("charge.refunded", charge(1000, 300)),
        ("refund.failed", {"object": "refund", "id": "re_1", "payment_intent": "pi_1"}),
    ],
)
def test_an_event_that_does_not_say_all_of_its_operation_asks_for_a_look(gateway, name, body):
    notice = gateway.read(event(name, body))
    assert (notice.charge_reference, notice.told, notice.ask) == ("pi_1", None, True)


def test_events_that_are_none_of_ours_tell_nothing(gateway):
    for name, body in (
        ("payment_intent.created", intent("requires_confirmation")),
        ("charge.succeeded", charge()),
        ("customer.created", {"object": "customer", "id": "cus_1"}),
    ):
        notice = gateway.read(event(name, body))
        assert (notice.told, notice.dispute, notice.ask) == (None, None, False)


def test_a_dispute_is_told_with_its_fee(gateway):
    withdrawn = {"object": "balance_transaction", "amount": -400, "fee": 1500, "currency": "eur"}
    body = {
        "id": "du_1",
        "object": "dispute",
        "amount": 400,
        "currency": "eur",
        "status": "needs_response",
        "reason": "fraudulent",
        "payment_intent": "pi_1",
        "balance_transactions": [withdrawn, withdrawn | {"currency": "usd"}],
    }
    opened = gateway.read(event("charge.dispute.created", body))
    assert (opened.charge_reference, opened.ask) == ("pi_1", False)
    told = opened.dispute
    assert (told.reference, told.status, told.amount) == ("du_1", DISPUTE_OPEN, 400)
    assert (told.fee, told.reason) == (1500, "fraudulent")
    won = gateway.read(event("charge.dispute.closed", body | {"status": "won"}))
    assert won.dispute.status == DISPUTE_WON
    inquiry = gateway.read(event("charge.dispute.created", body | {"status": "warning_needs_response"}))
    assert inquiry.dispute is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 5_000,
        b"{}",
        b'{"object": "event", "id": "evt_1", "type": "x"}',
        b'{"object": "event", "id": "evt_1", "type": 5, "data": {"object": {}}}',
        event("payment_intent.succeeded", intent(amount="5")),
        event("charge.dispute.created", {"object": "dispute"}),
    ],
    ids=lambda body: str(body[:40]),
)
def test_a_webhook_that_is_no_event_is_refused(gateway, body):
    with pytest.raises(Refusal) as refusal:
        gateway.read(body)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED


def transaction(number, kind, amount, fee, source):
    return {
        "id": f"txn_{number}",
        "object": "balance_transaction",
        "type": kind,
        "reporting_category": kind,
        "amount": amount,
        "fee": fee,
        "currency": "eur",
        "created": 1_790_000_000 + number,
        "source": source,
    }


async def test_the_balance_is_read_as_a_settlement_page_by_page(gateway, provider):
    key = str(new_id())
    refund = {"id": "re_1", "object": "refund", "payment_intent": "pi_1", "metadata": {"operation_id": key}}
    dispute = {"id": "du_1", "object": "dispute", "payment_intent": "pi_1"}
    first = [
        transaction(6, "adjustment", -7, 0, None),
        transaction(5, "payout", -600, 0, {"id": "po_1", "object": "payout"}),
        transaction(4, "stripe_fee", -25, 0, None),
        transaction(3, "adjustment", -400, 1500, dispute),
    ]
    second = [transaction(2, "refund", -300, 0, refund), transaction(1, "charge", 1000, 59, charge(1000))]
    provider.says(
        "GET /v1/balance_transactions",
        {"object": "list", "data": first, "has_more": True},
        {"object": "list", "data": second, "has_more": False},
    )
    begin = datetime(2026, 9, 1, tzinfo=UTC)

    lines = [line async for line in gateway.settlement(begin, begin + timedelta(days=1))]

    short = [
        (
            SettlementLineKind.Name(line.kind).removeprefix("SETTLEMENT_LINE_KIND_"),
            line.charge_reference,
            line.operation_reference,
            line.gross.minor_units,
            line.fee.minor_units,
        )
        for line in lines
    ]
    assert short == [
        ("REFUND", "", "", -7, 0),
        ("PAYOUT", "", "po_1", -600, 0),
        ("FEE", "", "", 0, 25),
        ("DISPUTE", "pi_1", "du_1", -400, 1500),
        ("REFUND", "pi_1", key, -300, 0),
        ("CAPTURE", "pi_1", "ch_1", 1000, 59),
    ]
    assert [line.line_id for line in lines] == [f"txn_{number}" for number in (6, 5, 4, 3, 2, 1)]
    assert lines[-1].time.seconds == 1_790_000_001
    query = provider.asked[-1][1].query
    assert query["created[gte]"] == str(int(begin.timestamp()))
    assert query["created[lt]"] == str(int(begin.timestamp()) + 86_400)
    assert query["starting_after"] == "txn_3"


@pytest.mark.parametrize(
    "answer", [(500, b""), (401, refused(None)), (200, {"object": "list", "data": [{}]})]
)
async def test_a_settlement_that_breaks_off_is_not_taken_for_whole(gateway, provider, answer):
    provider.says("GET /v1/balance_transactions", answer)
    with pytest.raises(Unfetched):
        _ = [line async for line in gateway.settlement(datetime.now(UTC), datetime.now(UTC))]


async def test_credentials_are_in_no_outcome_and_no_log(gateway, provider, caplog):
    caplog.set_level(logging.DEBUG)
    for status in (400, 401, 402, 500):
        provider.says(CREATE, (status, refused("x", "card_error", message=KEY)))
        outcome = await gateway.perform(operation(), payment(""))
        assert KEY not in repr(outcome)
    assert KEY not in caplog.text
    assert "pm_card_visa" not in caplog.text
    assert SECRET not in caplog.text
