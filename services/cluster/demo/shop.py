"""What the chapters share: the store, who buys there, and what is asked of the running system again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from services.cluster.cluster import Cluster
from services.cluster.demo.clients import Gateway, Person, new_id, short
from services.cluster.demo.provider import Provider
from services.cluster.demo.teller import Teller
from services.cluster.demo.watches import Feed, Watch
from services.cluster.traces.spans import Span

CURRENCY = "EUR"
ADDRESS = {
    "recipient": "Ada Lovelace",
    "lines": ["12 St James's Square"],
    "city": "London",
    "postalCode": "SW1Y 4JH",
    "countryCode": "GB",
}


@dataclass
class Product:
    product_id: str
    name: str
    price: int
    stock: int


@dataclass
class Refusal:
    """What was refused as it should be, or expired: what was asked, how it ended, why."""

    asked: str
    ended: str
    reason: str


@dataclass
class Customer:
    name: str
    customer_id: str
    person: Person


@dataclass
class Shop:
    """A store of this run's own on the running cluster, and what has happened in it so far."""

    cluster: Cluster
    teller: Teller
    gateway: Gateway
    provider: Provider
    store_id: str = field(default_factory=new_id)
    products: list[Product] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    # Every order that was placed, by id.
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    watches: list[Watch] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    # Payment method, order and its watch, of the cards that settle while the story goes on.
    cards: list[tuple[str, str, Watch]] = field(default_factory=list)
    # Everything that happens to the store's orders, from the first one on.
    feed: Feed | None = None
    # The order with a coupon, which is delivered; its timeline and its traces by id.
    delivered: str = ""
    trace_id: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    traces: dict[str, list[Span]] = field(default_factory=dict)
    balance: dict[str, Any] = field(default_factory=dict)
    settlement: dict[str, Any] = field(default_factory=dict)
    discrepancies: list[dict[str, Any]] = field(default_factory=list)
    # When it was opened: Unix seconds.
    began: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.admin = self.person("store_admin")

    def person(self, role: str, customer_id: str | None = None, subject: str | None = None) -> Person:
        return Person(self.gateway, self.cluster.token(role, self.store_id, customer_id, subject))

    def path(self, rest: str) -> str:
        return f"/v1/stores/{self.store_id}/{rest}"

    async def product(self, name: str, price: int, stock: int, **more: str) -> Product:
        """A new product with so many units, `price` in cents, and whatever else is to be said of it."""
        body = {"sku": name.upper().replace(" ", "-"), "name": name, "price": money(price)} | more
        reply = await self.admin.rest("POST", self.path("products"), body)
        product = Product(reply.body["product"]["productId"], name, price, stock)
        await self.admin.rest("PUT", f"/v1/products/{product.product_id}/stock", {"quantity": stock})
        self.products.append(product)
        return product

    async def customer(self, name: str) -> Customer:
        """A new customer, who holds a token of their own."""
        email = f"{name.partition(' ')[0].lower()}.{new_id()[:8]}@example.com"
        body = {"fullName": name, "email": email}
        reply = await self.admin.rest("POST", self.path("customers"), body)
        customer_id = reply.body["customer"]["customerId"]
        customer = Customer(name, customer_id, self.person("customer", customer_id))
        self.customers.append(customer)
        return customer

    def order_of(
        self, buyer: Customer, product: Product, quantity: int = 1, method: str = "ok"
    ) -> dict[str, Any]:
        """The body of CreateOrder by REST."""
        return {
            "customerId": buyer.customer_id,
            "lines": [{"productId": product.product_id, "quantity": quantity}],
            "paymentMethod": f"pm_sandbox_{method}",
            "deliveryAddress": ADDRESS,
        }

    async def place(
        self, buyer: Customer, product: Product, quantity: int = 1, method: str = "ok"
    ) -> tuple[str, Watch]:
        """An order by REST, placed by its buyer, and a watch of it by gRPC."""
        return await self.send(buyer, self.order_of(buyer, product, quantity, method))

    async def send(self, buyer: Customer, body: dict[str, Any]) -> tuple[str, Watch]:
        """The same with the body of CreateOrder."""
        reply = await buyer.person.rest("POST", self.path("orders"), body)
        order_id = self.placed(reply.body["order"])
        return order_id, self.watch(Watch(buyer.person.updates_by_grpc(order_id, 1)))

    def placed(self, order: dict[str, Any]) -> str:
        self.orders[order["orderId"]] = order
        return str(order["orderId"])

    def watch(self, watch: Watch) -> Watch:
        self.watches.append(watch)
        return watch

    async def order(self, order_id: str) -> dict[str, Any]:
        reply = await self.admin.rest("GET", f"/v1/orders/{order_id}")
        order: dict[str, Any] = reply.body["order"]
        return order

    async def stock(self, product: Product) -> tuple[int, int]:
        """Units on hand, and those of them that are reserved."""
        found = (await self.admin.rest("GET", f"/v1/products/{product.product_id}/stock")).body
        return found["onHand"], found["reserved"]

    async def payment(self, payment_id: str) -> dict[str, Any]:
        payment: dict[str, Any] = (await self.admin.rest("GET", f"/v1/payments/{payment_id}")).body["payment"]
        return payment

    async def payment_state(self, payment_id: str) -> str:
        return short((await self.payment(payment_id))["state"])

    async def charged(self, order_id: str) -> list[tuple[str, int, int, int]]:
        """The provider's own view of an order: of each charge its status, and cents authorized, captured, refunded."""
        sums = ("authorized_minor_units", "captured_minor_units", "refunded_minor_units")
        found = await self.provider.charges([order_id])
        return [(charge["status"], *(charge[each] for each in sums)) for charge in found]

    async def close(self) -> None:
        for watch in self.watches:
            watch.stop()
        if self.feed:
            self.feed.stop()
        await self.gateway.close()
        await self.provider.close()


def money(amount: int) -> dict[str, str]:
    """Cents, as REST has them."""
    return {"currencyCode": CURRENCY, "minorUnits": str(amount)}


def cents(amount: dict[str, str]) -> int:
    return int(amount["minorUnits"])


def plain(amount: int) -> str:
    return f"{amount / 100:.2f}"


def euros(amount: int) -> str:
    return f"{plain(amount)} {CURRENCY}"


def sum_of(charges: list[dict[str, Any]], kind: str) -> int:
    """Cents captured, refunded …, over all of these charges."""
    return sum(int(charge[f"{kind}_minor_units"]) for charge in charges)


def left_of(charge: dict[str, Any]) -> int:
    """Cents of a charge that were promised or taken, and not given back."""
    sums = (charge[f"{kind}_minor_units"] for kind in ("authorized", "voided", "refunded"))
    authorized, voided, refunded = map(int, sums)
    return authorized - voided - refunded
