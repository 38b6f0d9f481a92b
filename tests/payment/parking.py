"""Providers' messages that could not be applied."""

from typing import Any

from commerce.payment.v1 import operations_service_pb2 as rpc

from tests.payment.payments.test_ingest_webhook import event, send
from tests.shop import Shop, new_id


async def parked(shop: Shop, payment: Any, **changed: Any) -> Any:
    """A message about a payment that contradicts ours."""
    sent = event(payment, **({"amount_minor_units": payment.amount.minor_units + 1} | changed))
    await send(shop, sent)
    return sent


async def parked_webhooks(shop: Shop) -> dict[str, Any]:
    """All of them by the provider's id, the newest first."""
    found: dict[str, Any] = {}
    token = ""
    while True:
        request = rpc.ListParkedWebhooksRequest(page_size=500, page_token=token)
        reply = await shop.as_("platform_admin").payment_operations.ListParkedWebhooks(request)
        found |= {each.event_id: each for each in reply.webhooks}
        token = reply.next_page_token
        if not token:
            return found


def replaying(event_id: str, **given: Any) -> rpc.ReplayWebhookRequest:
    values = {"gateway": "sandbox", "event_id": event_id, "request_id": new_id()}
    return rpc.ReplayWebhookRequest(**(values | given))


async def replay(shop: Shop, event_id: str, **given: Any) -> Any:
    request = replaying(event_id, **given)
    reply = await shop.as_("platform_admin").payment_operations.ReplayWebhook(request)
    return reply.webhook
