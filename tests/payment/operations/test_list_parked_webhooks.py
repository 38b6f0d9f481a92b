"""ListParkedWebhooks."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.operations_service_pb2 import ListParkedWebhooksRequest

from tests.payment.parking import parked, parked_webhooks
from tests.payment.payments.test_ingest_webhook import event, send
from tests.shop import refused


async def test_lists_what_could_not_be_applied_with_both_figures(till, shop):
    payment = await till.authorize("requires_action")
    sent = await parked(shop, payment, amount_minor_units=2500)
    applied = event(payment)
    await send(shop, applied)

    found = await parked_webhooks(shop)

    assert applied["id"] not in found
    webhook = found[sent["id"]]
    assert webhook.gateway == "sandbox"
    assert webhook.problem == "amount is 25.00 EUR there and 19.99 EUR here"
    assert webhook.receive_time.seconds


async def test_the_newest_comes_first_page_by_page_each_once(till, shop):
    payment = await till.authorize("requires_action")
    ours = [(await parked(shop, payment))["id"] for _ in range(5)]
    seen: list[str] = []
    token = ""
    while len(set(seen) & set(ours)) < 5:
        request = ListParkedWebhooksRequest(page_size=2, page_token=token)
        page = await shop.as_service.payment_operations.ListParkedWebhooks(request)
        assert len(page.webhooks) <= 2
        seen += [each.event_id for each in page.webhooks]
        token = page.next_page_token
        if not token:
            break
    assert [each for each in seen if each in ours] == ours[::-1]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("role", ["store_admin", "store_manager", "customer", "courier"])
async def test_refuses_whoever_sees_one_store_only(shop, role):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_(role, customer_id=shop.store_id).payment_operations.ListParkedWebhooks(
            ListParkedWebhooksRequest()
        )


async def test_refuses_nobody_and_what_cannot_be(shop):
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.payment_operations.ListParkedWebhooks(ListParkedWebhooksRequest())
    operator = shop.as_("platform_admin").payment_operations
    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await operator.ListParkedWebhooks(ListParkedWebhooksRequest(page_token="x"))
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await operator.ListParkedWebhooks(ListParkedWebhooksRequest(page_size=501))
    assert set(told.violations) == {"page_size"}
