"""Orders v2: create, show, update, and turn the payer's approval into authorizations or captures."""

import re
from typing import Any

from tests.providers.paypal.book import Book, Json, Order, Unit, new_id
from tests.providers.paypal.calls import Answer, Call
from tests.providers.paypal.errors import invalid, not_found, unprocessable
from tests.providers.paypal.money import Money, money
from tests.providers.paypal.payments import Payments
from tests.providers.paypal.vault import Vault
from tests.providers.paypal.views import link, order_view

WAITING = {"CREATED", "PAYER_ACTION_REQUIRED"}
ADDED = ("item_total", "tax_total", "shipping", "handling", "insurance")
TAKEN_OFF = ("shipping_discount", "discount")
PATCHED = re.compile(r"/purchase_units/@reference_id=='(?P<unit>[^']+)'/(?P<field>\w+)")
TEXT_LIMITS = {"reference_id": 256, "custom_id": 255, "invoice_id": 127, "description": 127}


class Orders:
    def __init__(self, book: Book, payments: Payments, vault: Vault) -> None:
        self.book, self.payments, self.vault = book, payments, vault

    def create(self, call: Call) -> Answer:
        intent = call.body.get("intent")
        if intent is None:
            raise invalid("MISSING_REQUIRED_PARAMETER", "/intent")
        if intent not in {"AUTHORIZE", "CAPTURE"}:
            raise invalid("INVALID_PARAMETER_VALUE", "/intent")
        asked = call.body.get("payment_source") or {}
        if asked and not call.request_id:
            raise invalid("PAYPAL_REQUEST_ID_REQUIRED", "PayPal-Request-Id")
        now = self.book.now()
        order = Order(
            id=new_id(),
            intent=intent,
            units=units(call.body.get("purchase_units")),
            source=asked,
            context=experience(call.body, asked),
            status="PAYER_ACTION_REQUIRED" if asked else "CREATED",
            created=now,
            updated=now,
        )
        order.paid_with = self.vault.saved(asked)
        if order.paid_with is not None:
            # A saved method needs nobody's approval: the order is paid as it is created, or not created at all.
            self.pay(order)
        self.book.orders[order.id] = order
        return Answer(201, lambda whole: order_view(self.book, order, whole), repeated=200)

    def get(self, call: Call) -> Answer:
        order = self.book.order(call.params["id"])
        return Answer(200, lambda whole: order_view(self.book, order))

    def patch(self, call: Call) -> Answer:
        order = self.book.order(call.params["id"])
        if order.status == "COMPLETED":
            raise unprocessable("ORDER_ALREADY_COMPLETED")
        changes = call.body.get("patches", [])
        if not changes:
            raise invalid("MISSING_REQUIRED_PARAMETER", "/")
        for change in changes:
            patched(order, change)
        order.updated = self.book.now()
        return Answer(204, lambda whole: None)

    def authorize(self, call: Call) -> Answer:
        return self.complete(call, "AUTHORIZE", "ORDER_ALREADY_AUTHORIZED")

    def capture(self, call: Call) -> Answer:
        return self.complete(call, "CAPTURE", "ORDER_ALREADY_CAPTURED")

    def complete(self, call: Call, intent: str, already: str) -> Answer:
        order = self.book.order(call.params["id"])
        if order.intent != intent:
            raise unprocessable("ACTION_DOES_NOT_MATCH_INTENT")
        if order.status == "COMPLETED":
            raise unprocessable(already)
        asked = call.body.get("payment_source") or {}
        saved = self.vault.saved(asked)
        if saved is not None:
            order.source, order.paid_with = asked, saved
        elif order.status != "APPROVED":
            url = f"{self.book.url}/checkoutnow?token={order.id}"
            raise unprocessable("ORDER_NOT_APPROVED", links=[link("payer-action", url)])
        self.pay(order)
        return Answer(201, lambda whole: order_view(self.book, order, whole), repeated=200)

    def pay(self, order: Order) -> None:
        self.payments.refuse_used_invoices(order)
        if order.intent == "AUTHORIZE":
            paid = self.payments.authorize_order(order)
        else:
            paid = self.payments.capture_order(order)
        order.status, order.updated = "COMPLETED", self.book.now()
        if paid:
            self.vault.keep_on_success(order)
            if order.intent == "CAPTURE":
                whole = order_view(self.book, order)
                self.book.announce(
                    "CHECKOUT.ORDER.COMPLETED", "checkout-order", whole, "Checkout order completed"
                )

    def approve(self, order_id: str) -> str:
        """The payer says yes; the address the payer is sent back to."""
        order = self.book.order(order_id)
        if order.status not in WAITING | {"APPROVED"}:
            raise unprocessable("ORDER_ALREADY_COMPLETED")
        order.status, order.updated = "APPROVED", self.book.now()
        self.book.announce(
            "CHECKOUT.ORDER.APPROVED",
            "checkout-order",
            order_view(self.book, order),
            "An order has been approved",
        )
        return back(order, "return_url", f"token={order.id}&PayerID=PAYERID123456")

    def cancel(self, order_id: str) -> str:
        """The payer says no. PayPal leaves the order as it is and sends the payer to cancel_url."""
        return back(self.book.order(order_id), "cancel_url", f"token={order_id}")

    def expire(self, order_id: str) -> None:
        """An order nobody completes is gone after some hours."""
        if self.book.order(order_id).status == "COMPLETED":
            raise not_found("order_id")
        del self.book.orders[order_id]


