"""An order from the click to the door, and the orders that must not get there."""

from __future__ import annotations

import asyncio

from services.cluster.demo.shop import Refusal, Shop, cents, euros
from services.cluster.demo.teller import ClaimFailed, Step, expect
from services.cluster.demo.watches import Feed, Watch

REPEATS = 5


async def open_store(shop: Shop) -> None:
    async with shop.teller.step("A store with products") as step:
        await shop.product("Green tea", 1999, 50)
        await shop.product("Cast-iron pot", 4900, 20)
        await shop.product("Last teacup", 1250, 1)
        listed = await shop.admin.rest("GET", shop.path("products"))
        expect("products listed", len(listed.body["products"]), 3)
        shop.feed = Feed(shop.admin, shop.store_id)
        await shop.feed.opened()
        step.says("3 products, 71 units, by REST; from now on the store's feed is read")


async def greet_customers(shop: Shop) -> None:
    async with shop.teller.step("Customers") as step:
        for name in ("Ada Lovelace", "Charles Babbage", "Mary Somerville", "Sophie Germain"):
            await shop.customer(name)
        found = await shop.admin.rest("GET", shop.path("customers?query=lovelace"))
        names = [customer["fullName"] for customer in found.body["customers"]]
        expect("customers found by name", names, ["Ada Lovelace"])
        step.says("Ada, Charles, Mary and Sophie; each holds a token of their own")


async def confirm(shop: Shop) -> tuple[str, Watch, Watch]:
    """Ada's first order, with one watcher by server-sent events and one by gRPC."""
    async with shop.teller.step("An order, watched twice") as step:
        ada, tea = shop.customers[0], shop.products[0]
        body = shop.order_of(ada, tea, quantity=2)
        reply = await ada.person.rest("POST", shop.path("orders"), body)
        order_id = shop.placed(reply.body["order"])
        expect("the order's first state", reply.body["order"]["state"], "ORDER_STATE_PENDING")
        expect("its total", cents(reply.body["order"]["total"]), 2 * tea.price)
        by_sse = shop.watch(Watch(ada.person.updates_by_sse(order_id, after=1)))
        by_grpc = shop.watch(Watch(shop.admin.updates_by_grpc(order_id, after=1)))
        await asyncio.gather(by_sse.to("CONFIRMED", step), by_grpc.to("CONFIRMED", step))
        expect("seen by SSE and by gRPC", by_sse.seen, by_grpc.seen)
        step.says(f"PENDING → {by_grpc}, live by SSE and by gRPC; {euros(2 * tea.price)}")
        return order_id, by_sse, by_grpc


async def deliver(shop: Shop, order_id: str, by_sse: Watch, by_grpc: Watch) -> None:
    async with shop.teller.step("Accepted, shipped, delivered") as step:
        parcel = {"carrier": "Our own bicycle", "courierId": "Grace"}
        courier = shop.person("courier", subject="Grace")
        for person, verb, more in (
            (shop.admin, "accept", {}),
            (shop.admin, "ship", parcel),
            (courier, "deliver", {}),
        ):
            await person.rest("POST", f"/v1/orders/{order_id}:{verb}", more)
        await asyncio.gather(by_sse.ended(step), by_grpc.ended(step))
        expect("what SSE and gRPC saw", by_sse.seen, by_grpc.seen)
        numbers = [number for number, _ in by_grpc.seen]
        expect("the transitions' numbers", numbers, list(range(2, numbers[-1] + 1)))
        expect("the last state", by_grpc.seen[-1][1], "DELIVERED")
        total = 2 * shop.products[0].price
        await step.until(
            "the provider's book", lambda: shop.charged(order_id), [("captured", total, total, 0)]
        )
        await step.until("stock (on hand, reserved)", lambda: shop.stock(shop.products[0]), (48, 0))
        step.says("both watches saw every step, in order; money captured, 2 units gone")


async def decline(shop: Shop) -> None:
    async with shop.teller.step("A declined card") as step:
        charles, pot = shop.customers[1], shop.products[1]
        before = await shop.stock(pot)
        order_id, watch = await shop.place(charles, pot, method="declined")
        await watch.to("PAYMENT_FAILED", step)
        reason = (await shop.order(order_id))["reason"]
        expect("the reason", reason, "card_declined")
        expect("the provider's book", await shop.charged(order_id), [("declined", 0, 0, 0)])
        await step.until("stock (on hand, reserved)", lambda: shop.stock(pot), before)
        shop.refusals.append(Refusal("Charles: a declined card", "PAYMENT_FAILED", reason))
        step.says(f"{watch}; nothing charged, the unit is back in stock")


async def last_unit(shop: Shop) -> None:
    async with shop.teller.step("Two buyers, one last unit") as step:
        cup, buyers = shop.products[2], shop.customers[1:3]
        placed = await asyncio.gather(*(shop.place(buyer, cup) for buyer in buyers))
        ends = await asyncio.gather(*(_either(watch, step) for _, watch in placed))
        expect("how the two orders ended", sorted(ends), ["CONFIRMED", "REJECTED"])
        expect("stock (on hand, reserved)", await shop.stock(cup), (1, 1))
        winner, loser = buyers[ends.index("CONFIRMED")], buyers[ends.index("REJECTED")]
        order = await shop.order(placed[ends.index("REJECTED")][0])
        expect("charges for the order that was rejected", await shop.charged(order["orderId"]), [])
        first, reason = loser.name.partition(" ")[0], order["reason"].partition(" ")[0]
        shop.refusals.append(Refusal(f"{first}: {cup.name}, sold out", "REJECTED", reason))
        step.says(f"{winner.name} got it; {loser.name} was refused and not charged")


async def retry(shop: Shop) -> None:
    async with shop.teller.step("A retry is no second order") as step:
        mary, pot = shop.customers[2], shop.products[1]
        body = shop.order_of(mary, pot) | {"requestId": shop.store_id}
        path = shop.path("orders")
        before = len((await mary.person.rest("GET", path)).body["orders"])
        replies = await asyncio.gather(*(mary.person.rest("POST", path, body) for _ in range(REPEATS)))
        expect("different replies", len({reply.raw for reply in replies}), 1)
        shop.placed(replies[0].body["order"])
        after = len((await mary.person.rest("GET", path)).body["orders"])
        expect("new orders", after - before, 1)
        refused = await mary.person.refused("POST", path, body | {"paymentMethod": "pm_sandbox_slow"})
        expect("the reason for another order under that id", refused.reason, "REQUEST_ID_REUSED")
        shop.refusals.append(Refusal("Mary: another order, same id", f"{refused.status}", refused.reason))
        step.says(f"{REPEATS} times at once with one requestId: one order, {REPEATS} identical replies")


async def _either(watch: Watch, step: Step) -> str:
    """CONFIRMED or REJECTED, whichever comes."""
    try:
        await watch.to("CONFIRMED", step)
    except ClaimFailed:
        return watch.seen[-1][1]
    return "CONFIRMED"
