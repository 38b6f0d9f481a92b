"""IngestWebhook."""

import asyncio
import hashlib
import hmac
import json
import time
from itertools import permutations

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentCaptured, PaymentRefunded
from commerce.payment.v1.payment_service_pb2 import IngestWebhookRequest
from google.api.httpbody_pb2 import HttpBody

from tests.payment.till import at_once, done, log_lines, refunds, said
from tests.shop import eventually, new_id, refused


def signed(shop, body, sent=None, secret=None):
    secret = secret or shop.clients.cluster.home.secret("sandbox_webhook_secret")
    sent = int(time.time()) if sent is None else sent
    digest = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={sent},v1={digest}"


async def ingest(shop, body, signature, gateway="sandbox"):
    request = IngestWebhookRequest(gateway=gateway, payload=HttpBody(data=body))
    metadata = (("sandbox-signature", signature),) if signature is not None else ()
    return await shop.as_nobody.payments.IngestWebhook(request, metadata=metadata)


def event(payment, status="authorized", **changed):
    """What the provider sends about a payment's first operation; `changed` are fields of the charge."""
    charge = {
        "id": payment.provider_reference,
        "idempotency_key": payment.operations[0].operation_id,
        "reference": payment.order_id,
        "currency_code": "EUR",
        "amount_minor_units": payment.amount.minor_units,
        "authorized_minor_units": payment.amount.minor_units,
        "captured_minor_units": 0,
        "refunded_minor_units": 0,
        "status": status,
        **changed,
    }
    return {"id": f"evt_{new_id()}", "type": f"charge.{charge['status']}", "created": 1, "data": charge}


async def send(shop, sent):
    body = json.dumps(sent).encode()
    return await ingest(shop, body, signed(shop, body))


async def problems(shop, sent):
    sql = "SELECT problem FROM payment.webhooks WHERE provider_event_id = $1"
    return [row["problem"] for row in await shop.clients.rows(sql, sent["id"])]


async def test_applies_what_the_provider_tells(till, shop):
    payment = await till.authorize("requires_action")

    sent = event(payment)
    await send(shop, sent)

    assert said(await till.get(payment)) == "AUTHORIZED"
    assert await problems(shop, sent) == [""]
    (told,) = await shop.published(PaymentAuthorized)
    assert told.payment.payment_id == payment.payment_id


async def test_stores_and_applies_an_event_once_however_often_it_comes(till, shop):
    payment = await till.authorize("requires_action")
    sent = event(payment)

    await at_once(*(send(shop, sent) for _ in range(10)))

    assert await problems(shop, sent) == [""]
    assert len(await shop.published(PaymentAuthorized)) == 1


async def test_different_events_at_once_with_the_same_news_change_it_once(till, shop):
    payment = await till.authorize("requires_action")

    await at_once(*(send(shop, event(payment)) for _ in range(10)))

    assert said(await till.get(payment)) == "AUTHORIZED"
    assert len(await shop.published(PaymentAuthorized)) == 1


async def test_a_webhook_before_our_own_reply_ends_in_the_same_state(till, shop):
    """While the slow provider's answer is on its way, its webhook has come already."""
    asking = till.asking("slow")
    row, charge = None, None

    async def hurry():
        nonlocal row, charge
        while charge is None:
            sql = "SELECT payment_id FROM payment.payments WHERE order_id = $1"
            rows = await shop.clients.rows(sql, asking.order_id)
            charge = next(iter(await till.book(asking)), None) if rows else None
        sent = event_of_charge(charge)
        await send(shop, sent)
        assert await problems(shop, sent) == [""]

    payment, _ = await at_once(till.ask(asking), hurry())

    assert (said(payment), done(payment)) == ("AUTHORIZED", [("authorize", "SUCCEEDED")])
    await till.agrees(payment)
    assert len(await shop.published(PaymentAuthorized)) == 1


def event_of_charge(charge):
    return {"id": f"evt_{new_id()}", "type": f"charge.{charge['status']}", "created": 1, "data": charge}


async def test_late_news_changes_nothing(till, shop):
    payment = await till.authorize()
    await till.capture(payment)

    sent = event(payment)
    await send(shop, sent)

    assert said(await till.get(payment)) == "CAPTURED"
    assert await problems(shop, sent) == [""]


