"""Every way to pay, a refund, and what customers have bought: ours beside the provider's own book."""

from __future__ import annotations

import asyncio

from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_service_pb2 import CancelOrderRequest, CreateOrderLine, CreateOrderRequest
from commerce.payment.v1.payment_pb2 import PaymentState
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from google.protobuf.json_format import MessageToDict

from services.cluster.demo.clients import new_id, short
from services.cluster.demo.shop import Customer, Refusal, Shop, cents, euros, left_of
from services.cluster.demo.teller import ClaimFailed, Step, expect
from services.cluster.demo.watches import Watch

# Where an order ends with each of the sandbox's payment methods.
ENDS = {
    "ok": "CONFIRMED",
    "slow": "CONFIRMED",
    "requires_action": "CONFIRMED",
    "late_webhook": "CONFIRMED",
    "duplicate_webhook": "CONFIRMED",
    "silent_before": "CONFIRMED",
    "silent_after": "CONFIRMED",
    "declined": "PAYMENT_FAILED",
    "insufficient_funds": "PAYMENT_FAILED",
}
# The provider's silence is waited out, asked about, and waited out again on a slow machine.
CARDS_SECONDS = 40.0


async def try_cards(shop: Shop) -> None:
    async with shop.teller.step("Every way to pay") as step:
        product = await shop.product("Sampler", 700, 100)
        shop.cards = list(
            await asyncio.gather(*(_order_by_stub(shop, product.product_id, method) for method in ENDS))
        )
        step.says(f"{len(ENDS)} orders by gRPC, a payment method each; they settle while the story goes on")


async def refund(shop: Shop) -> None:
    async with shop.teller.step("A refund") as step:
        ada, pot = shop.customers[0], shop.products[1]
        on_hand, _ = await shop.stock(pot)
        order_id, watch = await shop.place(ada, pot)
        await watch.to("CONFIRMED", step)
        await shop.admin.rest("POST", f"/v1/orders/{order_id}:accept", {})
        taken = [("captured", pot.price, pot.price, 0)]
        await step.until("the provider's book", lambda: shop.charged(order_id), taken)
        request = CancelOrderRequest(order_id=order_id, reason="Broken in transit", request_id=new_id())
        cancelled = await shop.admin.orders.CancelOrder(request, metadata=shop.admin.metadata)
        await watch.ended(step)
        given_back = [("refunded", pot.price, pot.price, pot.price)]
        await step.until("the provider's book", lambda: shop.charged(order_id), given_back)

        async def ours() -> str:
            asked = GetPaymentRequest(payment_id=cancelled.order.payment_id)
            reply = await shop.admin.payments.GetPayment(asked, metadata=shop.admin.metadata)
            return short(PaymentState.Name(reply.payment.state))

        await step.until("our payment", ours, "REFUNDED")

        async def hand() -> int:
            return (await shop.stock(pot))[0]

        await step.until("units on hand", hand, on_hand)
        step.says(f"{watch}; {euros(pot.price)} refunded here and at the provider, unit restocked")


async def settle_cards(shop: Shop) -> None:
    async with shop.teller.step("How each payment ended", CARDS_SECONDS) as step:
        await asyncio.gather(
            *(_settled(shop, method, order, watch, step) for method, order, watch in shop.cards)
        )
        ways: dict[str, list[str]] = {}
        for method, order_id, watch in shop.cards:
            charges = await shop.provider.charges([order_id])
            taken = [
                charge["authorized_minor_units"] for charge in charges if charge["authorized_minor_units"]
            ]
            charged = ENDS[method] == "CONFIRMED"
            expect(f"{method}: cents charged, in the provider's book", taken, [700] if charged else [])
            ways.setdefault(str(watch).removeprefix("RESERVED → "), []).append(method)
        step.says(
            "by the provider's own book one charge each, none for those that failed:",
            *(f"{way}: {', '.join(methods)}" for way, methods in ways.items()),
        )


async def bought(shop: Shop) -> None:
    """What the order service says that each customer buys, beside what is left in the provider's book."""
    async with shop.teller.step("What each has bought") as step:
        said = await asyncio.gather(*(_stats(buyer) for buyer in shop.customers))
        kept = await asyncio.gather(*(_kept(shop, buyer) for buyer in shop.customers))
        expect("orders, cancelled, paid for, cents", said, kept)
        orders, cancelled, paid, spent = (sum(column) for column in zip(*said, strict=True))
        step.says(
            f"{orders} orders of {len(said)} customers, {cancelled} cancelled; {euros(spent)} for {paid}, "
            "as in the provider's book"
        )


async def _stats(buyer: Customer) -> list[int]:
    """Orders, those that were cancelled, those that are paid for, and cents spent: as the order service counts."""
    stats = (await buyer.person.rest("GET", f"/v1/customers/{buyer.customer_id}/order-stats")).body
    paid = sum(int(spending["paidOrders"]) for spending in stats["spending"])
    spent = sum(cents(spending["totalSpent"]) for spending in stats["spending"])
    return [int(stats["totalOrders"]), int(stats["cancelledOrders"]), paid, spent]


async def _kept(shop: Shop, buyer: Customer) -> list[int]:
    """The same by what was told of each of the customer's orders, and by the provider's book."""
    path = f"/v1/customers/{buyer.customer_id}/orders?pageSize=500"
    listed = (await buyer.person.rest("GET", path)).body["orders"]
    placed = [each for each, order in shop.orders.items() if order["customerId"] == buyer.customer_id]
    expect(f"orders of {buyer.name}", sorted(order["orderId"] for order in listed), sorted(placed))
    cancelled = sum(short(order["state"]) == "CANCELLED" for order in listed)
    left = [left_of(charge) for charge in await shop.provider.charges(placed) if left_of(charge)]
    return [len(placed), cancelled, len(left), sum(left)]


async def _order_by_stub(shop: Shop, product_id: str, method: str) -> tuple[str, str, Watch]:
    ada = shop.customers[0]
    request = CreateOrderRequest(
        store_id=shop.store_id,
        customer_id=ada.customer_id,
        lines=[CreateOrderLine(product_id=product_id, quantity=1)],
        payment_method=f"pm_sandbox_{method}",
        request_id=new_id(),
    )
    reply = await ada.person.orders.CreateOrder(request, metadata=ada.person.metadata)
    expect("the total", reply.order.total, Money(currency_code="EUR", minor_units=700))
    order_id = shop.placed(MessageToDict(reply.order))
    return method, order_id, shop.watch(Watch(ada.person.updates_by_grpc(order_id, 1)))


async def _settled(shop: Shop, method: str, order_id: str, watch: Watch, step: Step) -> None:
    if method == "requires_action":
        await watch.to("AWAITING_CUSTOMER", step)
        await shop.provider.confirm((await shop.order(order_id))["nextActionUrl"])
    try:
        await watch.to(ENDS[method], step)
    except ClaimFailed as failed:
        raise ClaimFailed(f"{method}: {failed}") from None
    if ENDS[method] == "PAYMENT_FAILED" and method != "declined":
        reason = (await shop.order(order_id))["reason"]
        shop.refusals.append(Refusal(f"Ada: {method}", ENDS[method], reason))
