"""An event that cannot take effect lands where an operator sees it, and can be given another chance."""

import io
import uuid

import pytest
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized, PaymentReference
from rich.console import Console

from services.cluster.commands import dead_letters
from services.cluster.output import Output
from tests.order.asks import get
from tests.saga.checkouts import no_dead_letters


async def bury(shop, event, reason="ORDER_NOT_FOUND: tested"):
    """Put an event among the order service's dead letters, as its consumer does after the last attempt."""
    event_id = uuid.uuid4()
    await shop.clients.rows(
        'INSERT INTO "order".dead_letters (event_id, type, payload, traceparent, reason) VALUES ($1, $2, $3, $4, $5)',
        event_id,
        event.DESCRIPTOR.full_name,
        event.SerializeToString(),
        "",
        reason,
    )
    return str(event_id)


def screen():
    return Console(file=io.StringIO(), width=200)


async def test_is_shown_with_its_reason(shop, cluster):
    event_id = await bury(shop, PaymentAuthorized(), "ORDER_NOT_FOUND: shown")
    console = screen()
    await dead_letters.show(cluster.home, Output.TEXT, console)
    shown = console.file.getvalue()
    assert event_id in shown
    assert "commerce.payment.v1.PaymentAuthorized" in shown
    assert "ORDER_NOT_FOUND: shown" in shown
    await shop.clients.rows('DELETE FROM "order".dead_letters WHERE event_id = $1', uuid.UUID(event_id))


async def test_takes_effect_when_it_is_sent_again(shop, cluster):
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    order = (await shop.orders.GetOrder(get(order_id))).order
    event = PaymentAuthorized(payment=PaymentReference(payment_id=order.payment_id, order_id=order_id))
    event_id = await bury(shop, event)

    await dead_letters.replay(cluster.home, event_id, Output.TEXT, screen())

    await shop.until(order_id, "CONFIRMED")
    await no_dead_letters(shop)


async def test_one_that_is_not_there_is_named(cluster):
    with pytest.raises(ValueError, match="no dead letter 0191f3a2"):
        await dead_letters.replay(cluster.home, "0191f3a2-0000-7000-8000-000000000001", Output.TEXT, screen())
