"""`commerce orders`, as an operator types it."""

import re

from tests.cluster.toys import command
from tests.order.operations import parked, situation_of
from tests.payment.till import Till
from tests.shop import new_id


async def commerce(shop, *arguments):
    """What a command prints; it must succeed."""
    code, out, complaint = await command(*arguments, "--home", str(shop.clients.cluster.home.path))
    assert code == 0, complaint
    return out


async def test_stuck_shows_each_order_with_its_trace_and_what_to_type_next(shop):
    order_id = await parked(shop)
    situation = await situation_of(shop, order_id)

    out = await commerce(shop, "orders", "stuck")

    assert order_id in out
    assert situation.trace_id in out
    assert "AWAITING_CUSTOMER" in out
    assert "parked" in out
    assert "no lines" in out
    assert "commerce orders retry ORDER_ID" in out
    assert "commerce trace ORDER_ID" in out


async def test_explain_says_it_in_sentences_and_what_to_type_next(shop):
    order_id = await parked(shop)
    situation = await situation_of(shop, order_id)

    out = await commerce(shop, "orders", "explain", order_id)

    assert f"order    {order_id}  of store {shop.store_id}" in out
    assert "state    AWAITING_CUSTOMER, parked" in out
    assert f"waits    {situation.waits_for}" in out
    assert "failed   8 times, last with ValueError: the order has no lines" in out
    assert f"trace    {situation.trace_id}" in out
    assert f"next     commerce orders retry {order_id}\n         commerce trace {order_id}\n" in out
    assert re.search(r"^moved    \w+ at 20", out, re.M)


async def test_explain_offers_no_retry_of_an_order_that_is_not_the_drivers(shop):
    out = await commerce(shop, "orders", "explain", await shop.order(state="CONFIRMED"))
    assert "waits    for the store to accept it" in out
    assert "retry" not in out


async def test_explain_of_a_declined_order_says_why_when_and_by_whom(shop):
    order_id = await shop.order(method="pm_sandbox_declined", until="PAYMENT_FAILED")

    out = await commerce(shop, "orders", "explain", order_id)

    assert "state    PAYMENT_FAILED\n" in out
    assert "reason   card_declined\n" in out
    assert "waits    for nothing: it has ended" in out
    assert re.search(r"^moved    decline at 20\S+ \S+ UTC by SERVICE ", out, re.M)
    assert re.search(r"^payment  \S+  FAILED card_declined$", out, re.M)
    assert re.search(r"^asked    sandbox to authorize, 1 time since 20", out, re.M)
    assert re.search(r"^answer   [A-Z]+: card_declined.*, at 20\S+ \S+ UTC$", out, re.M)
    assert f"commerce trace {order_id}" in out


async def test_explain_of_an_unknown_order_says_what_was_asked_and_what_comes_next(shop):
    async with Till(shop).frozen():
        order_id = await shop.order(until="PAYMENT_UNKNOWN")
        out = await commerce(shop, "orders", "explain", order_id)
    assert "state    PAYMENT_UNKNOWN" in out
    assert re.search(r"^asked    sandbox to authorize, \d times? since 20", out, re.M)
    assert re.search(r"^answer   (UNKNOWN|PENDING)", out, re.M)
    assert re.search(r"^then     it is asked again at 20", out, re.M)
    assert f"next     commerce orders retry {order_id}" in out


async def test_explain_of_a_refused_order_says_what_was_lacking(shop):
    order_id = await shop.order(state="REJECTED")
    out = await commerce(shop, "orders", "explain", order_id)
    assert "reason   STOCK_INSUFFICIENT" in out
    assert re.search(r"^moved    reject at 20", out, re.M)


async def test_retry_has_one_order_tried_again_or_all_of_them(shop):
    orders = [await parked(shop) for _ in range(3)]

    out = await commerce(shop, "orders", "retry", orders[0])
    assert f"tried again: {orders[0]}  waits for its customer to confirm the payment" in out
    assert not (await situation_of(shop, orders[0])).parked

    out = await commerce(shop, "orders", "retry", "all")
    assert {orders[1], orders[2]} <= set(re.findall(r"tried again: (\S+)", out))
    assert not (await situation_of(shop, orders[2])).parked


async def test_what_cannot_be_done_is_one_line_and_the_reason(shop):
    home = str(shop.clients.cluster.home.path)
    for arguments, said in (
        (("explain", new_id()), "There is no order"),
        (("retry", "everything"), "an order's id is a UUID, as in"),
        (("retry", await shop.order(state="CONFIRMED")), "The driver has nothing to do"),
    ):
        code, _, complaint = await command("orders", *arguments, "--home", home)
        assert code == 1
        assert said in complaint
        assert complaint.count("\n") == 1
