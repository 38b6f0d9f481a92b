"""What happens to money on its way: a challenge, a saved method, a dispute, a provider that falls silent."""

from __future__ import annotations

import asyncio

from services.cluster.demo.clients import new_id, short
from services.cluster.demo.shop import CURRENCY, Customer, Product, Refusal, Shop, cents, euros
from services.cluster.demo.teller import Step, expect
from services.cluster.demo.watches import Watch

ABILITIES = {
    "multipleCapture": "captures in parts",
    "partialRefund": "refunds in parts",
    "customerAction": "3-D Secure",
    "savedMethods": "saved methods",
    "disputes": "disputes",
    "settlements": "settlements",
}
# The provider says nothing for half a minute; it is given up after some seconds, and then asked by key.
SILENT = ("silent_before", "silent_after")
SILENCE_SECONDS = 40.0


async def secure(shop: Shop) -> None:
    """Two customers at the bank's page: one comes back and says so, one fails there."""
    async with shop.teller.step("3-D Secure") as step:
        _, charles, mary, _ = shop.customers
        pot = shop.products[1]
        passed, failed = await asyncio.gather(
            *(_challenged(shop, buyer, pot, step) for buyer in (charles, mary))
        )
        watch = await _pass(shop, charles, *passed, step)
        await shop.provider.confirm((await shop.order(failed[0]))["nextActionUrl"], "fail")
        await failed[1].to("PAYMENT_FAILED", step)
        reason = (await shop.order(failed[0]))["reason"]
        expect("the provider's book", await shop.charged(failed[0]), [("declined", 0, 0, 0)])
        shop.refusals.append(Refusal("Mary: a challenge failed", "PAYMENT_FAILED", reason))
        step.says(f"{watch}: Charles is back from his bank, ConfirmPayment asks it; Mary fails there")


async def save_method(shop: Shop) -> None:
    async with shop.teller.step("A saved payment method") as step:
        mary, tea = shop.customers[2], shop.products[0]
        path, token = f"/v1/customers/{mary.customer_id}/payment-methods", f"pm_sandbox_ok_{new_id()[:8]}"
        saved = await mary.person.rest("POST", path, {"storeId": shop.store_id, "token": token})
        method = saved.body["paymentMethod"]
        known = await shop.provider.keeps(token)
        assert known is not None
        shown = (method["brand"], method["lastFour"], method["expiryMonth"], method["expiryYear"])
        wanted = tuple(known[each] for each in ("brand", "last_four", "expiry_month", "expiry_year"))
        expect("what is shown, ours and the provider's", shown, wanted)
        expect("the reply tells the token", token.encode() in saved.raw, False)

        order_id, watch = await shop.send(mary, shop.order_of(mary, tea) | {"paymentMethod": "default"})
        await watch.to("CONFIRMED", step)
        (charge,) = await shop.provider.charges([order_id])
        paid = (charge["payment_method"], charge["authorized_minor_units"])
        expect("method and cents, in the provider's book", paid, (token, tea.price))

        method_id = method["paymentMethodId"]
        await mary.person.rest("POST", f"{path}/{method_id}:remove", {})
        left = (await mary.person.rest("GET", path)).body["paymentMethods"]
        expect("methods left, here and there", (left, await shop.provider.keeps(token)), ([], None))
        body = shop.order_of(mary, tea) | {"paymentMethod": method_id}
        refused = await mary.person.refused("POST", shop.path("orders"), body)
        shop.refusals.append(Refusal("Mary: the method she removed", f"{refused.status}", refused.reason))
        step.says(
            f"{method['brand']} …{method['lastFour']} kept, paid with, removed here and at the provider"
        )


async def set_up(shop: Shop) -> None:
    async with shop.teller.step("How money is taken") as step:
        listed = (await shop.admin.rest("GET", "/v1/gateways")).body["gateways"]
        sandbox = next(gateway for gateway in listed if gateway["code"] == "sandbox")
        able = [name for ability, name in ABILITIES.items() if sandbox[ability]]
        expect("what the sandbox can", able, list(ABILITIES.values()))
        rules = [{"currencyCode": CURRENCY, "gateways": [sandbox["code"]]}]
        settings = {"captureMode": "CAPTURE_MODE_ON_SHIPMENT", "gatewayRules": rules, "actionWait": "600s"}
        await shop.admin.rest("PUT", shop.path("payment-settings"), {"settings": settings})
        kept = (await shop.admin.rest("GET", shop.path("payment-settings"))).body["settings"]
        expect("the store's settings", kept, settings)
        step.says(
            f"when a parcel is sent, its part; in {CURRENCY} by the sandbox, which can:",
            ", ".join(able),
        )


