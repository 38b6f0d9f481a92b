"""Checkouts as real clients make them, who do not give up when a process dies; and an audit of what is left behind."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
from commerce.catalog.v1.stock_service_pb2 import GetStockRequest
from commerce.order.v1.order_pb2 import OrderUpdate
from commerce.order.v1.order_service_pb2 import WatchOrderRequest

from services.cluster.cluster import Cluster
from tests.order.asks import name
from tests.shop import Shop, eventually, new_id

SETTLED = {
    "CONFIRMED",
    "REJECTED",
    "PAYMENT_FAILED",
    "AWAITING_CUSTOMER",
    "CANCELLED",
    "ACCEPTED",
    "SHIPPED",
    "DELIVERED",
}
SETTLE_SECONDS = 60.0
PRICE = 1999

# Where each of the sandbox's payment methods ends an order.
ENDS = {
    "pm_sandbox_ok": "CONFIRMED",
    "pm_sandbox_declined": "PAYMENT_FAILED",
    "pm_sandbox_insufficient_funds": "PAYMENT_FAILED",
    "pm_sandbox_requires_action": "AWAITING_CUSTOMER",
    "pm_sandbox_slow": "CONFIRMED",
    "pm_sandbox_silent_before": "CONFIRMED",
    "pm_sandbox_silent_after": "CONFIRMED",
    "pm_sandbox_duplicate_webhook": "CONFIRMED",
    "pm_sandbox_late_webhook": "CONFIRMED",
}


@dataclass
class Checkout:
    """One order from its buyer's side: what was asked for, and every update that the buyer saw."""

    shop: Shop
    body: dict[str, Any]
    request_id: str = field(default_factory=new_id)
    order_id: str = ""
    seen: list[tuple[int, str]] = field(default_factory=list)

    @property
    def state(self) -> str:
        return self.seen[-1][1]

    async def place(self) -> None:
        """Send the order until it is acknowledged; one request_id throughout."""
        body = {**self.body, "requestId": self.request_id}
        while not self.order_id:
            try:
                reply = await self.shop.rest(
                    "POST",
                    f"/v1/stores/{self.shop.store_id}/orders",
                    json=body,
                    timeout=aiohttp.ClientTimeout(total=10),
                )
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.2)
                continue
            if reply.status == 200:
                self.order_id = reply.body["order"]["orderId"]
            else:
                assert reply.status in (429, 499, 502, 503, 504), (reply.status, reply.body)
                await asyncio.sleep(0.2)

    async def watch(self, until: set[str] = SETTLED) -> None:
        """Watch from the first transition on, resuming where the stream broke, until the order has come so far."""
        while not self.seen or self.state not in until:
            after = self.seen[-1][0] if self.seen else 0
            request = WatchOrderRequest(order_id=self.order_id, after_sequence=after)
            stream = self.shop.orders.WatchOrder(request, timeout=20)
            try:
                async for update in stream:
                    self._note(update)
                    if self.state in until:
                        break
            except grpc.aio.AioRpcError as error:
                assert error.code() in BROKEN, (error.code(), error.details())
                await asyncio.sleep(0.2)
            finally:
                stream.cancel()

    def _note(self, update: OrderUpdate) -> None:
        if not update.bookmark:
            self.seen.append((update.sequence, name(update.state)))


BROKEN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Crowd:
    """Many buyers of one product at once, each watching their own order."""

    def __init__(self, shop: Shop, product: str, customer: str) -> None:
        self.shop, self.product, self.customer = shop, product, customer
        self.checkouts: list[Checkout] = []

    def checkout(self, method: str = "pm_sandbox_ok", quantity: int = 1) -> Checkout:
        body = {
            "customerId": self.customer,
            "lines": [{"productId": self.product, "quantity": quantity}],
            "paymentMethod": method,
        }
        self.checkouts.append(Checkout(self.shop, body))
        return self.checkouts[-1]

    async def run(self, count: int, at_once: int = 32, methods: tuple[str, ...] = ("pm_sandbox_ok",)) -> None:
        """Make so many checkouts and wait until each is settled, within SETTLE_SECONDS of the last being placed."""
        gate = asyncio.Semaphore(at_once)
        watching = []

        async def one(checkout: Checkout) -> None:
            async with gate:
                await checkout.place()
                watching.append(asyncio.create_task(checkout.watch()))

        await asyncio.gather(*(one(self.checkout(random.choice(methods))) for _ in range(count)))
        async with asyncio.timeout(SETTLE_SECONDS):
            await asyncio.gather(*watching)

    def states(self) -> Counter[str]:
        return Counter(checkout.state for checkout in self.checkouts)


