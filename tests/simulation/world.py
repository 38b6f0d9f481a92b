"""A world: two replicas of the order service, a catalog, a payment service, buyers, and everything that goes wrong.

The driver, the transitions, the reactions and the stream hub are the service's own; the database, the neighbours and
the network are in memory. Everything is drawn from one seed.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_pb2 import Order, OrderLine
from google.protobuf.message import Message

from services.order import life, queries
from services.order.clients import Unanswered
from services.order.driver import Driver
from services.order.driving_rules import Driven
from services.order.hand import Hand
from services.order.reactions import reactions
from services.order.records import Records
from services.order.transitions import Move, Transitions
from services.runtime.hub import Hub
from services.runtime.refusals import Refusal
from services.runtime.service import Runtime
from tests.simulation import database, neighbours
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Faults, Network, Outbox

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PRICE = 1999
BUYERS = 6
LEASE_SECONDS = 3.0
PAYMENT_WAIT = timedelta(seconds=20)
TROUBLE_SECONDS = 20.0
# When the trouble is over: leases, back-offs and expiry run out, and everybody is told.
REST_SECONDS = 90.0


class _Stock:
    def __init__(self, world: "World") -> None:
        self._world = world

    async def reserve(self, batch: Sequence[Driven]) -> Any:
        async def work() -> Any:
            return self._world.warehouse.reserve(batch)

        return await self._world.network.call(self._world.catalog, f"reserve {len(batch)}", work, 5)


class _Payments:
    def __init__(self, world: "World") -> None:
        self._world = world

    async def authorize(self, driven: Driven) -> Any:
        async def work() -> Any:
            return self._world.till.authorize(driven, self._world.now())

        return await self._world.network.call(self._world.payment, "authorize", work, 8)


class Replica:
    """One process of the order service."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.process = Process(name)
        db = world.database

        async def source(order_id: str, after: int) -> Any:
            rows = await db.rows(queries.EVENTS, order_id=order_id, after=after)
            return database.updates(rows)

        async def latest(order_ids: list[str]) -> dict[str, int]:
            rows = await db.rows(queries.LATEST, order_ids=order_ids)
            return {row["order_id"]: row["sequence"] for row in rows}

        self.hub = Hub("order", cast(Any, world.network), source, latest, heartbeat=5, recheck=1)
        self.transitions = Transitions(self.hub, lambda store_id: None)
        runtime = cast(Runtime, _Runtime(db))
        records = Records(runtime, self.transitions)
        self.hand = Hand(lease_seconds=LEASE_SECONDS, now=world.now)
        driver = Driver(
            self.hand, records, cast(Any, _Stock(world)), cast(Any, _Payments(world)), now=world.now
        )
        self.reactions = reactions(self.transitions)
        world.loop.spawn(driver.run(), self.process)
        world.loop.spawn(self.hub.run(), self.process)


@dataclass(frozen=True)
class _Runtime:
    database: database.Database

    @property
    def carry_out(self) -> Any:
        return self.database.carry_out

    @property
    def end_together(self) -> Any:
        return self.database.end_together

    def work(self, *_: str) -> Any:
        return database.Transaction(self.database)


@dataclass
class Buyer:
    """One order from its buyer's side: whether it is cancelled, and what was seen."""

    number: int
    order_id: str = ""
    seen: list[int] = field(default_factory=list)


