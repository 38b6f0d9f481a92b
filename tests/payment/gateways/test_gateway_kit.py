"""The kit, first part: what is asked is done, once, and told as it is in the provider's book."""

import asyncio

import pytest

from services.payment.gateways.gateway import HOSTED
from services.payment.rules.outcomes import NeverSeen, Refused, Told, Unknown
from services.payment.rules.payment import Kind
from tests.payment.gateway_kit import AMOUNT, DONE, KINDS, PART, Sums, buy, decline_of, needs

REST = AMOUNT - PART


async def test_promises_the_amount(world):
    purchase = await buy(world)

    told = await purchase.done(Kind.AUTHORIZE)

    assert (told.amount, told.currency_code) == (AMOUNT, world.currencies[0])
    assert (told.captured, told.refunded, told.decline_code, told.next_action_url) == (0, 0, "", "")
    assert told.reference
    assert await purchase.charges() == [Sums(AMOUNT)]


async def test_takes_all_of_it(world):
    purchase = await buy(world)
    authorized = await purchase.done(Kind.AUTHORIZE)

    told = await purchase.done(Kind.CAPTURE)

    assert (told.amount, told.captured, told.refunded) == (AMOUNT, AMOUNT, 0)
    assert told.reference == authorized.reference
    assert told.operation_reference
    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT)]


async def test_takes_it_in_two_parts(world):
    needs(world, "partial_capture", "multiple_capture")
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)

    first, second = await purchase.done(Kind.CAPTURE, PART), await purchase.done(Kind.CAPTURE, REST)

    assert (first.captured, second.captured) == (PART, AMOUNT)
    assert first.operation_reference
    assert second.operation_reference
    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT)]


@pytest.mark.parametrize("kind", [Kind.VOID, Kind.EXPIRE])
async def test_gives_it_up(world, kind):
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)

    told = await purchase.done(kind)

    assert (told.captured, told.refunded) == (0, 0)
    assert await purchase.charges() == [Sums(AMOUNT, voided=AMOUNT)]


@pytest.mark.parametrize("kind", [Kind.VOID, Kind.EXPIRE])
async def test_gives_up_the_rest_after_a_part(world, kind):
    needs(world, "partial_capture", "multiple_capture")
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await purchase.done(Kind.CAPTURE, PART)

    told = await purchase.done(kind)

    assert (told.captured, told.refunded) == (PART, 0)
    assert await purchase.charges() == [Sums(AMOUNT, captured=PART, voided=REST)]
    assert isinstance(await purchase.do(Kind.CAPTURE, 1), Refused)


async def test_one_part_is_all_where_there_are_not_more(world):
    needs(world, "partial_capture")
    if world.gateway.abilities.multiple_capture:
        pytest.skip("it takes several parts")
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await purchase.done(Kind.CAPTURE, PART)

    await purchase.do(Kind.VOID)

    assert await purchase.charges() == [Sums(AMOUNT, captured=PART, voided=REST)]


async def test_gives_all_of_it_back(world):
    purchase = await (await buy(world)).ready_for(Kind.REFUND)

    told = await purchase.done(Kind.REFUND)

    assert (told.amount, told.captured, told.refunded) == (AMOUNT, AMOUNT, AMOUNT)
    assert told.operation_reference
    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT, refunded=AMOUNT)]


async def test_gives_it_back_in_parts(world):
    needs(world, "partial_refund")
    purchase = await (await buy(world)).ready_for(Kind.REFUND)

    tolds = [await purchase.done(Kind.REFUND, PART), await purchase.done(Kind.REFUND, 1)]
    tolds.append(await purchase.done(Kind.REFUND))

    assert [told.refunded for told in tolds] == [PART, PART + 1, AMOUNT]
    assert len({told.operation_reference for told in tolds}) == 3
    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT, refunded=AMOUNT)]