def back(order: Order, name: str, query: str) -> str:
    address = str(order.context.get(name, ""))
    return f"{address}{'&' if '?' in address else '?'}{query}" if address else ""


def experience(body: Json, asked: Json) -> Json:
    """Where the payer returns to: of the payment source, or of the older application_context."""
    for source in asked.values():
        if isinstance(source, dict) and "experience_context" in source:
            context: Json = source["experience_context"]
            return context
    return dict(body.get("application_context") or {})


def units(asked: Any) -> list[Unit]:
    if not isinstance(asked, list) or not asked:
        raise invalid("MISSING_REQUIRED_PARAMETER", "/purchase_units")
    if len(asked) > 10:
        raise invalid("INVALID_ARRAY_MAX_ITEMS", "/purchase_units")
    found = [unit(one, f"/purchase_units/{index}") for index, one in enumerate(asked)]
    if len({one.reference_id for one in found}) < len(found):
        raise unprocessable("DUPLICATE_REFERENCE_ID", "/purchase_units")
    if len({one.amount.currency for one in found}) > 1:
        raise unprocessable("MULTI_CURRENCY_ORDER", "/purchase_units")
    return found


def unit(asked: Json, field: str) -> Unit:
    for name, limit in TEXT_LIMITS.items():
        if not isinstance(asked.get(name, ""), str) or len(asked.get(name, "")) > limit:
            raise invalid("INVALID_STRING_LENGTH", f"{field}/{name}")
    if "amount" not in asked:
        raise invalid("MISSING_REQUIRED_PARAMETER", f"{field}/amount")
    amount = money(asked["amount"], f"{field}/amount")
    check_breakdown(asked, amount, field)
    return Unit(
        reference_id=asked.get("reference_id", "default"),
        amount=amount,
        asked=asked,
        custom_id=asked.get("custom_id", ""),
        invoice_id=asked.get("invoice_id", ""),
    )


def check_breakdown(asked: Json, amount: Money, field: str) -> None:
    breakdown = asked["amount"].get("breakdown", {})
    parts = {
        name: money(part, f"{field}/amount/breakdown/{name}", positive=False)
        for name, part in breakdown.items()
    }
    if any(part.currency != amount.currency for part in parts.values()):
        raise unprocessable("CURRENCY_MISMATCH", f"{field}/amount/breakdown")
    if parts:
        worth = sum(part.minor_units for name, part in parts.items() if name in ADDED)
        worth -= sum(part.minor_units for name, part in parts.items() if name in TAKEN_OFF)
        if worth != amount.minor_units:
            raise unprocessable("AMOUNT_MISMATCH", f"{field}/amount/value")
    items = asked.get("items", [])
    if items and "item_total" not in parts:
        raise unprocessable("ITEM_TOTAL_REQUIRED", f"{field}/amount/breakdown/item_total")
    if items:
        each = [
            (money(item.get("unit_amount"), f"{field}/items"), int(item.get("quantity", "1")))
            for item in items
        ]
        if sum(price.minor_units * count for price, count in each) != parts["item_total"].minor_units:
            raise unprocessable("ITEM_TOTAL_MISMATCH", f"{field}/amount/breakdown/item_total")


def patched(order: Order, change: Json) -> None:
    path, value = str(change.get("path", "")), change.get("value")
    if path == "/intent" and change.get("op") == "replace" and value in {"AUTHORIZE", "CAPTURE"}:
        order.intent = value
        return
    match = PATCHED.fullmatch(path)
    found = next((u for u in order.units if match and u.reference_id == match["unit"]), None)
    if match is None or found is None:
        raise unprocessable("NOT_PATCHABLE", "/path")
    if match["field"] == "amount" and change.get("op") == "replace":
        renewed = unit({**found.asked, "amount": value}, "/value")
        found.amount, found.asked = renewed.amount, renewed.asked
    elif match["field"] in {"custom_id", "invoice_id"}:
        setattr(found, match["field"], "" if change.get("op") == "remove" else str(value))
    elif match["field"] in {"description", "soft_descriptor", "items", "shipping"}:
        found.asked = {**found.asked, match["field"]: value}
    else:
        raise unprocessable("NOT_PATCHABLE", "/path")
