"""The kit, second part: a lost answer is Unknown, and what became of it is found out; nothing is done twice."""

import asyncio
import logging

import pytest
import structlog

from services.payment.gateways.gateway import Unfetched
from services.payment.rules.outcomes import NeverSeen, NotSent, Told, Unknown
from services.payment.rules.payment import Kind
from services.runtime import telemetry
from tests.payment.gateway_kit import (
    AFTER,
    BEFORE,
    DONE,
    HASTE_SECONDS,
    KINDS,
    PATIENCE_SECONDS,
    SILENT,
    buy,
    needs,
)
from tests.payment.gateways.test_gateway_kit import once
from tests.ports import free_port


async def asked_badly(world, purchase, fault, question):
    """Ask while the provider misbehaves."""
    operation = purchase.asked(Kind.CAPTURE if question == "look_up" else question)
    gateway = world.connect(timeout_seconds=HASTE_SECONDS if fault in SILENT else PATIENCE_SECONDS)
    await world.misbehave(fault, question)
    try:
        ask = purchase.look_up if question == "look_up" else purchase.perform
        return operation, await ask(operation, gateway)
    finally:
        await gateway.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", BEFORE)
async def test_what_was_not_done_is_unknown_then_done_once(world, fault, kind):
    purchase = await (await buy(world)).ready_for(kind)

    operation, outcome = await asked_badly(world, purchase, fault, kind)

    assert isinstance(outcome, Unknown), outcome
    if purchase.found_by_key(operation):
        assert await purchase.look_up(operation) == NeverSeen()
    told = await purchase.settle(operation)
    if fault == "error_500" and world.keeps_errors and isinstance(told, Unknown):
        assert once(kind) not in await purchase.charges()
        return
    assert isinstance(told, Told), told
    assert told.status == DONE[kind]
    assert await purchase.charges() == [once(kind)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", AFTER)
async def test_what_was_done_is_unknown_then_told(world, fault, kind):
    purchase = await (await buy(world)).ready_for(kind)

    operation, outcome = await asked_badly(world, purchase, fault, kind)

    assert isinstance(outcome, Unknown), outcome
    told = await (purchase.look_up if purchase.found_by_key(operation) else purchase.settle)(operation)
    assert isinstance(told, Told), told
    assert told.status == DONE[kind]
    assert told.reference == purchase.reference
    assert (told.captured, told.refunded) == (purchase.payment.captured, purchase.payment.refunded)
    assert await purchase.charges() == [once(kind)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", AFTER)
async def test_what_was_done_and_is_asked_again_is_done_once(world, fault, kind):
    purchase = await (await buy(world)).ready_for(kind)
    operation, _ = await asked_badly(world, purchase, fault, kind)

    told = await purchase.perform(operation)

    assert isinstance(told, Told), told
    assert told.status == DONE[kind]
    assert await purchase.charges() == [once(kind)]


@pytest.mark.parametrize("fault", BEFORE + AFTER)
async def test_a_lookup_whose_answer_is_lost_is_unknown(world, fault):
    purchase = await (await buy(world)).ready_for(Kind.CAPTURE)
    _, outcome = await asked_badly(world, purchase, fault, "look_up")
    # Whoever hangs up on a question that changes nothing may be asked again at once.
    assert isinstance(outcome, Unknown) or (fault == "hang_up" and outcome == NeverSeen()), outcome
    assert await purchase.charges() == [once(Kind.AUTHORIZE)]


async def test_a_lookup_that_is_lost_leaves_a_charge_as_it_is(world):
    purchase = await buy(world)
    authorization = purchase.asked(Kind.AUTHORIZE)
    await purchase.perform(authorization)
    await world.misbehave("error_500", "look_up")
    assert isinstance(await purchase.look_up(authorization), Unknown)
    assert (await purchase.look_up(authorization)).status == "authorized"


@pytest.mark.parametrize("fault", ["silent_before", "error_500", "error_429", "malformed", "huge"])
async def test_what_is_not_told_of_a_saved_method_is_unknown(world, fault):
    needs(world, "saved_methods")
    token, method = await world.saved()
    gateway = world.connect(timeout_seconds=HASTE_SECONDS if fault in SILENT else PATIENCE_SECONDS)
    for ask in (gateway.method, gateway.forget):
        await world.misbehave(fault, "method")
        outcome = await ask(token)
        # That there is nothing to read in the answer to a deletion, half or not, is no harm.
        gone = outcome is None and ask == gateway.forget and fault == "malformed"
        assert isinstance(outcome, Unknown) or gone, outcome
    await gateway.close()
    if fault in BEFORE:
        assert await world.gateway.method(token) == method
    assert await world.gateway.forget(token) is None


async def test_where_nobody_listens_nothing_was_sent(world):
    gateway = world.connect(url=f"http://127.0.0.1:{free_port()}")
    purchase = await buy(world)
    for kind in KINDS:
        operation, payment = purchase.asked(kind), purchase.payment
        assert isinstance(await gateway.perform(operation, payment), NotSent), kind
        asked = await gateway.look_up(operation, payment)
        assert isinstance(asked, NotSent) or (asked == NeverSeen() and not purchase.found_by_key(operation))
        if kind == Kind.AUTHORIZE:
            await purchase.perform(operation)
    if world.gateway.abilities.saved_methods:
        assert isinstance(await gateway.method(world.unknown_token), NotSent)
        assert isinstance(await gateway.forget(world.unknown_token), NotSent)
    await gateway.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", SILENT)
async def test_a_caller_who_leaves_breaks_nothing(world, fault, kind):
    """Not even with the only connection that there is."""
    purchase = await (await buy(world)).ready_for(kind)
    gateway = world.connect(connections=1)
    operation, payment = purchase.asked(kind), purchase.payment
    await world.misbehave(fault, kind)

    leaving = asyncio.create_task(gateway.perform(operation, payment))
    await asyncio.sleep(0.5)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    outcome = await gateway.look_up(operation, payment)
    if isinstance(outcome, NeverSeen):
        outcome = await gateway.perform(operation, payment)
    assert isinstance(outcome, Told), outcome
    assert outcome.status == DONE[kind]
    assert await purchase.charges() == [once(kind)]
    await gateway.close()


class Sink:
    """Takes ended spans in the exporter's place."""

    def __init__(self):
        self.spans = []

    def offer(self, ended):
        self.spans.append(ended)


async def test_no_credential_and_no_token_is_logged_or_traced(world, monkeypatch, caplog):
    sink = Sink()
    monkeypatch.setattr(telemetry, "_exporter", sink)
    caplog.set_level(logging.DEBUG)
    tokens = [world.token("ok"), world.unknown_token]
    with structlog.testing.capture_logs() as lines:
        purchase = await (await buy(world, method=tokens[0])).ready_for(Kind.REFUND)
        await purchase.done(Kind.REFUND)
        for fault in ("malformed", "error_500"):
            await asked_badly(world, await buy(world), fault, Kind.AUTHORIZE)
        if world.gateway.abilities.saved_methods:
            token, _ = await world.saved()
            tokens.append(token)
            await world.gateway.method(token)
            await world.gateway.forget(token)
        await (await buy(world, method=world.unknown_token)).do(Kind.AUTHORIZE)
        await asked_badly(world, await buy(world), "silent_after", Kind.AUTHORIZE)

    assert sink.spans
    said = [line.getMessage() for line in caplog.records] + [repr(line) for line in lines]
    said += [repr((span.name, span.attributes, span.given, span.error)) for span in sink.spans]
    for secret in (*world.secrets, *tokens):
        assert not [text for text in said if secret in text]


async def test_a_report_that_cannot_be_fetched_is_not_an_empty_one(world):
    needs(world, "settlements")
    gateway = world.connect(url=f"http://127.0.0.1:{free_port()}")
    now = (await buy(world)).payment.create_time
    with pytest.raises(Unfetched):
        [line async for line in gateway.settlement(now, now)]
    await gateway.close()