async def test_gives_back_what_was_taken_in_two_parts(world):
    needs(world, "partial_capture", "multiple_capture", "partial_refund")
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await purchase.done(Kind.CAPTURE, PART)
    await purchase.done(Kind.CAPTURE, REST)

    await purchase.done(Kind.REFUND, PART + 1)
    await purchase.done(Kind.REFUND)

    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT, refunded=AMOUNT)]


async def test_gives_back_a_part_that_was_taken_and_takes_the_rest_later(world):
    needs(world, "partial_capture", "multiple_capture")
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await purchase.done(Kind.CAPTURE, PART)
    await purchase.done(Kind.REFUND, PART)

    await purchase.done(Kind.CAPTURE, REST)

    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT, refunded=PART)]


@pytest.mark.parametrize("hosted", [False, True], ids=["token", "hosted"])
async def test_a_customer_who_confirms_has_paid(world, hosted):
    needs(world, "hosted" if hosted else "customer_action")
    purchase = await buy(world, "challenge", method=HOSTED if hosted else "")
    authorization = purchase.asked(Kind.AUTHORIZE)

    told = await purchase.perform(authorization)
    assert (told.status, await purchase.charges()) == ("requires_action", [])
    assert told.next_action_url.startswith("http")
    waiting = await purchase.look_up(authorization)
    assert (waiting.status, waiting.next_action_url) == ("requires_action", told.next_action_url)
    await world.answer_challenge(told.reference, passed=True)

    assert (await purchase.look_up(authorization)).status == "authorized"
    assert (await purchase.look_up(authorization)).status == "authorized"
    assert await purchase.charges() == [Sums(AMOUNT)]
    await purchase.done(Kind.CAPTURE)
    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT)]


async def test_a_customer_who_does_not_confirm_has_not_paid(world):
    needs(world, "customer_action")
    purchase = await buy(world, "challenge")
    authorization = purchase.asked(Kind.AUTHORIZE)
    told = await purchase.perform(authorization)

    await world.answer_challenge(told.reference, passed=False)
    told = await purchase.look_up(authorization)

    assert told.status == world.failed_challenge
    assert bool(told.decline_code) == (told.status == "declined")
    assert await purchase.charges() == []


async def test_what_waits_for_the_customer_can_be_given_up(world):
    needs(world, "customer_action")
    purchase = await buy(world, "challenge")
    await purchase.do(Kind.AUTHORIZE)

    told = await purchase.do(Kind.VOID)

    assert isinstance(told, Told)
    assert told.status == "voided"
    assert await purchase.charges() == []


@pytest.mark.parametrize("behaviour", ["declined", "insufficient_funds"])
async def test_a_decline_tells_its_kind(world, behaviour):
    purchase = await buy(world, behaviour)
    authorization = purchase.asked(Kind.AUTHORIZE)

    outcome = await purchase.perform(authorization)

    assert decline_of(outcome) == world.declines[behaviour], outcome
    assert await purchase.charges() == []


async def test_a_payment_method_that_is_unknown_is_refused(world):
    purchase = await buy(world, method=world.unknown_token)
    outcome = await purchase.do(Kind.AUTHORIZE)
    assert isinstance(outcome, Refused) or decline_of(outcome), outcome
    assert await purchase.charges() == []


def once(kind):
    """What the provider's book has when each was done once."""
    return {
        Kind.AUTHORIZE: Sums(AMOUNT),
        Kind.CAPTURE: Sums(AMOUNT, captured=AMOUNT),
        Kind.VOID: Sums(AMOUNT, voided=AMOUNT),
        Kind.REFUND: Sums(AMOUNT, captured=AMOUNT, refunded=AMOUNT),
    }[kind]