def refund_event(payment, index, refunded):
    """What the provider sends about one of a payment's refunds; `refunded` is the sum of all so far."""
    operations = [one for one in payment.operations if one.kind == "refund"]
    sums = {"captured_minor_units": payment.captured.minor_units, "refunded_minor_units": refunded}
    return event(payment, "refunded", idempotency_key=operations[index].operation_id, **sums)


async def test_reply_and_webhooks_of_one_refund_add_up_once(till, shop):
    """The webhooks come while the provider's reply is still on its way."""
    payment = await till.capture(await till.authorize())
    async with till.frozen():
        refunding = asyncio.create_task(till.refund(payment, minor_units=500))
        await eventually(lambda: till.has(payment, (500, "PENDING")))
        asked = await till.get(payment)
        sent = [refund_event(asked, 0, refunded=500) for _ in range(5)]
        await at_once(*(send(shop, one) for one in sent))

        assert (await till.get(payment)).refunded.minor_units == 500
    await refunding

    assert [await problems(shop, one) for one in sent] == [[""]] * 5
    settled = await till.until(payment, "PARTIALLY_REFUNDED")
    assert (refunds(settled), settled.refunded.minor_units) == ([(500, "SUCCEEDED")], 500)
    await till.agrees(payment)
    assert len(await shop.published(PaymentRefunded)) == 1


async def test_late_news_of_an_earlier_refund_changes_nothing(till, shop):
    payment = await till.capture(await till.authorize())
    await till.refund(payment, minor_units=500)
    refunded = await till.refund(payment, minor_units=700)

    sent = refund_event(refunded, 0, refunded=500)
    await send(shop, sent)

    assert await problems(shop, sent) == [""]
    assert (await till.get(payment)).refunded.minor_units == 1200
    assert len(await shop.published(PaymentRefunded)) == 2


async def test_news_of_a_refund_that_cannot_be_true_is_parked(till, shop):
    payment = await till.capture(await till.authorize())
    async with till.frozen():
        refunding = asyncio.create_task(till.refund(payment, minor_units=500))
        await eventually(lambda: till.has(payment, (500, "PENDING")))
        asked = await till.refund(payment, minor_units=300)
        more, waits = refund_event(asked, 0, refunded=501), refund_event(asked, 1, refunded=300)
        await at_once(send(shop, more), send(shop, waits))
        assert (await till.get(payment)).refunded.minor_units == 0
    await refunding

    assert await problems(shop, more) == ["refunded is 5.01 EUR there and 5.00 EUR here"]
    assert await problems(shop, waits) == ["a refund that was refused, or not asked for yet, was done there"]
    settled = await till.until(payment, "PARTIALLY_REFUNDED")
    assert settled.refunded.minor_units == 800
    await till.agrees(payment)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"amount_minor_units": 1}, "amount is 0.01 EUR there and 19.99 EUR here"),
        ({"currency_code": "USD"}, "the currency is USD there and EUR here"),
        ({"id": "ch_other"}, "it is another charge there"),
        ({"status": "captured"}, "captured as the answer to authorize"),
        ({"idempotency_key": new_id()}, "neither the operation nor the charge is ours"),
        ({"idempotency_key": "not a key"}, "authorized, and nobody here asked for it"),
        ({"status": "exploded"}, "charge.exploded tells of no operation"),
    ],
)
async def test_what_cannot_be_true_is_parked_and_never_applied(till, shop, changed, problem):
    payment = await till.authorize("requires_action")

    sent = event(payment, **changed)
    await send(shop, sent)

    assert await problems(shop, sent) == [problem]
    assert said(await till.get(payment)) == "REQUIRES_ACTION"
    assert await shop.published(PaymentAuthorized, PaymentCaptured) == []


async def test_an_event_that_is_known_is_not_applied_though_it_now_says_more(till, shop):
    """What was stored is what was taken; what was parked is a person's."""
    payment = await till.authorize("requires_action")
    sent = event(payment, amount_minor_units=1)
    await send(shop, sent)

    await send(shop, event(payment) | {"id": sent["id"]})

    assert said(await till.get(payment)) == "REQUIRES_ACTION"
    assert await problems(shop, sent) == ["amount is 0.01 EUR there and 19.99 EUR here"]


