"""Requests that come twice or are not answered, and webhooks that come late, doubled and shuffled."""

import asyncio
import random

import aiohttp
import pytest
import stripe

from tests.providers.stripe.asks import KEY, MANUAL, SECRET, VISA, authorized, told
from tests.providers.stripe.server import StripeServer


async def test_a_key_replays_its_reply_declines_and_500s_included(server, client):
    async def pay(key, card=VISA, amount=1000):
        wanted = {"amount": amount, "currency": "eur", "payment_method": card, **MANUAL}
        return await client.v1.payment_intents.create_async(wanted, {"idempotency_key": key})

    first, second = await pay("k1"), await pay("k1")
    assert first.id == second.id
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        await pay("k1", amount=1001)
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            await pay("k2", "pm_card_chargeDeclined")
    assert dict(declined.value.headers or {})["Idempotent-Replayed"] == "true"
    server.misbehave("error_after", path="/v1/payment_intents")
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await pay("k3")

    assert len(server.book()) == 2  # k1's, and k3's: it was carried out although it says 500
    assert server.count_by_key() == {"k1": 3, "k2": 2, "k3": 2}


async def test_a_request_that_fails_validation_leaves_its_key_free(client):
    options = {"idempotency_key": "k"}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.payment_intents.create_async({"amount": 1000, "currency": "xxx"}, options)
    assert refused.value.param == "currency"

    made = await client.v1.payment_intents.create_async({"amount": 1000, "currency": "eur"}, options)

    assert made.status == "requires_payment_method"


async def test_a_key_in_use_is_a_conflict_and_a_day_later_it_is_forgotten(server, client):
    options = {"idempotency_key": "k"}
    server.misbehave("slow", seconds=0.3)
    wanted = {"amount": 1000, "currency": "eur"}

    both = await asyncio.gather(
        *(client.v1.payment_intents.create_async(wanted, options) for _ in range(2)), return_exceptions=True
    )

    (conflict,) = [reply for reply in both if isinstance(reply, stripe.APIError)]
    assert (conflict.http_status, told(conflict)["code"]) == (409, "idempotency_key_in_use")
    (first,) = [reply for reply in both if not isinstance(reply, BaseException)]
    server.advance(23 * 3600)
    assert server.prune_keys() == 0
    server.advance(3600)
    assert server.prune_keys() == 1
    assert (await client.v1.payment_intents.create_async(wanted, options)).id != first.id


async def test_it_is_silent_hangs_up_and_babbles_before_or_after_the_effect(server, connect):
    client = connect(server, timeout=0.4)
    for kind, error, charges in [
        ("silent_before", stripe.APIConnectionError, 0),
        ("silent_after", stripe.APIConnectionError, 1),
        ("hang_up_before", stripe.APIConnectionError, 1),
        ("hang_up_after", stripe.APIConnectionError, 2),
        ("malformed", stripe.APIError, 3),
        ("rate_limited", stripe.RateLimitError, 3),
        ("conflict", stripe.APIError, 3),
        ("error_before", stripe.APIError, 3),
    ]:
        server.misbehave(kind, path="/v1/payment_intents", method="POST")
        with pytest.raises(error):
            await authorized(client)
        assert len(server.book()) == charges, kind
    assert server.count("/v1/payment_intents") == 8
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as browser:
        server.misbehave("huge")
        async with browser.get(f"{server.url}/v1/charges") as reply:
            assert len(await reply.read()) > 32_000_000


async def test_webhooks_come_signed_are_retried_and_can_be_late_doubled_and_shuffled(merchant, connect):
    merchant.refuse = 2
    async with StripeServer(webhook_url=merchant.url, webhook_secret=SECRET, api_key=KEY) as server:
        client = connect(server)
        intent = await authorized(client)
        await server.webhooks_idle()
        assert {event.type for event in merchant.taken} == {
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.amount_capturable_updated",
        }
        assert merchant.taken[0].request.id == intent.last_response.request_id
        server.hold_webhooks()
        await client.v1.payment_intents.capture_async(intent.id)
        captured = server.events_of("*", intent.id)[-2:]
        assert await server.deliver(captured, copies=2, order=random.Random(1)) == [200] * 4

        assert sorted(event.type for event in merchant.taken[3:]) == [
            *["charge.captured"] * 2,
            *["payment_intent.succeeded"] * 2,
        ]
        with pytest.raises(stripe.SignatureVerificationError):
            forged = server.signed(captured[0], secret="whsec_other")
            stripe.Webhook.construct_event(forged.body, forged.headers["Stripe-Signature"], SECRET)
        with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
            late = server.signed(captured[0], timestamp=server.stripe.clock.seconds() - 301)
            stripe.Webhook.construct_event(late.body, late.headers["Stripe-Signature"], SECRET)
