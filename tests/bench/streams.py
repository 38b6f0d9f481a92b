"""Rows of open streams: ten thousand of them in one process, and how late an update is under load."""

import asyncio
import time

import psutil
from commerce.order.v1.order_pb2 import OrderState, OrderUpdate
from commerce.order.v1.order_service_pb2 import (
    AcceptOrderRequest,
    CreateOrderResponse,
    ShipOrderRequest,
    WatchOrderRequest,
)

from tests.bench.buyers import Buyers, checkouts
from tests.bench.figures import Figure, Limit, number, quantile
from tests.bench.house import House
from tests.bench.market import market
from tests.bench.replay import Connection, head
from tests.shop import new_id

WATCH = "commerce.order.v1.OrderService/WatchOrder"
STREAMS = 10_000
CONNECTIONS = 20
OPENING = 200
PATIENCE_SECONDS = 20.0


class _Crowd:
    """Many streams on one order. `opened` and `told` count first and later messages."""

    def __init__(self) -> None:
        self.opened = self.told = 0
        self.moment = 0.0  # When the last one was told.
        self.committed = 0.0  # What the update itself says.
        self.changed = asyncio.Event()
        self._known: dict[bytes, OrderUpdate] = {}  # All streams get the same: each is read once.

    def open(self, connection: Connection, headers: bytes, request: bytes) -> None:
        """Open one more."""
        first = True

        def answer(message: bytes | None) -> None:
            nonlocal first
            if first:
                first = False
                self.opened += 1
            elif message and not (update := self._read(message)).bookmark:
                self.told += 1
                if self.told == STREAMS:
                    self.moment = time.time()
                    self.committed = update.time.ToNanoseconds() / 1e9
            self.changed.set()

        connection.call(headers, request, answer)

    def _read(self, message: bytes) -> OrderUpdate:
        update = self._known.get(message)
        if update is None:
            update = self._known[message] = OrderUpdate.FromString(message)
        return update

    async def until(self, count: str, value: int) -> None:
        """Wait until one of the counts has come to a value."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while getattr(self, count) < value:
                self.changed.clear()
                await self.changed.wait()


async def many_streams(house: House) -> list[Figure]:
    """Ten thousand WatchOrder streams on one order in one process: memory, and one update to all."""
    shop = await house.shop()
    cluster = await house.cluster()
    order_id = await shop.order(until="CONFIRMED")
    process = psutil.Process(cluster.process("order").pid)
    before = process.memory_info().rss
    address = cluster.address("order")
    headers = head(address, WATCH, shop.token or "")
    request = WatchOrderRequest(order_id=order_id).SerializeToString()
    connections = [await Connection.to(address) for _ in range(CONNECTIONS)]
    crowd = _Crowd()
    begin = time.monotonic()
    for opened in range(STREAMS):
        crowd.open(connections[opened % CONNECTIONS], headers, request)
        await crowd.until("opened", opened + 1 - OPENING)
    await crowd.until("opened", STREAMS)
    opening = time.monotonic() - begin
    await asyncio.sleep(1)
    each = (process.memory_info().rss - before) / STREAMS / 1024
    late = []
    steps = {shop.orders.AcceptOrder: AcceptOrderRequest, shop.orders.ShipOrder: ShipOrderRequest}
    for step, ask in steps.items():
        crowd.told = 0
        await step(ask(order_id=order_id, request_id=new_id()))
        await crowd.until("told", STREAMS)
        late.append((crowd.moment - crowd.committed) * 1e3)
        await asyncio.sleep(1)
    for connection in connections:
        connection.check()
        connection.close()
    await asyncio.sleep(1)
    detail = f"{STREAMS:,} streams over {CONNECTIONS} connections, opened in {opening:.1f} s; RSS"
    told = f"from the update's own time to the last stream; {' and '.join(number(each) for each in late)} ms"
    return [
        Figure("streams", "an open stream's memory", each, "KB", Limit(28, 24, at_most=True), detail),
        Figure(
            "streams", "one update to 10,000 streams", max(late), "ms", Limit(300, 200, at_most=True), told
        ),
    ]


async def latency(house: House) -> list[Figure]:
    """From the commit of a transition to its watcher, while checkouts run at half of what they can."""
    stand = await market(house)
    cluster = await house.cluster()
    address = cluster.address("order")
    buyers = await Buyers.of(stand.shop, address, stand.products, stand.customers)
    if not house.capacity:
        house.capacity = (await checkouts(buyers, cluster.nats_url, 64, 3.0)).per_second
    watching = await Connection.to(address)
    headers = head(address, WATCH, stand.shop.token or "")
    late: list[float] = []

    def watch(placed: bytes) -> None:
        order_id = CreateOrderResponse.FromString(placed).order.order_id
        request = WatchOrderRequest(order_id=order_id, after_sequence=1).SerializeToString()
        opened, stream = time.time(), 0

        def told(message: bytes | None) -> None:
            if not message:
                return
            update = OrderUpdate.FromString(message)
            committed = update.time.ToNanoseconds() / 1e9
            if committed > opened:
                late.append(time.time() - committed)
            if update.state == OrderState.ORDER_STATE_CONFIRMED:
                watching.cancel(stream)

        stream = watching.call(headers, request, told)

    rate = house.capacity / 2
    count = round(rate * 5 * house.seconds)
    begin = time.monotonic()
    for number_placed in range(count):
        await asyncio.sleep(max(0.0, begin + number_placed / rate - time.monotonic()))
        buyers.place(lambda message: watch(message) if message else None)
    await asyncio.sleep(1)
    for connection in (buyers.connection, watching):
        connection.check()
        connection.close()
    detail = (
        f"p50 {number(quantile(late, 0.5) * 1e3)} ms over {len(late):,} updates at {number(rate)} checkouts/s; "
        "from the update's own time, which is just before its commit"
    )
    p99 = quantile(late, 0.99) * 1e3
    return [
        Figure("latency", "commit to watcher, p99, half load", p99, "ms", Limit(50, 20, at_most=True), detail)
    ]