async def test_a_dispute_that_comes_before_its_capture_is_sent_again(till, shop):
    """It is not true yet, and will be as soon as the provider's own answer is known."""
    payment = await till.authorize()
    sent = {
        "id": f"evt_{new_id()}",
        "type": "dispute.opened",
        "created": 1,
        "data": {
            "id": f"dp_{new_id()}",
            "charge_id": payment.provider_reference,
            "charge_idempotency_key": payment.operations[0].operation_id,
            "amount_minor_units": 900,
            "fee_minor_units": 1500,
            "currency_code": "EUR",
            "reason": "fraudulent",
            "status": "open",
        },
    }
    async with till.frozen():
        taking = asyncio.create_task(till.capture(payment))
        await eventually(lambda: _has_two(till, payment))
        with refused(ErrorReason.ERROR_REASON_UNAVAILABLE):
            await send(shop, sent)
        assert await problems(shop, sent) == []
    await taking
    await till.until(payment, "CAPTURED")

    await send(shop, sent)

    assert await problems(shop, sent) == [""]
    assert said(await till.get(payment)) == "DISPUTED"


async def _has_two(till, payment):
    return len((await till.get(payment)).operations) == 2


async def test_news_that_the_state_rules_out_is_parked(till, shop):
    payment = await till.authorize()

    sent = event(payment, status="declined")
    await send(shop, sent)

    assert await problems(shop, sent) == ["decline at AUTHORIZED"]
    assert said(await till.get(payment)) == "AUTHORIZED"


@pytest.mark.parametrize(
    ("cause", "signature"),
    [
        ("missing", lambda shop, body: None),
        ("malformed", lambda shop, body: "t=now,v1=abc"),
        ("wrong", lambda shop, body: signed(shop, body, secret="guessed")),
        ("wrong", lambda shop, body: signed(shop, body + b" ")),
        ("too old", lambda shop, body: signed(shop, body, int(time.time()) - 301)),
        ("too old", lambda shop, body: signed(shop, body, int(time.time()) + 302)),
    ],
)
async def test_refuses_what_the_provider_did_not_sign(till, shop, cause, signature):
    payment = await till.authorize("requires_action")
    sent = event(payment)
    body = json.dumps(sent).encode()

    with refused(ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, cause=cause):
        await ingest(shop, body, signature(shop, body))

    assert await problems(shop, sent) == []
    assert said(await till.get(payment)) == "REQUIRES_ACTION"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"id": "evt_1", "type": "charge.voided", "data": 5}',
        rb'{"id": "evt_\ud800", "type": "charge.voided", "data": {}}',
        rb'{"id": "evt_1", "type": "charge.\udfff", "data": {}}',
        b'{"id": "evt_\xed\xa0\x80", "type": "charge.voided", "data": {}}',
        rb'{"id": "evt_\u0000", "type": "charge.voided", "data": {}}',
        b"[" * 100_000,
    ],
)
async def test_refuses_a_signed_body_that_is_no_event(shop, body):
    with refused(ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED):
        await ingest(shop, body, signed(shop, body))


async def test_refuses_a_gateway_that_there_is_not(shop):
    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNKNOWN, gateway="elsewhere"):
        await ingest(shop, b"{}", signed(shop, b"{}"), gateway="elsewhere")


async def test_takes_the_raw_body_through_the_gateway(till, shop):
    payment = await till.authorize("requires_action")
    body = json.dumps(event(payment), indent=3).encode()

    headers = {"Sandbox-Signature": signed(shop, body), "Content-Type": "application/json"}
    reply = await shop.as_nobody.rest("POST", "/v1/webhooks/sandbox", data=body, headers=headers)

    assert reply.status == 200, reply.body
    assert said(await till.get(payment)) == "AUTHORIZED"


async def test_refuses_a_tampered_body_through_the_gateway(till, shop):
    payment = await till.authorize("requires_action")
    body = json.dumps(event(payment)).encode()

    headers = {"Sandbox-Signature": signed(shop, body), "Content-Type": "application/json"}
    reply = await shop.as_nobody.rest("POST", "/v1/webhooks/sandbox", data=body + b" ", headers=headers)

    (info,) = (each for each in reply.body["details"] if each["@type"].endswith("ErrorInfo"))
    assert (info["reason"], reply.status) == ("WEBHOOK_SIGNATURE_INVALID", 401)
    assert said(await till.get(payment)) == "REQUIRES_ACTION"


# What the provider sends by itself, and what is late.

DAY = 86_400


