"""The way to the door in two parcels, each paid for when it is sent, and a part of it back."""

from __future__ import annotations

from typing import Any

from services.cluster.demo.pricing import BOOK, BOOKS
from services.cluster.demo.shop import Product, Refusal, Shop, cents, euros
from services.cluster.demo.teller import expect
from services.cluster.demo.watches import Watch

# Who did what to the order with the coupon, up to the door.
TIMELINE = [
    ("create", "CUSTOMER"),
    ("reserve", "SERVICE"),
    ("authorize", "SERVICE"),
    ("accept", "STORE_ADMIN"),
    ("ship", "STORE_ADMIN"),
    ("ship", "STORE_ADMIN"),
    ("deliver_parcel", "COURIER"),
    ("deliver", "STORE_ADMIN"),
]


async def send(shop: Shop, watch: Watch) -> None:
    """The pot goes with Grace, the books by post."""
    async with shop.teller.step("Two parcels, two captures") as step:
        pot, book = _bought(shop)
        before = [(await shop.stock(product))[0] for product in (pot, book)]
        order = await _take(shop, "accept")
        total = cents(order["total"])
        expect("the provider's book", await shop.charged(shop.delivered), [("authorized", total, 0, 0)])
        by_bicycle = {"carrier": "Our own bicycle", "courierId": "Grace"}
        await _take(shop, "ship", by_bicycle | {"lines": [{"productId": pot.product_id, "quantity": 1}]})
        for_pot = _paid(order, pot)
        await step.until(
            "the provider's book", lambda: shop.charged(shop.delivered), [("captured", total, for_pot, 0)]
        )
        await _take(shop, "ship", {"carrier": "The post", "trackingNumber": "GB-1852"})
        await step.until(
            "the provider's book", lambda: shop.charged(shop.delivered), [("captured", total, total, 0)]
        )

        deliver = f"/v1/orders/{shop.delivered}:deliver"
        refused = await shop.person("courier", subject="Henry").refused("POST", deliver, {})
        expect("the reason for another courier", refused.reason, "ORDER_NOT_FOUND")
        shop.refusals.append(Refusal("Henry: Grace's parcel", f"{refused.status}", refused.reason))
        await shop.person("courier", subject="Grace").rest("POST", deliver, {})
        parcels = [parcel["status"] for parcel in (await shop.order(shop.delivered))["shipments"]]
        expect("the parcels", parcels, ["SHIPMENT_STATUS_DELIVERED", "SHIPMENT_STATUS_SHIPPED"])
        await _take(shop, "deliver")

        await watch.ended(step)
        events = (await shop.admin.rest("GET", f"/v1/orders/{shop.delivered}/events")).body["events"]
        told = [(event["step"], event["actor"].partition(" ")[0]) for event in events]
        expect("who did what", told, TIMELINE)
        expect("trace ids of 32 digits", {len(event["traceId"]) for event in events}, {32})
        expect("the last state seen", watch.seen[-1], (len(TIMELINE), "DELIVERED"))
        payment = await shop.payment(order["paymentId"])
        captures = [cents(each["amount"]) for each in payment["operations"] if each["kind"] == "capture"]
        expect("our captures", captures, [for_pot, total - for_pot])

        async def gone() -> list[int]:
            return [
                units - (await shop.stock(product))[0]
                for units, product in zip(before, (pot, book), strict=True)
            ]

        await step.until("units gone", gone, [1, BOOKS])
        step.says(
            f"Grace brings the pot: {euros(for_pot)}; the post the books, with shipping: "
            f"{euros(total - for_pot)}; Henry is refused"
        )


async def take_back(shop: Shop) -> None:
    """One of the books comes back; it can be sold again."""
    async with shop.teller.step("A partial return") as step:
        _, book = _bought(shop)
        on_hand, reserved = await shop.stock(book)
        order = await shop.order(shop.delivered)
        total, share = cents(order["total"]), round(_paid(order, book) / BOOKS)
        back = {"lines": [{"productId": book.product_id, "quantity": 1, "restock": True}], "reason": "A gift"}
        order = await _take(shop, "return", back)
        expect("the refund", [cents(returned["refund"]) for returned in order["returns"]], [share])
        refunded = [("refunded", total, total, share)]
        await step.until("the provider's book", lambda: shop.charged(shop.delivered), refunded)
        ours = shop.payment_state
        await step.until("our payment", lambda: ours(order["paymentId"]), "PARTIALLY_REFUNDED")
        await step.until("stock (on hand, reserved)", lambda: shop.stock(book), (on_hand + 1, reserved))
        step.says(
            f"one book of {BOOKS}: {euros(share)} refunded, a third of what they cost; it is on the shelf"
        )


def _paid(order: dict[str, Any], product: Product) -> int:
    """What all units of a product cost in an order: prices are without tax."""
    line = next(line for line in order["lines"] if line["productId"] == product.product_id)
    return product.price * int(line["quantity"]) - cents(line["discount"]) + cents(line["tax"])


def _bought(shop: Shop) -> tuple[Product, Product]:
    names = {product.name: product for product in shop.products}
    return shop.products[1], names[BOOK]


async def _take(shop: Shop, verb: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A step of the store's with the order, which is as it is after it."""
    reply = await shop.admin.rest("POST", f"/v1/orders/{shop.delivered}:{verb}", more or {})
    order: dict[str, Any] = reply.body["order"]
    return order