class World:
    """Everything, from a seed."""

    def __init__(self, loop: SimulatedLoop, seed: random.Random) -> None:
        self.loop, self.seed = loop, seed
        self.network = Network(loop, seed)
        self.database = database.Database(self.network, self.now)
        self.store_id, self.customer_id, self.product_id = (self.new_id() for _ in range(3))
        self.warehouse = neighbours.Warehouse(self.store_id, self.product_id, seed.randint(1, BUYERS), PRICE)
        self.till = neighbours.Till(seed)
        self.catalog, self.payment = Process("catalog"), Process("payment")
        self.buyers = [Buyer(number) for number in range(BUYERS)]
        self.replicas = [Replica(self, f"order-{number}") for number in range(2)]
        self.processes = [self.catalog, self.payment, *(replica.process for replica in self.replicas)]
        # What was refused and has not been taken since, and why.
        self.refused: dict[tuple[str, int], str] = {}
        self._inbox: set[tuple[str, int]] = set()

    def now(self) -> datetime:
        """What the clocks show."""
        return EPOCH + timedelta(seconds=self.loop.time())

    def new_id(self) -> str:
        """A UUID of the seed's."""
        return str(uuid.UUID(int=self.seed.getrandbits(128), version=4))

    async def run(self) -> None:
        """Trouble, then rest, then the end."""
        for buyer in self.buyers:
            self.loop.spawn(self._buy(buyer))
        for relay in (self._relay_orders, self._relay_payments, self._settle_payments):
            self.loop.spawn(relay())
        trouble = self.loop.spawn(self._trouble())
        await asyncio.sleep(TROUBLE_SECONDS)
        trouble.cancel()
        self.network.faults = Faults.none()
        for number, replica in enumerate(self.replicas):
            if not replica.process.alive:
                self._restart(number)
        for neighbour in ("catalog", "payment"):
            self._start(neighbour)
        await asyncio.sleep(REST_SECONDS)

    # What goes wrong.

    async def _trouble(self) -> None:
        while True:
            await asyncio.sleep(self.seed.expovariate(1 / 2))
            victim = self.seed.choice(("order", "catalog", "payment"))
            number = self.seed.randrange(len(self.replicas))
            if victim == "order":
                # At any step from here on, not only where something happens to wait.
                await asyncio.sleep(self.seed.uniform(0, 0.05))
                self.network.note(f"order-{number} dies")
                self.replicas[number].process.die()
                await asyncio.sleep(self.seed.uniform(0, 4))
                self._restart(number)
            else:
                self.network.note(f"{victim} dies")
                getattr(self, victim).die()
                await asyncio.sleep(self.seed.uniform(0, 4))
                self._start(victim)

    def _restart(self, number: int) -> None:
        self.network.note(f"order-{number} starts")
        self.replicas[number] = Replica(self, f"order-{number}")
        self.processes.append(self.replicas[number].process)

    def _start(self, neighbour: str) -> None:
        process = Process(neighbour)
        setattr(self, neighbour, process)
        self.processes.append(process)

    # What buyers do: they do not give up.

    async def _buy(self, buyer: Buyer) -> None:
        await asyncio.sleep(self.seed.uniform(0, 5))
        request_id = self.new_id()
        buyer.order_id = await self._insist(f"create {buyer.number}", self._create, request_id)
        self.loop.spawn(self._watch(buyer))
        if self.seed.random() < 0.3:
            await asyncio.sleep(self.seed.expovariate(1 / 0.1))
            await self._insist(f"cancel {buyer.number}", self._cancel, buyer.order_id)

    async def _insist(self, what: str, act: Callable[[Replica, str], Awaitable[Any]], about: str) -> Any:
        while True:
            replica = self.seed.choice(self.replicas)
            try:
                return await self.network.call(replica.process, what, lambda: act(replica, about), 10)  # noqa: B023
            except (Unanswered, ConnectionError):
                await asyncio.sleep(self.seed.uniform(0.1, 1))
            except Refusal as refusal:
                if refusal.name != "UNAVAILABLE":
                    return None

    async def _create(self, replica: Replica, request_id: str) -> str:
        known = self.database.requests.get(request_id)
        if known is not None:
            return known
        order = self._order()
        await self.network.pause()
        if request_id in self.database.requests:  # As the key's uniqueness does.
            return self.database.requests[request_id]
        self.database.insert(order, request_id, replica.hand.due_time(order))
        await self.network.pause()
        replica.hand.take(order, None)
        return order.order_id

    def _order(self) -> Order:
        price = Money(currency_code="EUR", minor_units=PRICE)
        order = Order(
            order_id=self.new_id(),
            store_id=self.store_id,
            customer_id=self.customer_id,
            state=life.START,
            lines=[OrderLine(product_id=self.product_id, quantity=1, unit_price=price)],
            total=price,
            sequence=1,
        )
        order.create_time.FromDatetime(self.now())
        order.expire_time.FromDatetime(self.now() + PAYMENT_WAIT)
        return order

    async def _cancel(self, replica: Replica, order_id: str) -> None:
        async def body(work: database.Transaction) -> None:
            (order,) = queries.orders_of(await work.rows(queries.ORDERS_LOCKED, order_ids=[order_id]))
            state = life.step("cancel", order.state)
            assert state is not None
            await replica.transitions.record(cast(Any, work), [Move(order, "cancel", state, "client", None)])

        await self.database.carry_out(body)

    async def _watch(self, buyer: Buyer) -> None:
        """Follow an order through whichever replica lives, resuming where a stream broke."""
        while True:
            replica = self.seed.choice(self.replicas)
            over: asyncio.Future[bool] = self.loop.create_future()
            broken = _resolve(over, False)
            replica.process.on_death.append(broken)
            self.loop.spawn(self._stream(buyer, replica, over), replica.process)
            if not replica.process.alive:
                broken()
            if await over:
                return
            await asyncio.sleep(self.seed.uniform(0.05, 0.5))

    async def _stream(self, buyer: Buyer, replica: Replica, over: asyncio.Future[bool]) -> None:
        try:
            async for update in replica.hub.follow(buyer.order_id, buyer.seen[-1] if buyer.seen else 0):
                await self.network.pause()
                if over.done():
                    return
                if update is not None:
                    buyer.seen.append(update.sequence)
            _resolve(over, True)()
        except Refusal:
            _resolve(over, False)()

    # How events get about: each at least once, in any order, often twice.

    async def _relay_orders(self) -> None:
        await self._relay(self.database.outbox)

    async def _relay_payments(self) -> None:
        await self._relay(self.till.outbox)

    async def _relay(self, outbox: Outbox) -> None:
        sent = 0
        while True:
            while sent < len(outbox):
                for _ in range(1 + self.network.chance(self.network.faults.repeated)):
                    self.loop.spawn(self._deliver(outbox[sent]))
                sent += 1
            outbox.more.clear()
            await outbox.more.wait()
            await asyncio.sleep(self.seed.uniform(0, 0.1))

    async def _deliver(self, event: Message) -> None:
        if neighbours.heard_by_catalog(event):
            self.loop.spawn(self._until_taken("catalog", event, lambda _: self.catalog, self._catalog_reacts))
        if neighbours.heard_by_payment(event):
            self.loop.spawn(self._until_taken("payment", event, lambda _: self.payment, self._payment_reacts))
        if neighbours.heard_by_order(event):
            self.loop.spawn(
                self._until_taken("order", event, lambda replica: replica.process, self._order_reacts)
            )

    async def _until_taken(
        self,
        who: str,
        event: Message,
        process: Callable[[Replica], Process],
        react: Callable[[Replica, Message], Awaitable[None]],
    ) -> None:
        while True:
            replica = self.seed.choice(self.replicas)
            what = f"{who} hears {type(event).__name__}"
            try:
                await self.network.call(process(replica), what, lambda: react(replica, event), 10)  # noqa: B023
                self.refused.pop((who, id(event)), None)
                return
            except (Unanswered, ConnectionError):
                pass
            except Exception as error:
                self.refused[who, id(event)] = f"{what}: {error!r}"
            await asyncio.sleep(self.seed.uniform(0.1, 1))

    async def _catalog_reacts(self, _: Replica, event: Message) -> None:
        if ("catalog", id(event)) not in self._inbox:
            self._inbox.add(("catalog", id(event)))
            self.warehouse.react(event)

    async def _payment_reacts(self, _: Replica, event: Message) -> None:
        if ("payment", id(event)) not in self._inbox:
            self._inbox.add(("payment", id(event)))
            self.till.react(event, self.now())

    async def _order_reacts(self, replica: Replica, event: Message) -> None:
        if ("order", id(event)) in self.database.inbox:
            return

        async def body(work: database.Transaction) -> None:
            await replica.reactions[type(event)](event, cast(Any, work))

        await self.database.carry_out(body)
        self.database.inbox.add(("order", id(event)))

    async def _settle_payments(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.till.settle(self.now())


def _resolve(future: asyncio.Future[bool], value: bool) -> Callable[[], None]:
    def resolve() -> None:
        if not future.done():
            future.set_result(value)

    return resolve