async def redelivered(till, payment):
    """The provider sends all events about a charge again, also those that its replies have told: how many."""
    body = {"charge_id": payment.provider_reference}
    return (await till.provider("POST", "/v1/webhooks/redeliver", body))["events"]


async def stored(shop, text, count=1):
    """The webhooks that hold a text, once there are so many."""

    async def found():
        sql = "SELECT payload, problem FROM payment.webhooks WHERE position($1::bytea IN payload) > 0"
        rows = await shop.clients.rows(sql, text.encode())
        return rows if len(rows) >= count else None

    return await eventually(found)


async def test_what_replies_have_told_may_be_told_again_in_any_order(till, shop):
    payment = await till.authorize()
    await till.capture(payment, minor_units=1_000)
    await till.refund(payment, minor_units=300)
    await till.void(payment)
    before = await till.get(payment)
    assert await redelivered(till, payment) == 4
    events = [json.loads(row["payload"]) for row in await stored(shop, payment.provider_reference, 4)]

    again = [each | {"id": f"evt_{new_id()}"} for order in permutations(events) for each in order]
    for one in again:
        await send(shop, one)

    rows = await stored(shop, payment.provider_reference, 4 + len(again))
    assert {row["problem"] for row in rows} == {""}
    assert await till.get(payment) == before
    await till.agrees(payment)


async def test_the_same_event_ten_times_at_once_gives_back_once(till, shop):
    payment = await till.capture(await till.authorize())
    async with till.frozen():
        refunding = asyncio.create_task(till.refund(payment, minor_units=500))
        await eventually(lambda: till.has(payment, (500, "PENDING")))
        sent = refund_event(await till.get(payment), 0, refunded=500)
        await at_once(*(send(shop, sent) for _ in range(10)))
    await refunding

    assert (await till.until(payment, "PARTIALLY_REFUNDED")).refunded.minor_units == 500
    assert await problems(shop, sent) == [""]
    assert len(await shop.published(PaymentRefunded)) == 1
    await till.agrees(payment)


async def test_an_event_that_is_three_days_late_still_decides(till, shop):
    """A provider that could not reach us signs anew each time that it tries."""
    payment = await till.authorize("requires_action")
    sent = event(payment) | {"created": int(time.time()) - 3 * DAY}

    await send(shop, sent)

    assert said(await till.get(payment)) == "AUTHORIZED"
    assert await problems(shop, sent) == [""]


async def test_an_event_that_is_three_days_late_undoes_nothing(till, shop):
    payment = await till.authorize()
    early = event(payment) | {"created": int(time.time()) - 3 * DAY}
    await till.capture(payment)
    refunded = await till.refund(payment)

    await send(shop, early)

    assert await problems(shop, early) == [""]
    assert await till.get(payment) == refunded


async def test_a_signature_of_three_days_ago_is_no_proof_today(till, shop):
    payment = await till.authorize("requires_action")
    body = json.dumps(event(payment)).encode()

    with refused(ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, cause="too old"):
        await ingest(shop, body, signed(shop, body, int(time.time()) - 3 * DAY))


@pytest.mark.parametrize("verb", ["capture", "void"])
async def test_a_webhook_settles_what_the_providers_reply_does_not(till, shop, verb):
    payment = await till.authorize()
    await till.misbehaves(f"/v1/charges/{payment.provider_reference}/{verb}", "silent_after")
    asked = asyncio.create_task(getattr(till, verb)(payment))
    state = {"capture": "CAPTURED", "void": "VOIDED"}[verb]
    await eventually(lambda: _charge_is(till, payment, state.lower()))

    await redelivered(till, payment)

    await till.until(payment, state)
    assert not asked.done(), "the reply is still awaited"
    assert said(await asked) == state
    await till.agrees(payment)


async def _charge_is(till, payment, status):
    return (await till.charge(payment))["status"] == status


async def test_a_sum_that_is_not_ours_is_never_applied_and_raises_an_alarm(till, shop):
    payment = await till.authorize("wrong_amount", minor_units=777_001)

    (parked,) = await stored(shop, "777101")

    problem = "amount is 7771.01 EUR there and 7770.01 EUR here"
    assert parked["problem"] == problem
    (alarm,) = log_lines(shop, problem)
    assert (alarm["level"], alarm["event"]) == ("error", "webhook parked")
    found = await till.get(payment)
    assert (said(found), found.amount.minor_units) == ("AUTHORIZED", 777_001)
    await till.agrees(payment)