async def lose_dispute(shop: Shop, order_id: str) -> None:
    """The customer's bank takes back what a delivered order cost, and keeps it."""
    async with shop.teller.step("A dispute, lost") as step:
        payment_id = (await shop.order(order_id))["paymentId"]
        (charge,) = await shop.provider.charges([order_id])
        taken = charge["captured_minor_units"]
        dispute = await shop.provider.dispute(charge["id"], taken, "fraudulent")

        async def ours() -> list[tuple[str, str, int, int]]:
            payment = await shop.payment(payment_id)
            back = cents(payment["chargedBack"])
            return [
                (short(payment["state"]), each["status"], cents(each["fee"]), back)
                for each in payment["disputes"]
            ]

        fee = dispute["fee_minor_units"]
        held = [("DISPUTED", "DISPUTE_STATUS_OPEN", fee, 0)]
        await step.until("our payment and its dispute", ours, held)
        await shop.provider.decide(dispute["id"], "lost")
        lost = [("DISPUTED", "DISPUTE_STATUS_LOST", fee, taken)]
        await step.until("our payment and its dispute", ours, lost)
        (charge,) = await shop.provider.charges([order_id])
        expect("cents disputed, in the provider's book", charge["disputed_minor_units"], taken)
        refused = await shop.admin.refused("POST", f"/v1/payments/{payment_id}:refund", {})
        shop.refusals.append(Refusal("A refund of what was disputed", f"{refused.status}", refused.reason))
        step.says(f"Ada's bank takes {euros(taken)} back and asks {euros(fee)} for it: held, then lost")


async def hear_silence(shop: Shop) -> None:
    """Of the cards that settle: those whose charge was not answered, once with its effect and once without."""
    async with shop.teller.step("A silent provider", SILENCE_SECONDS) as step:
        silent = [(order_id, watch) for method, order_id, watch in shop.cards if method in SILENT]
        asked = await asyncio.gather(*(_found_out(shop, *each, step) for each in silent))
        step.says(
            f"{silent[0][1]}, as two streams told: the janitor asked",
            f"again by our own key (attempts: {asked[0]} and {asked[1]}); each was charged once",
        )


async def _challenged(shop: Shop, buyer: Customer, product: Product, step: Step) -> tuple[str, Watch]:
    order_id, watch = await shop.place(buyer, product, method="requires_action")
    await watch.to("AWAITING_CUSTOMER", step)
    expect("the provider's book", await shop.charged(order_id), [("requires_action", 0, 0, 0)])
    return order_id, watch


async def _pass(shop: Shop, buyer: Customer, order_id: str, watch: Watch, step: Step) -> Watch:
    """Pass a challenge, and say so as the shop's page does that the bank sends the customer back to."""
    order = await shop.order(order_id)
    await shop.provider.confirm(order["nextActionUrl"])
    reply = await buyer.person.rest("POST", f"/v1/payments/{order['paymentId']}:confirm", {})
    expect("the payment", short(reply.body["payment"]["state"]), "AUTHORIZED")
    await watch.to("CONFIRMED", step)
    total = cents(order["total"])
    expect("the provider's book", await shop.charged(order_id), [("authorized", total, 0, 0)])
    return watch


async def _found_out(shop: Shop, order_id: str, watch: Watch, step: Step) -> int:
    """How often the provider was asked until it told."""
    await watch.to("CONFIRMED", step)
    expect("what the stream told", str(watch), "RESERVED → PAYMENT_UNKNOWN → CONFIRMED")
    payment = await shop.payment((await shop.order(order_id))["paymentId"])
    (operation,) = payment["operations"]
    charges = await shop.provider.charges([order_id])
    keys = [charge["idempotency_key"] for charge in charges]
    expect("the charges' keys, in the provider's book", keys, [operation["operationId"]])
    return int(operation["attempts"])
