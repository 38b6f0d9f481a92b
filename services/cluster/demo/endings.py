"""Orders that end before they are paid for: one that nobody pays in time, and one that is called off meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from services.cluster.demo.shop import Refusal, Shop
from services.cluster.demo.teller import expect
from services.cluster.demo.watches import Watch

WAIT_SECONDS = 3
UNITS = 5


@dataclass
class Unpaid:
    """An order of another store, whose payment its customer never confirms."""

    shop: Shop
    order_id: str
    watch: Watch


async def never_pay(shop: Shop) -> Unpaid:
    """A store that does not wait for long, and an order there that waits for its customer."""
    async with shop.teller.step("A customer who never pays") as step:
        other = Shop(shop.cluster, shop.teller, shop.gateway, shop.provider, watches=shop.watches)
        settings = {"settings": {"paymentWait": f"{WAIT_SECONDS}s"}}
        await other.admin.rest("PUT", other.path("order-settings"), settings)
        product = await other.product("Silver spoon", 2500, UNITS)
        order_id, watch = await other.place(
            await other.customer("George Byron"), product, 2, "requires_action"
        )
        await watch.to("AWAITING_CUSTOMER", step)
        expect("stock (on hand, reserved)", await other.stock(product), (UNITS, 2))
        step.says(f"{watch}; that store waits {WAIT_SECONDS} s")
        return Unpaid(other, order_id, watch)


async def expire(shop: Shop, unpaid: Unpaid) -> None:
    async with shop.teller.step("The unpaid order expires") as step:
        await unpaid.watch.to("EXPIRED", step)
        await unpaid.watch.ended(step)
        other, order = unpaid.shop, await unpaid.shop.order(unpaid.order_id)
        await step.until("stock (on hand, reserved)", lambda: other.stock(other.products[0]), (UNITS, 0))
        await step.until("our payment", lambda: other.payment_state(order["paymentId"]), "VOIDED")
        nothing = [("voided", 0, 0, 0)]
        await step.until("the provider's book", lambda: other.charged(unpaid.order_id), nothing)
        shop.refusals.append(Refusal("George Byron: never confirmed", "EXPIRED", order["reason"]))
        step.says(f"{unpaid.watch}; the units are free, the payment is VOIDED")


async def cancel_in_flight(shop: Shop) -> None:
    """Called off while the provider is being asked: its answer takes a second and a half."""
    async with shop.teller.step("A cancel in flight") as step:
        ada, tea = shop.customers[0], shop.products[0]
        before = await shop.stock(tea)
        order_id, watch = await shop.place(ada, tea, method="slow")
        total = int(shop.orders[order_id]["total"]["minorUnits"])
        asked = [("authorized", total, 0, 0)]
        await step.until("the provider's book", lambda: shop.charged(order_id), asked)
        await ada.person.rest("POST", f"/v1/orders/{order_id}:cancel", {"reason": "Changed my mind"})
        await watch.ended(step)
        expect("how the order ended", watch.seen[-1][1], "CANCELLED")
        nothing = [("voided", total, 0, 0)]
        await step.until("the provider's book", lambda: shop.charged(order_id), nothing)
        await step.until("stock (on hand, reserved)", lambda: shop.stock(tea), before)
        step.says(f"{watch} while the provider was asked; what it authorized is voided")
