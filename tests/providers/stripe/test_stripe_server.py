"""The local Stripe behaves as Stripe documents itself, seen through Stripe's own SDK."""

import aiohttp
import pytest
import stripe

from tests.providers.stripe.asks import SEVERAL, VISA, authorized, told


async def test_a_held_payment_is_captured_in_part_and_the_rest_released(server, client):
    intent = await authorized(client, metadata={"order": "o1"})
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 1000)

    done = await client.v1.payment_intents.capture_async(
        intent.id, {"amount_to_capture": 400, "expand": ["latest_charge.balance_transaction"]}
    )

    assert (done.status, done.amount_received, done.amount_capturable) == ("succeeded", 400, 0)
    line = done.latest_charge.balance_transaction
    assert (line.amount, line.fee, line.net) == (400, 42, 358)  # 11.6 + 30, rounded
    (charge,) = server.book().values()
    assert (charge.authorized, charge.captured, charge.held) == (1000, 400, 0)
    assert charge.metadata == {"order": "o1"}
    with pytest.raises(stripe.InvalidRequestError) as again:
        await client.v1.payment_intents.capture_async(intent.id)
    assert again.value.code == "payment_intent_unexpected_state"


async def test_only_a_payment_that_asked_for_it_is_captured_several_times(server, client):
    plain, several = await authorized(client), await authorized(client, **SEVERAL)
    part = {"amount_to_capture": 300, "final_capture": False}

    with pytest.raises(stripe.InvalidRequestError, match="multicapture"):
        await client.v1.payment_intents.capture_async(plain.id, part)
    first = await client.v1.payment_intents.capture_async(several.id, part)
    assert (first.status, first.amount_capturable, first.amount_received) == ("requires_capture", 700, 300)
    await client.v1.payment_intents.capture_async(several.id, part)
    with pytest.raises(stripe.InvalidRequestError) as much:
        await client.v1.payment_intents.capture_async(several.id, {"amount_to_capture": 401})
    assert much.value.code == "amount_too_large"
    released = await client.v1.payment_intents.capture_async(
        several.id, {"amount_to_capture": 0, "final_capture": True}
    )

    assert (released.status, released.amount_received) == ("succeeded", 600)
    updated = server.events_of("charge.updated", several.id)
    before = [event.json()["data"]["previous_attributes"]["amount_captured"] for event in updated]
    assert before == [0, 300]


async def test_canceling_a_partly_captured_payment_releases_the_rest_without_a_refund(server, client):
    intent = await authorized(client, **SEVERAL)
    await client.v1.payment_intents.capture_async(
        intent.id, {"amount_to_capture": 250, "final_capture": False}
    )

    gone = await client.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})

    assert (gone.status, gone.amount_capturable, gone.amount_received) == ("canceled", 0, 250)
    assert (await client.v1.refunds.list_async({"payment_intent": intent.id})).data == []
    back = await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert (back.amount, back.status) == (250, "succeeded")


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
    ],
)
async def test_a_decline_names_its_reason_and_leaves_the_intent_open(client, card, code, decline_code):
    with pytest.raises(stripe.CardError) as declined:
        await authorized(client, payment_method=card)

    error = told(declined.value)
    assert (declined.value.http_status, error["code"], error.get("decline_code")) == (402, code, decline_code)
    intent = error["payment_intent"]
    assert intent["status"] == "requires_payment_method"
    assert intent["last_payment_error"]["charge"] == error["charge"]
    again = await client.v1.payment_intents.confirm_async(intent["id"], {"payment_method": VISA})
    assert again.status == "requires_capture"


@pytest.mark.parametrize(
    ("outcome", "status"), [("pass", "requires_capture"), ("fail", "requires_payment_method")]
)
async def test_the_customer_answers_the_challenge_at_the_banks_page(server, client, outcome, status):
    intent = await authorized(
        client, payment_method="pm_card_threeDSecure2Required", return_url="https://shop.example/back?o=1"
    )
    assert intent.status == "requires_action"
    page = intent.next_action.redirect_to_url.url

    async with aiohttp.ClientSession() as browser:
        assert (await browser.get(page)).status == 200
        sent_back = await browser.post(page, data={"outcome": outcome}, allow_redirects=False)
        assert (await browser.post(page, data={"outcome": outcome})).status == 410

    assert sent_back.headers["Location"].startswith(
        f"https://shop.example/back?o=1&payment_intent={intent.id}"
    )
    after = await client.v1.payment_intents.retrieve_async(intent.id)
    assert after.status == status
    if outcome == "fail":
        assert after.last_payment_error.code == "payment_intent_authentication_failure"
        assert server.events_of("payment_intent.payment_failed", intent.id)


async def test_a_customer_who_is_away_cannot_be_challenged(client):
    customer = await client.v1.customers.create_async({"payment_method": "pm_card_authenticationRequired"})
    saved = await client.v1.customers.payment_methods.list_async(customer.id)

    with pytest.raises(stripe.CardError) as declined:
        await authorized(client, customer=customer.id, payment_method=saved.data[0].id, off_session=True)

    assert declined.value.code == "authentication_required"


