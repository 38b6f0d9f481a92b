"""The way to the door in two parcels, each with whoever carries it, and a part of it back."""

from __future__ import annotations

from typing import Any

from services.cluster.story.pricing import BILL, BOOK, BOOKS
from services.cluster.story.shop import Product, Refusal, Shop, cents, euros
from services.cluster.story.teller import expect
from services.cluster.story.watches import Watch

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
    async with shop.teller.step("Two parcels, one courier") as step:
        pot, book = _bought(shop)
        before = [(await shop.stock(product))[0] for product in (pot, book)]
        await _take(shop, "accept")
        by_bicycle = {"carrier": "Our own bicycle", "courierId": "Grace"}
        await _take(shop, "ship", by_bicycle | {"lines": [{"productId": pot.product_id, "quantity": 1}]})
        await _take(shop, "ship", {"carrier": "The post", "trackingNumber": "GB-1852"})

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
        captured = [("captured", BILL["total"], BILL["total"], 0)]
        await step.until("the provider's book", lambda: shop.charged(shop.delivered), captured)

        async def gone() -> list[int]:
            return [
                units - (await shop.stock(product))[0]
                for units, product in zip(before, (pot, book), strict=True)
            ]

        await step.until("units gone", gone, [1, BOOKS])
        step.says("Grace brings the pot, the post the books; Henry is refused; all of it watched live")


async def take_back(shop: Shop) -> None:
    """One of the books comes back; it can be sold again."""
    async with shop.teller.step("A partial return") as step:
        _, book = _bought(shop)
        on_hand, reserved = await shop.stock(book)
        line = next(line for line in (await shop.order(shop.delivered))["lines"] if line["name"] == BOOK)
        paid = BOOKS * book.price - cents(line["discount"]) + cents(line["tax"])
        share = round(paid / BOOKS)
        back = {"lines": [{"productId": book.product_id, "quantity": 1, "restock": True}], "reason": "A gift"}
        order = await _take(shop, "return", back)
        expect("the refund", [cents(returned["refund"]) for returned in order["returns"]], [share])
        refunded = [("refunded", BILL["total"], BILL["total"], share)]
        await step.until("the provider's book", lambda: shop.charged(shop.delivered), refunded)
        ours = shop.payment_state
        await step.until("our payment", lambda: ours(order["paymentId"]), "PARTIALLY_REFUNDED")
        await step.until("stock (on hand, reserved)", lambda: shop.stock(book), (on_hand + 1, reserved))
        step.says(
            f"one book of {BOOKS}: {euros(share)} refunded, a third of what they cost; it is on the shelf"
        )


def _bought(shop: Shop) -> tuple[Product, Product]:
    names = {product.name: product for product in shop.products}
    return shop.products[1], names[BOOK]


async def _take(shop: Shop, verb: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A step of the store's with the order, which is as it is after it."""
    reply = await shop.admin.rest("POST", f"/v1/orders/{shop.delivered}:{verb}", more or {})
    order: dict[str, Any] = reply.body["order"]
    return order