async def everything_ready(cluster: Cluster) -> None:
    """Wait until whatever was killed runs again; a process that keeps dying is started after a growing pause."""
    for process in list(cluster.processes):
        await cluster.wait_ready(process)


async def stock(shop: Shop, product: str) -> tuple[int, int]:
    """Units on hand and reserved."""
    found = await shop.stock.GetStock(GetStockRequest(product_id=product))
    return found.on_hand, found.reserved


async def book(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """The sandbox's own book: the charges of each order."""
    cluster = shop.clients.cluster
    headers = {"authorization": f"Bearer {cluster.home.secret('sandbox_api_key')}"}
    charges: dict[str, list[dict[str, Any]]] = {}
    after: int | None = 0
    async with aiohttp.ClientSession(f"http://{cluster.address('sandbox')}", headers=headers) as http:
        while after is not None:
            async with http.get("/v1/book", params={"after": after}) as answer:
                page = await answer.json()
            for charge in page["charges"]:
                charges.setdefault(charge["reference"], []).append(charge)
            after = page["next_after"]
    return charges


async def ours(shop: Shop) -> dict[str, dict[str, Any]]:
    """Our own books: the payment of each order of the shop."""
    rows = await shop.clients.rows("SELECT * FROM payment.payments WHERE store_id = $1", shop.store_id)
    return {str(row["order_id"]): dict(row) for row in rows}


async def audit(crowd: Crowd, on_hand: int) -> None:
    """Check the promises: acknowledged orders exist, books agree, nobody paid twice, stock adds up, watches gapless."""
    shop = crowd.shop
    await everything_ready(shop.clients.cluster)
    for checkout in crowd.checkouts:
        sequences = [sequence for sequence, _ in checkout.seen]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences))), checkout.seen
    orders = {checkout.order_id: checkout for checkout in crowd.checkouts}
    assert len(orders) == len(crowd.checkouts), "two requests became one order"
    rows = await shop.clients.rows('SELECT count(*) FROM "order".orders WHERE store_id = $1', shop.store_id)
    assert rows[0]["count"] == len(orders), "an order exists that nobody was told of"
    await _money(shop, orders)
    holding = {"CONFIRMED", "AWAITING_CUSTOMER", "PAYMENT_UNKNOWN", "RESERVED"}
    reserved = sum(1 for checkout in crowd.checkouts if checkout.state in holding)
    taken = sum(1 for checkout in crowd.checkouts if checkout.state in {"ACCEPTED", "SHIPPED", "DELIVERED"})

    async def adds_up() -> bool:
        return await stock(shop, crowd.product) == (on_hand - taken, reserved)

    try:
        await eventually(adds_up, SETTLE_SECONDS)
    except TimeoutError:
        raise AssertionError((await stock(shop, crowd.product), on_hand - taken, reserved)) from None
    await no_dead_letters(shop)


async def _money(shop: Shop, orders: dict[str, Checkout]) -> None:
    theirs, mine = await book(shop), await ours(shop)
    for order_id, checkout in orders.items():
        charges = theirs.get(order_id, [])
        taken = [charge for charge in charges if charge["authorized_minor_units"] > 0]
        assert len(taken) <= 1, f"charged twice: {charges}"
        if checkout.state in {"CONFIRMED", "ACCEPTED", "SHIPPED", "DELIVERED"}:
            (charge,) = taken
            assert charge["authorized_minor_units"] == PRICE
            assert mine[order_id]["amount_minor_units"] == PRICE
        if checkout.state in {"REJECTED", "PAYMENT_FAILED"}:
            assert not taken, f"{checkout.state}, but charged: {charges}"


async def no_dead_letters(shop: Shop) -> None:
    for definition in shop.clients.cluster.chosen:
        rows = await shop.clients.rows(f'SELECT type, reason FROM "{definition.code}".dead_letters')
        assert not rows, [dict(row) for row in rows]
