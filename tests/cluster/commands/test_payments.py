"""`commerce payments` and `commerce webhooks`, as an operator types them."""

import re

import pytest

from tests.cluster.toys import command
from tests.payment.parking import parked
from tests.payment.payments.test_ingest_webhook import event, send
from tests.payment.till import Till
from tests.shop import new_id


@pytest.fixture
def till(shop):
    return Till(shop)


async def typed(shop, *arguments):
    """What a command prints; it must succeed."""
    code, out, complaint = await command(*arguments, "--home", str(shop.clients.cluster.home.path))
    assert code == 0, complaint
    return out


async def test_unsettled_shows_what_is_open_and_what_to_type_next(till, shop):
    payment = await till.authorize("requires_action")
    settled = await till.authorize()

    out = await typed(shop, "payments", "unsettled", "--gateway", "sandbox")

    for text in (payment.payment_id, payment.order_id, payment.operations[0].trace_id):
        assert text in out
    assert settled.payment_id not in out
    assert "authorize 19.99 EUR  UNKNOWN" in out or "authorize 19.99 EUR  PENDING" in out
    assert "REQUIRES_ACTION" in out
    assert "commerce payments settle PAYMENT_ID" in out


async def test_show_tells_everything_of_a_payment_but_the_token(till, shop):
    payment = await till.refund(await till.capture(await till.authorize()), minor_units=500)

    out = await typed(shop, "payments", "show", payment.payment_id)

    assert f"payment  {payment.payment_id}  of order {payment.order_id}, store {shop.store_id}" in out
    assert "state    PARTIALLY_REFUNDED" in out
    assert "amount   19.99 EUR, captured 19.99 EUR, refunded 5.00 EUR" in out
    assert f"gateway  sandbox  {payment.provider_reference}" in out
    assert "waits    for nothing" in out
    for one in payment.operations:
        assert one.operation_id in out
        assert one.trace_id in out
        assert one.provider_reference in out
    assert f"next     commerce trace {payment.order_id}" in out
    assert "payments settle" not in out
    assert "pm_sandbox" not in out


async def test_show_takes_an_orders_id_too(shop):
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")

    out = await typed(shop, "payments", "show", order_id)

    assert f"of order {order_id}" in out
    assert "waits    for the customer, and for sandbox, which is asked about the authorize next: 20" in out
    assert "next     commerce payments settle " in out


async def test_settle_asks_now_and_tells_what_came_of_it(till, shop):
    payment = await till.authorize("requires_action")

    out = await typed(shop, "payments", "settle", payment.payment_id)

    assert "state    REQUIRES_ACTION" in out
    # The janitor asks now and then, too, and a command takes its time to start.
    assert re.search(r"asked [2-9] times", out)


async def test_parked_shows_each_message_with_its_problem_and_replay_tries_again(till, shop):
    payment = await till.authorize("requires_action")
    sent = await parked(shop, payment, amount_minor_units=2500)
    applied = event(payment)
    await send(shop, applied)

    out = await typed(shop, "webhooks", "parked")
    assert sent["id"] in out
    assert "25.00 EUR" in out and "19.99 EUR" in out
    assert applied["id"] not in out
    assert "commerce webhooks replay GATEWAY EVENT" in out

    assert f"applied: {applied['id']}" in await typed(shop, "webhooks", "replay", "sandbox", applied["id"])
    home = str(shop.clients.cluster.home.path)
    code, out, _ = await command("webhooks", "replay", "sandbox", sent["id"], "--home", home)
    assert code == 1
    assert f"still parked: {sent['id']}  amount is 25.00 EUR there and 19.99 EUR here" in out


async def test_what_cannot_be_done_is_one_line_and_the_reason(till, shop):
    home = str(shop.clients.cluster.home.path)
    settled = await till.authorize()
    for arguments, said in (
        (("payments", "show", new_id()), "there is no payment, nor an order"),
        (
            ("payments", "show", "everything"),
            "an id is a UUID, as in 0191f3a2-7c1e-7cc3-98c4-dc0c0c07398f, not",
        ),
        (("payments", "unsettled", "--gateway", "nosuch"), "no gateway is called nosuch; there are sandbox"),
        (("payments", "settle", new_id()), "There is no such payment"),
        (("payments", "settle", settled.payment_id), "does not allow settle"),
        (("webhooks", "replay", "sandbox", "evt_none"), "There is no such webhook"),
        (("webhooks", "replay", "sandbax", "evt_none"), "no gateway is called sandbax; there are sandbox"),
    ):
        code, _, complaint = await command(*arguments, "--home", home)
        assert code == 1
        assert said in complaint
        assert complaint.count("\n") == 1