async def test_a_part_of_another_sum_is_never_applied(till, shop):
    payment = await till.authorize()
    async with till.frozen():
        taking = asyncio.create_task(till.capture(payment, minor_units=500))
        await till.until_asked(payment, "capture")
        key = (await till.get(payment)).operations[1].operation_id
        sent = event(payment, "captured", idempotency_key=key, captured_minor_units=1_999)
        await send(shop, sent)
        assert (await till.get(payment)).captured.minor_units == 0
    await taking

    assert await problems(shop, sent) == ["captured is 19.99 EUR there and 5.00 EUR here"]
    assert (await till.until(payment, "PARTIALLY_CAPTURED")).captured.minor_units == 500
    await till.agrees(payment)


async def test_a_payment_that_nobody_knows_is_parked(till, shop):
    payment = await till.authorize("unknown_webhook", minor_units=888_001)

    (parked,) = await stored(shop, "888001")

    assert parked["problem"] == "neither the operation nor the charge is ours"
    assert payment.provider_reference.encode() not in parked["payload"]
    assert said(await till.get(payment)) == "AUTHORIZED"


async def test_what_came_too_early_can_be_applied_when_it_is_true(till, shop):
    """A waiting refund's news is parked before the provider was asked; its own answer tells the same."""
    payment = await till.authorize()
    await till.returned(payment, 300)
    await till.until_asked(payment, "refund")
    key = (await till.get(payment)).operations[1].operation_id
    early = event(
        payment, "refunded", idempotency_key=key, captured_minor_units=1_999, refunded_minor_units=300
    )
    await send(shop, early)
    assert await problems(shop, early) == ["a refund that was refused, or not asked for yet, was done there"]

    await till.capture(payment)

    assert refunds(await till.until(payment, "PARTIALLY_REFUNDED")) == [(300, "SUCCEEDED")]
    late = early | {"id": f"evt_{new_id()}"}
    await send(shop, late)
    assert await problems(shop, late) == [""]
    await till.agrees(payment)


async def test_a_card_number_in_a_body_is_masked_before_it_is_stored(till, shop):
    payment, card = await till.authorize("requires_action"), "4242 4242 4242 4242"
    sent = event(payment, note=f"paid with {card}", card="4000000000000002")

    await send(shop, sent)

    (row,) = await stored(shop, sent["id"])
    assert b"4242 4242 4242" not in row["payload"] and b"400000000000" not in row["payload"]
    assert json.loads(row["payload"])["data"]["note"].endswith("4242")
    assert said(await till.get(payment)) == "AUTHORIZED"
    assert not log_lines(shop, card)


async def test_what_is_none_of_our_business_is_stored_and_changes_nothing(till, shop):
    payment = await till.authorize()
    sent = event(payment) | {"type": "payout.paid"}

    await send(shop, sent)

    assert await problems(shop, sent) == [""]
    assert said(await till.get(payment)) == "AUTHORIZED"


async def test_webhooks_of_one_payment_at_once_with_what_callers_ask_all_add_up(till, shop):
    """Late news, new news and new wishes meet; in the end every sum is the provider's."""
    payments = await at_once(*(till.authorize() for _ in range(5)))

    async def story(payment):
        await till.capture(payment, minor_units=900)
        await at_once(
            till.capture(payment, minor_units=600),
            till.refund(payment, minor_units=200),
            *(redelivered(till, payment) for _ in range(3)),
        )
        await redelivered(till, payment)

    await at_once(*(story(payment) for payment in payments))

    for payment in payments:
        await till.until(payment, "PARTIALLY_REFUNDED")
        await till.agrees(payment)
        assert {row["problem"] for row in await stored(shop, payment.provider_reference, 3)} == {""}


@pytest.mark.parametrize("odd", [rb"\ud800", rb"\u0000", b"\xed\xa0\x80"])
async def test_answers_400_to_a_signed_event_whose_id_is_no_text(shop, odd):
    body = b'{"id": "evt_%b", "type": "charge.voided", "data": {}}' % odd
    headers = {"Sandbox-Signature": signed(shop, body), "Content-Type": "application/json"}

    reply = await shop.as_nobody.rest("POST", "/v1/webhooks/sandbox", data=body, headers=headers)

    assert reply.status == 400
    assert reply.body["details"][0]["reason"] == "WEBHOOK_MALFORMED"
