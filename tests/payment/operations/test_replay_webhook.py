"""ReplayWebhook."""

import asyncio

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentRefunded

from tests.payment.parking import parked, parked_webhooks, replay, replaying
from tests.payment.payments.test_ingest_webhook import event, refund_event, send
from tests.payment.till import at_once, refunds, said
from tests.shop import eventually, new_id, refused


async def test_news_that_came_too_early_is_applied_when_it_can_be(till, shop):
    """Of two refunds the second one waited for the first, and the provider told of it already."""
    payment = await till.capture(await till.authorize())
    async with till.frozen():
        refunding = asyncio.create_task(till.refund(payment, minor_units=500))
        await eventually(lambda: till.has(payment, (500, "PENDING")))
        asked = await till.refund(payment, minor_units=300)
        first, second = refund_event(asked, 0, refunded=500), refund_event(asked, 1, refunded=800)
        await send(shop, second)
        assert second["id"] in await parked_webhooks(shop)
        assert (await replay(shop, second["id"])).problem == (
            "a refund that was refused, or not asked for yet, was done there"
        )
        await send(shop, first)
        assert (await till.get(payment)).refunded.minor_units == 500

        webhook = await replay(shop, second["id"])

        assert (webhook.gateway, webhook.event_id, webhook.problem) == ("sandbox", second["id"], "")
        found = await till.get(payment)
        assert refunds(found) == [(500, "SUCCEEDED"), (300, "SUCCEEDED")]
        assert found.refunded.minor_units == 800
        assert second["id"] not in await parked_webhooks(shop)
        assert len(await shop.published(PaymentRefunded)) == 2
    await refunding


async def test_one_that_cannot_be_applied_stays_parked_with_its_problem(till, shop):
    payment = await till.authorize("requires_action")
    sent = await parked(shop, payment, amount_minor_units=2500)

    webhook = await replay(shop, sent["id"])

    assert webhook.problem == "amount is 25.00 EUR there and 19.99 EUR here"
    assert (await parked_webhooks(shop))[sent["id"]] == webhook
    assert said(await till.get(payment)) == "REQUIRES_ACTION"


async def test_one_that_was_applied_is_not_applied_again(till, shop):
    payment = await till.authorize("requires_action")
    sent = event(payment)
    await send(shop, sent)
    before = await till.get(payment)
    assert (await replay(shop, sent["id"])).problem == ""
    assert await till.get(payment) == before


async def test_once_however_many_ask_at_once_and_twice_by_one_id_is_one_replay(till, shop):
    payment = await till.capture(await till.authorize())
    async with till.frozen():
        refunding = asyncio.create_task(till.refund(payment, minor_units=500))
        await eventually(lambda: till.has(payment, (500, "PENDING")))
        asked = await till.refund(payment, minor_units=300)
        first, second = refund_event(asked, 0, refunded=500), refund_event(asked, 1, refunded=800)
        await send(shop, second)
        await send(shop, first)
        request = replaying(second["id"])
        operator = shop.as_("platform_admin").payment_operations
        asks = [operator.ReplayWebhook(request) for _ in range(5)]
        asks += [operator.ReplayWebhook(replaying(second["id"])) for _ in range(5)]
        replies = await at_once(*asks)
        assert {reply.webhook.problem for reply in replies} == {""}
        assert len({reply.SerializeToString() for reply in replies[:5]}) == 1
        assert (await till.get(payment)).refunded.minor_units == 800
    await refunding


async def test_refuses_one_that_there_is_not(till, shop):
    sent = await parked(shop, await till.authorize("requires_action"))
    for gateway, event_id in (("sandbox", "evt_none"), ("stripe", sent["id"])):
        with refused(ErrorReason.ERROR_REASON_WEBHOOK_NOT_FOUND, gateway=gateway, event_id=event_id):
            await replay(shop, event_id, gateway=gateway)


@pytest.mark.parametrize("role", ["store_admin", "store_manager", "customer", "courier"])
async def test_refuses_whoever_sees_one_store_only(till, shop, role):
    sent = await parked(shop, await till.authorize("requires_action"))
    by = shop.as_(role, customer_id=new_id()).payment_operations
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await by.ReplayWebhook(replaying(sent["id"]))
    await shop.as_service.payment_operations.ReplayWebhook(replaying(sent["id"]))


@pytest.mark.parametrize(("field", "given"), [("gateway", ""), ("event_id", ""), ("request_id", "x")])
async def test_refuses_what_cannot_be_and_names_it(shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await replay(shop, **({"event_id": "evt_1"} | {field: given}))
    assert set(told.violations) == {field}


async def test_by_rest(till, shop):
    sent = await parked(shop, await till.authorize("requires_action"))
    operator = shop.as_("platform_admin")
    reply = await operator.rest("POST", f"/v1/webhooks/sandbox/{sent['id']}:replay", {"requestId": new_id()})
    assert reply.status == 200, reply.body
    assert reply.body["webhook"]["problem"] == "amount is 20.00 EUR there and 19.99 EUR here"
