"""Buyers: they keep some orders open, and learn of each outcome from the live updates that replicas tell each other.

That costs the cluster nothing: the hub announces every transition on NATS whether anybody listens or not.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import nats
from commerce.order.v1.order_pb2 import OrderState, OrderUpdate
from commerce.order.v1.order_service_pb2 import CreateOrderLine, CreateOrderRequest, CreateOrderResponse
from nats.aio.msg import Msg

from tests.bench.replay import Answer, Connection, head, keep_calling
from tests.shop import Shop

CREATE = "commerce.order.v1.OrderService/CreateOrder"
PRODUCTS = 100
CUSTOMERS = 1_000
STOCK = 1_000_000_000 // 2
OPEN = {OrderState.ORDER_STATE_PENDING, OrderState.ORDER_STATE_RESERVED}
_HINT_BYTES = 9  # What the hub puts before the message.
_MARK = b"00000000-0000-0000-0000-000000000000"


@dataclass
class Buyers:
    """A connection to the order service with orders ready to be placed: one a customer, of two products each."""

    connection: Connection
    headers: bytes
    orders: list[bytes]

    @classmethod
    async def of(cls, shop: Shop, address: str, products: list[str], customers: list[str]) -> "Buyers":
        """Buyers of a shop, at an address of the order service."""
        orders = []
        for customer in customers:
            lines = [CreateOrderLine(product_id=each, quantity=1) for each in random.sample(products, 2)]
            request = CreateOrderRequest(
                store_id=shop.store_id,
                customer_id=customer,
                lines=lines,
                payment_method="pm_sandbox_ok",
                request_id=_MARK.decode(),
            )
            orders.append(request.SerializeToString())
        connection = await Connection.to(address)
        return cls(connection, head(address, CREATE, shop.token or ""), orders)

    def order(self) -> bytes:
        """One of the orders with a request_id of its own."""
        return random.choice(self.orders).replace(_MARK, str(uuid.uuid4()).encode())

    def place(self, answer: Answer) -> None:
        """Place an order."""
        self.connection.call(self.headers, self.order(), answer)

    async def keep_placing(self, at_once: int, seconds: float) -> float:
        """Keep so many calls of CreateOrder on their way; how many a second were answered."""
        return await keep_calling(self.connection, self.headers, self.order, at_once, seconds)


@dataclass
class Outcome:
    """What became of the orders of one run."""

    seconds: float
    confirmed: int = 0
    others: int = 0
    waits: list[float] = field(default_factory=list)  # From the call to the news, in seconds.

    @property
    def per_second(self) -> float:
        return self.confirmed / self.seconds


class News:
    """Tells of each order that is expected how it has ended, once, as `async with News(url, ended)`."""

    def __init__(self, nats_url: str, ended: Callable[[str, OrderState.ValueType], None]) -> None:
        self._url, self._ended = nats_url, ended
        self._expected: set[str] = set()
        self._early: dict[str, OrderState.ValueType] = {}  # Whose news came before their reply.

    async def __aenter__(self) -> "News":
        self._client = await nats.connect(self._url)
        await self._client.subscribe("live.order.*", cb=self._told)
        await self._client.flush()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    def expect(self, order_id: str) -> None:
        """Expect news of an order that was placed."""
        state = self._early.pop(order_id, None)
        if state is None:
            self._expected.add(order_id)
        else:
            self._ended(order_id, state)

    async def _told(self, message: Msg) -> None:
        state = OrderUpdate.FromString(message.data[_HINT_BYTES:]).state
        if state in OPEN:
            return
        order_id = message.subject.rpartition(".")[2]
        if order_id in self._expected:
            self._expected.remove(order_id)
            self._ended(order_id, state)
        else:
            self._early[order_id] = state


async def checkouts(buyers: Buyers, nats_url: str, open_orders: int, seconds: float) -> Outcome:
    """Keep so many orders open for so long; how many were confirmed in that time, and how each ended."""
    outcome = Outcome(seconds)
    placed: dict[str, float] = {}  # When each was.
    end = time.monotonic() + seconds
    over = asyncio.Event()
    left = 0

    def go() -> None:
        nonlocal left
        left += 1
        begin = time.monotonic()

        def answer(message: bytes | None) -> None:
            if message:
                order_id = CreateOrderResponse.FromString(message).order.order_id
                placed[order_id] = begin
                news.expect(order_id)

        buyers.place(answer)

    def ended(order_id: str, state: OrderState.ValueType) -> None:
        nonlocal left
        now = time.monotonic()
        wait = now - placed.pop(order_id)
        left -= 1
        if state != OrderState.ORDER_STATE_CONFIRMED:
            outcome.others += 1
        elif now < end:
            outcome.confirmed += 1
        if now < end:
            outcome.waits.append(wait)
            go()
        elif not left:
            over.set()

    async with News(nats_url, ended) as news:
        for _ in range(open_orders):
            go()
        await asyncio.wait_for(over.wait(), seconds + 20)
    buyers.connection.check()
    return outcome