async def test_refunds_end_where_the_captured_amount_ends(server, client):
    intent = await authorized(client, capture_method="automatic")
    assert intent.status == "succeeded"
    await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 300})

    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 701})
    await client.v1.refunds.create_async({"charge": intent.latest_charge})
    with pytest.raises(stripe.InvalidRequestError) as done:
        await client.v1.refunds.create_async({"payment_intent": intent.id})

    assert done.value.code == "charge_already_refunded"
    listed = await client.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in listed.data] == [700, 300]
    charge = await client.v1.charges.retrieve_async(intent.latest_charge)
    assert (charge.refunded, charge.amount_refunded) == (True, 1000)
    kinds = [event.type for event in server.events_of("*refund*", intent.id)]
    assert kinds.count("refund.created") == kinds.count("refund.updated") == 2


@pytest.mark.parametrize("won", [True, False])
async def test_a_dispute_withdraws_the_money_and_only_a_won_one_returns_it(server, client, won):
    intent = await authorized(client, capture_method="automatic", payment_method="pm_card_createDispute")
    (dispute,) = (await client.v1.disputes.list_async({"payment_intent": intent.id})).data
    assert (dispute.status, dispute.amount) == ("needs_response", 1000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert refused.value.code == "charge_disputed"

    server.close_dispute(dispute.id, won=won)

    lines = (await client.v1.balance_transactions.list_async({"source": dispute.id})).data
    assert [line.net for line in lines] == ([2500, -2500] if won else [-2500])
    (charge,) = server.book().values()
    assert charge.disputed == (0 if won else 1000)
    (closed,) = server.events_of("charge.dispute.closed")
    assert closed.object["status"] == ("won" if won else "lost")


async def test_a_hold_expires(server, client):
    intent = await authorized(client)

    server.expire_authorization(intent.id)

    after = await client.v1.payment_intents.retrieve_async(intent.id)
    assert (after.status, after.cancellation_reason, after.amount_capturable) == ("canceled", "expired", 0)
    assert server.events_of("charge.expired", intent.id)


async def test_settlement_is_read_page_by_page_for_a_time_and_for_a_payout(server, client):
    for _ in range(5):
        await authorized(client, capture_method="automatic")
    payout = server.pay_out("eur")
    start = server.stripe.clock.seconds() + 86_400
    server.advance(86_400)
    late = await authorized(client, capture_method="automatic")

    first = await client.v1.balance_transactions.list_async(
        {"payout": payout["id"], "type": "charge", "limit": 2, "expand": ["data.source"]}
    )
    every = [line async for line in first.auto_paging_iter()]
    today = await client.v1.balance_transactions.list_async({"created": {"gte": start, "lt": start + 86_400}})

    assert first.has_more
    assert [line.source.object for line in every] == ["charge"] * 5
    assert sum(line.net for line in every) == payout["amount"] == 5 * (1000 - 59)
    assert [line.source for line in today.data] == [late.latest_charge]


async def test_search_lags_behind_what_was_written(server, client):
    server.delay_search(60)
    intent = await authorized(client, metadata={"payment": "p'1", "operation": "2"})
    await authorized(client, metadata={"payment": "p'1", "operation": "3"})
    query = {"query": "metadata['payment']:'p\\'1' AND metadata[\"operation\"]:\"2\""}

    assert (await client.v1.payment_intents.search_async(query)).data == []
    server.advance(60)
    found = await client.v1.payment_intents.search_async(query)

    assert [each.id for each in found.data] == [intent.id]


async def test_a_saved_method_is_used_again_until_it_is_detached(client):
    customer = await client.v1.customers.create_async({"email": "a@shop.example"})
    for_later = {"customer": customer.id, "setup_future_usage": "off_session"}
    intent = await authorized(client, **for_later)
    again = await authorized(
        client, customer=customer.id, payment_method=intent.payment_method, off_session=True
    )
    assert again.payment_method == intent.payment_method
    once = await authorized(client)

    method = await client.v1.payment_methods.detach_async(intent.payment_method)

    assert (method.card.brand, method.card.last4, method.customer) == ("visa", "4242", None)
    for spent in (method.id, once.payment_method):
        with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
            await authorized(client, payment_method=spent)


async def test_mistakes_are_named(server, client, connect):
    with pytest.raises(stripe.AuthenticationError):
        await authorized(connect(server, "sk_test_wrong"))
    for wanted, code, param in [
        ({"currency": "eur"}, "parameter_missing", "amount"),
        ({"amount": 5, "currency": "eur"}, "amount_too_small", "amount"),
        ({"amount": 1000, "currency": "eur", "colour": "red"}, "parameter_unknown", "colour"),
        ({"amount": 1000, "currency": "eur", "customer": "cus_1"}, "resource_missing", "customer"),
    ]:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await client.v1.payment_intents.create_async(wanted)
        assert (refused.value.code, refused.value.param) == (code, param)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        await authorized(client, expand=["order"])
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        await client.v1.payment_intents.create_async(
            {"amount": 1000, "currency": "eur", "payment_method": VISA, "confirm": True}
        )
    assert server.book() == {}
