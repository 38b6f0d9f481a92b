"""The kit, fourth part: limits, what comes too late, amounts, and saved methods."""

import pytest

from services.payment.rules.outcomes import Refused, Unknown
from services.payment.rules.payment import Kind
from tests.payment.gateway_kit import AMOUNT, Sums, buy, decline_of, needs


async def test_more_than_was_promised_is_not_taken(world):
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    assert isinstance(await purchase.do(Kind.CAPTURE, 2 * AMOUNT), Refused)
    assert await purchase.charges() == [Sums(AMOUNT)]


async def test_more_than_was_taken_is_not_given_back(world):
    purchase = await (await buy(world)).ready_for(Kind.REFUND)
    assert isinstance(await purchase.do(Kind.REFUND, AMOUNT + 1), Refused)
    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT)]


async def test_what_was_not_taken_is_not_given_back(world):
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    assert isinstance(await purchase.do(Kind.REFUND, AMOUNT), Refused)
    assert await purchase.charges() == [Sums(AMOUNT)]


async def test_what_was_given_up_is_not_taken(world):
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await purchase.done(Kind.VOID)

    outcome = await purchase.do(Kind.CAPTURE, AMOUNT)

    assert isinstance(outcome, Refused)
    assert outcome.charge == "voided"
    assert await purchase.charges() == [Sums(AMOUNT, voided=AMOUNT)]


async def test_a_refusal_keeps_what_the_provider_said_and_its_name_of_the_request(world):
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await purchase.done(Kind.VOID)

    words = (await purchase.do(Kind.CAPTURE, AMOUNT)).words

    assert bool(words.message) == bool(words.request_id) == world.says_why
    assert not any(secret in words.message for secret in world.secrets)


async def test_an_answer_that_is_none_keeps_the_providers_name_of_the_request(world):
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await world.misbehave("error_500", Kind.CAPTURE)

    outcome = await purchase.do(Kind.CAPTURE, AMOUNT)

    assert isinstance(outcome, Unknown)
    assert bool(outcome.words.request_id) == world.says_why


async def test_what_was_taken_is_not_given_up(world):
    purchase = await (await buy(world)).ready_for(Kind.REFUND)

    outcome = await purchase.do(Kind.VOID)

    assert isinstance(outcome, Refused)
    assert outcome.charge == "captured"
    assert await purchase.charges() == [Sums(AMOUNT, captured=AMOUNT)]


async def test_an_authorization_that_has_expired_is_not_taken(world):
    purchase = await buy(world)
    authorization = purchase.asked(Kind.AUTHORIZE)
    await purchase.perform(authorization)
    await world.expire(purchase.reference)

    outcome = await purchase.do(Kind.CAPTURE, AMOUNT)

    assert isinstance(outcome, Refused)
    assert outcome.charge in ("expired", "voided")
    assert (await purchase.look_up(authorization)).status in ("expired", "voided")
    [sums] = await purchase.charges()
    assert sums.captured == 0


@pytest.mark.parametrize("amount", [1_000, 1_010, 99_990, 1_234_560])
@pytest.mark.parametrize("decimals", ["two", "none", "three"])
async def test_amounts_arrive_to_the_last_unit(world, decimals, amount):
    places = {"two": "EUR USD GBP", "none": "JPY KRW", "three": "KWD BHD"}[decimals].split()
    currency = next((code for code in world.currencies if code in places), None)
    if currency is None:
        pytest.skip("not in this currency")
    assert world.gateway.abilities.takes(currency)
    purchase = await buy(world, amount=amount, currency=currency)

    told = await purchase.done(Kind.AUTHORIZE)
    taken = await purchase.done(Kind.CAPTURE)
    if world.gateway.abilities.partial_refund:
        await purchase.done(Kind.REFUND, 990)

    assert (told.amount, told.currency_code, taken.captured) == (amount, currency, amount)
    [sums] = await purchase.charges()
    assert (sums.authorized, sums.captured) == (amount, amount)
    assert sums.refunded == purchase.payment.refunded


async def test_a_saved_method_is_shown_by_brand_four_digits_and_expiry(world):
    needs(world, "saved_methods")
    token, method = await world.saved()
    assert await world.gateway.method(token) == method
    purchase = await buy(world, method=token)
    await purchase.done(Kind.AUTHORIZE)
    assert await purchase.charges() == [Sums(AMOUNT)]


async def test_a_method_that_nobody_saved_is_refused(world):
    needs(world, "saved_methods")
    assert isinstance(await world.gateway.method(world.unknown_token), Refused)
    assert await world.gateway.forget(world.unknown_token) is None


async def test_a_forgotten_method_is_unknown_and_pays_nothing(world):
    needs(world, "saved_methods")
    token, _ = await world.saved()

    assert await world.gateway.forget(token) is None

    assert isinstance(await world.gateway.method(token), Refused)
    assert await world.gateway.forget(token) is None
    purchase = await buy(world, method=token)
    outcome = await purchase.do(Kind.AUTHORIZE)
    assert isinstance(outcome, Refused) or decline_of(outcome), outcome
    assert await purchase.charges() == []
