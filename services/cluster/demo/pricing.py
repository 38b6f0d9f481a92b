"""What a cart costs: taxes, shipping and a coupon, on a bill that adds up to the cent."""

from __future__ import annotations

from typing import Any

from services.cluster.demo.shop import Customer, Refusal, Shop, cents, money, plain
from services.cluster.demo.teller import expect
from services.cluster.demo.watches import Watch

# Prices are without tax; whoever buys for less than 100.00 EUR pays for shipping.
SETTINGS = {
    "taxIncluded": False,
    "taxRates": [{"ratePpm": 190_000}, {"taxClass": "books", "ratePpm": 70_000}],
    "shippingRates": [{"fee": money(490), "freeFrom": "10000"}],
}
COUPON = {"code": "WELCOME10", "percentagePpm": 100_000, "limit": 1}
BOOK, BOOK_PRICE, BOOKS = "Pâtisserie maison", 1299, 3
# A pot for 49.00 and the books, less 10 %, with 19 % tax on the pot and 7 % on the books.
BILL = {"subtotal": 8797, "discount": 880, "tax": 838 + 245, "shipping": 490, "total": 9490}


async def set_up(shop: Shop) -> None:
    async with shop.teller.step("Taxes, shipping, categories") as step:
        await shop.admin.rest("PUT", shop.path("order-settings"), {"settings": SETTINGS})
        kitchen = await _category(shop, "Kitchen")
        books = await _category(shop, "Books", kitchen)
        await shop.product(BOOK, BOOK_PRICE, 30, taxClass="books", categoryId=books)
        asked = shop.path(f"products?query=patisserie&categoryId={kitchen}")
        found = await shop.customers[0].person.rest("GET", asked)
        expect("products found", [product["name"] for product in found.body["products"]], [BOOK])
        step.says(f"19 % tax, 7 % on books; “patisserie” in Kitchen finds {BOOK} in Kitchen › Books")


async def buy(shop: Shop) -> Watch:
    """Sophie's order with the coupon, and a watch of it by server-sent events."""
    async with shop.teller.step("A coupon, to the cent") as step:
        _, charles, _, sophie = shop.customers
        await shop.admin.rest("POST", shop.path("coupons"), COUPON)
        tempting = _cart(shop, charles)
        preview = await charles.person.rest("POST", shop.path("orders:preview"), tempting, changes=False)
        expect("the bill of the preview", _bill(preview.body["order"]), BILL)

        paid = {"paymentMethod": "pm_sandbox_ok"}
        reply = await sophie.person.rest("POST", shop.path("orders"), _cart(shop, sophie) | paid)
        order = reply.body["order"]
        shop.delivered, shop.trace_id = shop.placed(order), reply.trace_id
        expect("the bill of the order", _bill(order), BILL)
        _add_up(order)
        watch = shop.watch(Watch(sophie.person.updates_by_sse(shop.delivered, after=1)))
        await watch.to("CONFIRMED", step)
        authorized = [("authorized", BILL["total"], 0, 0)]
        expect("the provider's book", await shop.charged(shop.delivered), authorized)

        refused = await charles.person.refused("POST", shop.path("orders"), tempting | paid)
        expect("the reason for a second use", refused.reason, "COUPON_USED_UP")
        shop.refusals.append(Refusal("Charles: the coupon once more", f"{refused.status}", refused.reason))
        step.says(f"{equation(order)} EUR, as previewed and authorized; a second buyer comes too late")
        return watch


def equation(order: dict[str, Any]) -> str:
    """An order's bill in a line, each sum under its name but for what is bought and what is paid."""
    sums = {name: plain(amount) for name, amount in _bill(order).items()}
    return "{subtotal} − {discount} coupon + {tax} tax + {shipping} shipping = {total}".format(**sums)


async def _category(shop: Shop, name: str, parent_id: str = "") -> str:
    body = {"name": name, "parentId": parent_id}
    reply = await shop.admin.rest("POST", shop.path("categories"), body)
    return str(reply.body["category"]["categoryId"])


def _cart(shop: Shop, buyer: Customer) -> dict[str, Any]:
    pot, book = shop.products[1], next(product for product in shop.products if product.name == BOOK)
    cart = shop.order_of(buyer, pot)
    del cart["paymentMethod"]
    cart["lines"].append({"productId": book.product_id, "quantity": BOOKS})
    return cart | {"couponCode": "welcome10"}


def _bill(order: dict[str, Any]) -> dict[str, int]:
    return {name: cents(order[name]) for name in BILL}


def _add_up(order: dict[str, Any]) -> None:
    """Claims that the lines add up to the sums, and the sums to the total."""
    bill, lines = _bill(order), order["lines"]
    goods = sum(line["quantity"] * cents(line["unitPrice"]) for line in lines)
    expect("the lines' worth", goods, bill["subtotal"])
    for name in ("discount", "tax"):
        expect(f"the lines' {name}", sum(cents(line[name]) for line in lines), bill[name])
    total = bill["subtotal"] - bill["discount"] + bill["tax"] + bill["shipping"]
    expect("the total", bill["total"], total)