def same(outcome):
    return outcome.status, outcome.reference, outcome.operation_reference


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_asked_again_is_done_once(world, kind):
    purchase = await (await buy(world)).ready_for(kind)
    operation, payment = purchase.asked(kind), purchase.payment

    outcomes = [await world.gateway.perform(operation, payment) for _ in range(3)]

    assert len({same(outcome) for outcome in outcomes}) == 1, outcomes
    assert outcomes[0].status == DONE[kind]
    assert await purchase.charges() == [once(kind)]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_asked_at_once_is_done_once(world, kind):
    purchase = await (await buy(world)).ready_for(kind)
    operation, payment = purchase.asked(kind), purchase.payment

    outcomes = await asyncio.gather(*(world.gateway.perform(operation, payment) for _ in range(5)))

    # A provider may say that it is still at it.
    told = [outcome for outcome in outcomes if not isinstance(outcome, Unknown)]
    assert {same(outcome) for outcome in told} == {same(told[0])}
    assert told[0].status == DONE[kind]
    assert same(await purchase.settle(operation)) == same(told[0])
    assert await purchase.charges() == [once(kind)]


async def test_another_one_of_the_same_size_is_another_one(world):
    needs(world, "partial_refund")
    purchase = await (await buy(world)).ready_for(Kind.REFUND)

    await purchase.done(Kind.REFUND, PART)
    await purchase.done(Kind.REFUND, PART)

    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT, refunded=2 * PART)]


async def test_another_capture_of_the_same_size_is_another_one(world):
    needs(world, "multiple_capture")
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)

    await purchase.done(Kind.CAPTURE, PART)
    await purchase.done(Kind.CAPTURE, PART)

    assert await purchase.charges() == [Sums(AMOUNT, captured=2 * PART)]


async def test_two_purchases_are_two_charges(world):
    first = await buy(world)
    await asyncio.gather(*(other.done(Kind.AUTHORIZE) for other in (first, await buy(world))))
    assert await first.charges() == [Sums(AMOUNT), Sums(AMOUNT)]


@pytest.mark.parametrize("kind", KINDS)
async def test_our_key_finds_what_was_done(world, kind):
    purchase = await (await buy(world)).ready_for(kind)
    operation, payment = purchase.asked(kind), purchase.payment
    told = await world.gateway.perform(operation, payment)

    found = await world.gateway.look_up(operation, payment)
    if not purchase.found_by_key(operation) and found == NeverSeen():
        found = await world.gateway.perform(operation, payment)

    assert isinstance(found, Told)
    assert same(found) == same(told)
    assert (found.captured, found.refunded) == (told.captured, told.refunded)


@pytest.mark.parametrize("kind", KINDS)
async def test_our_key_finds_nothing_that_was_never_sent(world, kind):
    purchase = await (await buy(world)).ready_for(kind)
    operation = purchase.asked(kind)

    found = await purchase.look_up(operation)

    if purchase.found_by_key(operation):
        assert found == NeverSeen()
    else:
        await purchase.settle(operation)
        assert await purchase.charges() == [once(kind)]


async def test_our_key_tells_one_capture_and_refund_from_another(world):
    needs(world, "multiple_capture", "partial_refund")
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    for kind in (Kind.CAPTURE, Kind.REFUND):
        await purchase.done(kind, PART)
        assert await purchase.look_up(purchase.asked(kind, PART)) == NeverSeen()


async def test_our_key_finds_a_decline(world):
    purchase = await buy(world, "declined")
    authorization, payment = purchase.asked(Kind.AUTHORIZE), purchase.payment
    await world.gateway.perform(authorization, payment)

    outcome = await purchase.look_up(authorization)

    if purchase.found_by_key(authorization):
        assert decline_of(outcome) == world.declines["declined"], outcome
    assert len(await purchase.charges()) <= 1


async def test_a_charge_is_not_anothers(world):
    """What is said of one charge is done to that one."""
    first, second = await buy(world), await buy(world)
    await first.done(Kind.AUTHORIZE)
    await second.done(Kind.AUTHORIZE)

    await second.done(Kind.CAPTURE)

    book = await world.book()
    assert (book[first.reference], book[second.reference]) == (
        Sums(AMOUNT),
        Sums(AMOUNT, captured=AMOUNT),
    )
    assert await first.look_up(first.asked(Kind.CAPTURE)) == NeverSeen()
