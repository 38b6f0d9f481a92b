import asyncio
import time

import aiohttp
import pytest


async def test_ok_is_authorized_for_the_whole_amount(merchant):
    reply = await merchant.charge("ok", key="ok-1", reference="order-7")

    assert reply.status == 200
    charge = reply.body
    assert charge["status"] == "authorized"
    assert (charge["authorized_minor_units"], charge["captured_minor_units"]) == (1999, 0)
    assert (charge["idempotency_key"], charge["reference"]) == ("ok-1", "order-7")
    assert charge["next_action_url"] is None
    booked = await merchant.booked(charge["id"])
    assert booked.pop("row") > 0
    assert charge.pop("operation_reference") == charge["id"]
    assert booked == charge == (await merchant.get(f"/v1/charges/{charge['id']}")).body


@pytest.mark.parametrize(
    ("method", "code"), [("declined", "card_declined"), ("insufficient_funds", "insufficient_funds")]
)
async def test_a_declined_charge_is_an_outcome_with_its_code(merchant, method, code):
    reply = await merchant.charge(method)

    assert reply.status == 200
    assert (reply.body["status"], reply.body["decline_code"]) == ("declined", code)
    assert reply.body["authorized_minor_units"] == 0
    assert (await merchant.post(f"/v1/charges/{reply.body['id']}/void", {})).code == "step_not_allowed"


@pytest.mark.parametrize(
    ("outcome", "status", "authorized"), [("pass", "authorized", 1999), ("fail", "declined", 0)]
)
async def test_requires_action_waits_for_the_customer(merchant, outcome, status, authorized):
    reply = await merchant.charge("requires_action", key=f"challenge-{outcome}")
    assert reply.body["status"] == "requires_action"
    url = reply.body["next_action_url"]
    assert (await merchant.operation(f"challenge-{outcome}")).body["status"] == "requires_action"

    async with merchant.http.get(url) as page:
        assert page.content_type == "text/html"
    async with merchant.http.post(url, json={"outcome": outcome}) as told:
        assert (told.status, (await told.json())["status"]) == (200, status)

    found = (await merchant.operation(f"challenge-{outcome}")).body
    assert (found["status"], found["authorized_minor_units"]) == (status, authorized)
    assert found["next_action_url"] is None


async def test_a_challenge_is_answered_once(merchant):
    charge = (await merchant.charge("requires_action")).body
    path = f"/v1/challenges/{charge['id']}"
    said = await merchant.send("POST", path, {}, json={"outcome": "pass"})

    again = await merchant.send("POST", path, {}, json={"outcome": "pass"})
    other = await merchant.send("POST", path, {}, json={"outcome": "fail"})

    assert again.raw == said.raw
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status, other.code) == (409, "step_not_allowed")
    assert (await merchant.booked(charge["id"]))["status"] == "authorized"


async def test_a_voided_challenge_can_no_longer_be_passed(merchant):
    charge = (await merchant.charge("requires_action", key="voided-challenge")).body
    voided = await merchant.post(f"/v1/charges/{charge['id']}/void", {})

    late = await merchant.send("POST", f"/v1/challenges/{charge['id']}", {}, json={"outcome": "pass"})

    assert (voided.status, voided.body["status"], voided.body["voided_minor_units"]) == (200, "voided", 0)
    assert (late.status, late.code) == (409, "step_not_allowed")
    assert (await merchant.operation("voided-challenge")).body["status"] == "voided"


async def test_slow_answers_after_a_second_and_a_half(merchant):
    started = time.monotonic()
    reply = await merchant.charge("slow")
    assert reply.body["status"] == "authorized"
    assert time.monotonic() - started > 1.4


async def test_silent_before_charges_nothing_and_works_the_second_time(merchant):
    (await merchant.silence("silent_before", "before-1")).cancel()
    unknown = await merchant.operation("before-1")
    assert (unknown.status, unknown.code) == (404, "operation_unknown")

    reply = await merchant.charge("silent_before", key="before-1")

    assert reply.body["status"] == "authorized"
    assert "Idempotent-Replayed" not in reply.headers
    assert (await merchant.operation("before-1")).body["id"] == reply.body["id"]
    assert [c["id"] for c in await merchant.book() if c["idempotency_key"] == "before-1"] == [
        reply.body["id"]
    ]


async def test_silent_after_has_charged_and_the_replay_tells(merchant):
    (await merchant.silence("silent_after", "after-1")).cancel()
    found = (await merchant.operation("after-1")).body
    assert (found["status"], found["operation"]) == ("authorized", "authorize")

    reply = await merchant.charge("silent_after", key="after-1")

    assert reply.headers["Idempotent-Replayed"] == "true"
    assert (reply.body["id"], reply.body["status"]) == (found["id"], "authorized")
    assert len([c for c in await merchant.book() if c["idempotency_key"] == "after-1"]) == 1


async def test_a_silent_connection_ends_when_the_provider_stops(open_sandbox):
    merchant = open_sandbox()
    waiting = await merchant.silence("silent_before", "at-the-stop")

    assert await asyncio.to_thread(merchant.sandbox.stop) == 0

    with pytest.raises(aiohttp.ClientError):
        await waiting


async def test_late_is_processing_first_and_authorized_later(merchant):
    reply = await merchant.charge("late_webhook", key="late-1")
    assert reply.body["status"] == "processing"
    assert (await merchant.operation("late-1")).body["status"] == "processing"
    refused = await merchant.post(f"/v1/charges/{reply.body['id']}/capture", {"amount_minor_units": 1})
    assert refused.code == "step_not_allowed"

    await merchant.becomes("/v1/operations/late-1", status="authorized", authorized_minor_units=1999)
    assert (await merchant.charge("late_webhook", key="late-1")).raw == reply.raw


async def test_a_late_charge_that_was_voided_is_never_authorized(merchant):
    charge = (await merchant.charge("late_webhook", key="late-2")).body
    await merchant.post(f"/v1/charges/{charge['id']}/void", {})
    # What came after it is decided after it.
    later = (await merchant.charge("late_webhook")).body
    await merchant.becomes(f"/v1/charges/{later['id']}", status="authorized")
    assert (await merchant.booked(charge["id"]))["status"] == "voided"
    assert (await merchant.operation("late-2")).body["status"] == "voided"
