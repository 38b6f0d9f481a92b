"""The guard before a gateway: it never waits for a place, and leaves alone who fails again and again."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from commerce.payment.v1.payment_service_pb2 import GatewayHealth

from services.payment.gateways.guard import Guard
from services.payment.payments.driver import started
from services.payment.rules.life import PENDING
from services.payment.rules.outcomes import NeverSeen, NotSent, Refused, Told, Unknown
from services.payment.rules.payment import Kind, Payment
from services.runtime.ids import new_id
from tests.payment.stand_ins import CARD, StandIn

OK = GatewayHealth.GATEWAY_HEALTH_OK
OPEN = GatewayHealth.GATEWAY_HEALTH_OPEN
TRYING = GatewayHealth.GATEWAY_HEALTH_TRYING
PLACES, FAILURES = 3, 2
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def guarded(rest_seconds=3600.0, seconds=60.0):
    provider = StandIn()
    return provider, Guard(provider, PLACES, FAILURES, rest_seconds, seconds)


def questions(guard):
    """Every question that a provider is asked, each as a call."""
    whose: dict[str, Any] = {
        name: str(new_id()) for name in ("payment_id", "order_id", "store_id", "customer_id")
    }
    times: dict[str, Any] = {"create_time": NOW, "update_time": NOW}
    payment = Payment(**whose, **times, state=PENDING, amount=1, currency_code="EUR")
    operation = started(Kind.AUTHORIZE, payment, 1)
    return {
        "perform": lambda: guard.perform(operation, payment),
        "look_up": lambda: guard.look_up(operation, payment),
        "method": lambda: guard.method("pm_stand_in_x"),
        "forget": lambda: guard.forget("pm_stand_in_x"),
    }


async def under_way(provider, *asked):
    tasks = [asyncio.create_task(one) for one in asked]
    while provider.asked_at_once < len(tasks):  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("question", ["perform", "look_up", "method", "forget"])
async def test_whoever_finds_no_place_is_told_at_once_that_nothing_was_sent(question):
    provider, guard = guarded()
    ask = questions(guard)[question]
    provider.hold()
    tasks = await under_way(provider, *(ask() for _ in range(PLACES)))

    assert await asyncio.gather(*(ask() for _ in range(20))) == [NotSent("busy")] * 20

    provider.let_go()
    assert await asyncio.gather(*tasks) == [CARD] * PLACES
    assert await ask() == CARD
    assert (provider.asked, provider.most_at_once) == (PLACES + 1, PLACES)


@pytest.mark.parametrize("question", ["perform", "look_up", "method", "forget"])
@pytest.mark.parametrize("failure", [Unknown("silence"), NotSent("ClientConnectorError")])
async def test_who_fails_again_and_again_is_asked_no_more(question, failure):
    provider, guard = guarded()
    ask = questions(guard)[question]
    provider.answer = failure

    assert [await ask() for _ in range(5)] == [failure] * FAILURES + [NotSent("open")] * 3

    assert provider.asked == FAILURES
    assert guard.health == OPEN


@pytest.mark.parametrize(
    "answer",
    [
        CARD,
        Refused("no"),
        NeverSeen(),
        None,
        Told(status="declined", reference="1", amount=1, currency_code="EUR"),
    ],
)
async def test_whatever_a_provider_answers_is_an_answer(answer):
    provider, guard = guarded()
    ask = questions(guard)["perform"]
    for _ in range(FAILURES):
        provider.answer = Unknown("silence")
        await ask()
        provider.answer = answer
        assert await ask() == answer
        assert guard.health == OK


async def test_after_its_rest_one_question_at_a_time_is_tried_and_an_answer_opens_the_door():
    provider, guard = guarded(rest_seconds=0.0)
    ask = questions(guard)["method"]
    provider.answer = Unknown("silence")
    for _ in range(FAILURES):
        await ask()
    provider.hold()
    (trial,) = await under_way(provider, ask())
    assert guard.health == TRYING
    assert await asyncio.gather(*(ask() for _ in range(9))) == [NotSent("open")] * 9

    provider.answer = CARD
    provider.let_go()

    assert await trial == CARD
    assert guard.health == OK
    assert await ask() == CARD


@pytest.mark.parametrize("question", ["perform", "look_up", "method", "forget"])
async def test_an_answer_that_takes_too_long_is_silence_and_a_failure(question):
    provider, guard = guarded(seconds=0.01)
    ask = questions(guard)[question]
    provider.hold()
    assert [await ask() for _ in range(FAILURES)] == [Unknown("timeout")] * FAILURES
    assert guard.health == OPEN


async def test_whoever_does_not_wait_for_an_answer_gives_the_place_back_and_proves_nothing():
    provider, guard = guarded()
    ask = questions(guard)["perform"]
    provider.hold()
    for _ in range(3 * FAILURES):
        tasks = await under_way(provider, *(ask() for _ in range(PLACES)))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert guard.health == OK
    provider.let_go()
    assert await ask() == CARD


async def test_a_store_that_fills_its_places_leaves_others_theirs():
    provider = StandIn()
    guard = Guard(provider, 64, FAILURES, 3600, 60)
    provider.hold()
    tasks = await under_way(provider, *(guard.method("x", "greedy") for _ in range(48)))

    assert await guard.method("x", "greedy") == NotSent("busy")
    others = [asyncio.create_task(guard.method("x", "modest")) for _ in range(12)]
    while provider.asked_at_once < 60:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0)

    provider.let_go()
    tasks += others
    assert set(await asyncio.gather(*tasks)) == {CARD}
    assert await guard.method("x", "greedy") == CARD


async def test_a_provider_that_fails_one_store_is_asked_for_the_others():
    provider, guard = guarded()
    provider.answer = Unknown("silence")
    for _ in range(FAILURES):
        await guard.method("x", "a")
    assert await guard.method("x", "a") == NotSent("open")

    provider.answer = CARD
    assert [await guard.method("x", "b") for _ in range(3)] == [CARD] * 3

    assert await guard.method("x", "a") == NotSent("open")
    assert (guard.health_for("a"), guard.health_for("b"), guard.health) == (OPEN, OK, OPEN)
    assert guard.refused_stores() == ["a"]


async def test_a_store_that_is_answered_again_is_forgotten():
    provider, guard = guarded(rest_seconds=0.0)
    for store in map(str, range(50)):
        provider.answer = Unknown("silence")
        for _ in range(FAILURES):
            await guard.method("x", store)
        assert guard.health_for(store) == TRYING
        provider.answer = CARD
        assert await guard.method("x", store) == CARD
    assert guard.health == OK
    assert vars(guard)["_breakers"] == {}


async def test_webhooks_and_reports_go_by():
    provider, guard = guarded()
    provider.answer = Unknown("silence")
    for _ in range(FAILURES):
        await guard.method("x")
    assert guard.health == OPEN

    await guard.unguarded.verify(b"", {})

    assert guard.unguarded.read(b"").event_id == "1"
    assert [line async for line in guard.unguarded.settlement(NOW, NOW)] == []
    assert (guard.code, guard.abilities) == (provider.code, provider.abilities)
