"""A world of payments: two replicas of the payment service, two providers, orders, and everything that goes wrong.

The handlers, the driver, the janitor, the reactions, the rules and the guards are the service's own; the database, the
providers and the network are in memory. Everything is drawn from one seed.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
from commerce.common.v1.money_pb2 import LineAmount, Money
from commerce.order.v1 import order_events_pb2 as events
from commerce.order.v1.order_pb2 import OrderReturn, Shipment
from commerce.payment.v1 import payment_service_pb2 as rpc
from commerce.payment.v1.settings_service_pb2 import PaymentSettings
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from services.order.clients import Unanswered
from services.payment.gateways.guard import Guard
from services.payment.gateways.registry import Gateways
from services.payment.payments.driver import Driver
from services.payment.payments.handlers import PaymentService
from services.payment.payments.janitor import Janitor
from services.payment.payments.reactions import reactions
from services.payment.rules.payment import (
    AT_ONCE,
    MANUAL,
    ON_ACCEPTANCE,
    ON_SHIPMENT,
    OPEN,
    UNSETTLED,
    Operation,
)
from services.runtime.callers import Caller
from services.runtime.refusals import Refusal
from services.runtime.service import Runtime
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Faults, Network
from tests.simulation.provider import ANSWER_SECONDS, Gateway, Provider
from tests.simulation.till_database import OPERATIONS, PAYMENTS, TillDatabase, Transaction
from tests.simulation.till_statements import STATEMENTS

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = 4
RUSH, TWICE = 0.3, 0.2
AMOUNT = 1000
ACTION_WAIT_SECONDS = 30
# A provider forgets no sooner: what was sent before has arrived by then.
FORGOTTEN_SECONDS = 14
TROUBLE_SECONDS = 25.0
# When the trouble is over, everything comes to rest within so long.
REST_SECONDS = 600.0
ATTEMPTS = 6
SERVICE = Caller(subject="order", role="SERVICE")
MODES = (ON_ACCEPTANCE, AT_ONCE, ON_SHIPMENT, MANUAL)
METHODS = ("hosted", "pm_left_card", "pm_right_card")


class Replica:
    """One process of the payment service."""

    def __init__(self, world: "World", name: str) -> None:
        self.process = Process(name)
        gateways = Gateways(
            _guarded(Gateway(provider, world.provider_process, world.network)) for provider in world.providers
        )
        runtime = cast(Runtime, _Runtime(world.database))
        self.driver = Driver(runtime, gateways, ANSWER_SECONDS + 1)
        self.service = PaymentService(self.driver, gateways, cast(Any, world.database), cast(Any, None))
        self.reactions = reactions(self.driver)
        world.loop.spawn(Janitor(runtime, self.driver, gateways).run(), self.process)


def _guarded(gateway: Gateway) -> Guard:
    return Guard(
        cast(Any, gateway), most=16, failures=8, rest_seconds=5.0, timeout_seconds=ANSWER_SECONDS + 1
    )


@dataclass(frozen=True)
class _Runtime:
    database: TillDatabase

    @property
    def carry_out(self) -> Any:
        return self.database.carry_out

    @property
    def commit_together(self) -> Any:
        return self.database.commit_together


@dataclass
class Order:
    """What a payment is asked for, and by whom."""

    order_id: str
    store_id: str
    customer_id: str
    payment_id: str = ""
    asked: bool = False
    requests: list[str] = field(default_factory=list)

    @property
    def reference(self) -> events.OrderReference:
        return events.OrderReference(
            order_id=self.order_id,
            store_id=self.store_id,
            customer_id=self.customer_id,
            sequence=5,
            total=money(AMOUNT),
        )


class World:
    """Everything, from a seed."""

    def __init__(self, loop: SimulatedLoop, seed: random.Random) -> None:
        self.loop, self.seed = loop, seed
        self.network = Network(loop, seed)
        self.database = TillDatabase(self.network, self.now, STATEMENTS)
        self.providers = [
            Provider(code, seed, self.now, self.network.note, self._is_sound, self._send)
            for code in ("left", "right")
        ]
        self._provider = Process("provider")
        self.replicas = [Replica(self, f"payment-{number}") for number in range(2)]
        self.processes = [self._provider, *(replica.process for replica in self.replicas)]
        self.modes = {self.new_id(): mode for mode in MODES}
        self.orders = [self._order() for _ in range(ORDERS)]
        # In some worlds all come at once, some twice, and to the same replica: what they ask for is recorded together.
        self.rush = seed.random() < RUSH
        self.wrong: list[str] = []
        self._ids = 0

    def now(self) -> datetime:
        """What the clocks show."""
        return EPOCH + timedelta(seconds=self.loop.time())

    def new_id(self) -> str:
        """A UUID of the seed's."""
        return str(uuid.UUID(int=self.seed.getrandbits(128), version=4))

    def next_id(self) -> uuid.UUID:
        """A UUID that is larger than those before, as the service's own are."""
        self._ids += 1
        return uuid.UUID(int=self._ids << 64 | self.seed.getrandbits(64))

    async def settings(self, _: Any, store_id: str) -> PaymentSettings:
        """How a store takes money."""
        wait = Duration(seconds=ACTION_WAIT_SECONDS)
        return PaymentSettings(capture_mode=self.modes[store_id], action_wait=wait)

    def provider_process(self) -> Process:
        """Where the providers run now."""
        return self._provider

    async def run(self) -> None:
        """Trouble, then rest until everything is settled, then the end."""
        for order in self.orders:
            self.loop.spawn(self._live(order))
        for provider in self.providers:
            self.loop.spawn(self._pass_time(provider))
        self.loop.spawn(self._forget())
        trouble = self.loop.spawn(self._trouble())
        await asyncio.sleep(TROUBLE_SECONDS)
        trouble.cancel()
        self.network.faults = Faults.none()
        for provider in self.providers:
            provider.calm = True
        for number, replica in enumerate(self.replicas):
            if not replica.process.alive:
                self._restart(number)
        self._start_provider()
        rested = 0.0
        while rested < REST_SECONDS and not self.settled():
            await asyncio.sleep(5)
            rested += 5
        await asyncio.sleep(45)  # What is still on its way arrives, and changes nothing.

    def settled(self) -> bool:
        """Whether everybody has asked, and nothing is open, nor waits, nor is held."""
        operations = self.database.table(OPERATIONS).values()
        payments = self.database.table(PAYMENTS).values()
        return all(order.asked for order in self.orders) and not (
            any(row["state"] in UNSETTLED for row in operations)
            or any(row["expire_time"] for row in payments)
            or any(dispute.status == 1 for each in self.providers for dispute in each.disputes.values())
        )

    def _is_sound(self, operation: Operation) -> None:
        """Look when a provider is about to do something for the first time."""
        row = self.database.table(OPERATIONS).get(operation.operation_id)
        if row is None:
            self.wrong.append(f"{operation.kind} asked before it was recorded")
            return
        others = [
            other
            for other in self.database.table(OPERATIONS).values()
            if other["payment_id"] == row["payment_id"] and other["state"] in OPEN
            if other["operation_id"] != operation.operation_id and not _answered(other, self.database)
        ]
        self.wrong += [f"{operation.kind} while {other['kind']} is unknown" for other in others]

    # What goes wrong.

    async def _trouble(self) -> None:
        while True:
            await asyncio.sleep(self.seed.expovariate(1 / 2))
            number = self.seed.randrange(len(self.replicas) + 1)
            await asyncio.sleep(self.seed.uniform(0, 0.05))
            if number == len(self.replicas):
                self.network.note("the provider dies")
                self._provider.die()
                await asyncio.sleep(self.seed.uniform(0, 4))
                self._start_provider()
            else:
                self.network.note(f"payment-{number} dies")
                self.replicas[number].process.die()
                await asyncio.sleep(self.seed.uniform(0, 4))
                self._restart(number)

    def _restart(self, number: int) -> None:
        self.network.note(f"payment-{number} starts")
        self.replicas[number] = Replica(self, f"payment-{number}")
        self.processes.append(self.replicas[number].process)

    def _start_provider(self) -> None:
        self._provider = Process("provider")
        self.processes.append(self._provider)

    async def _pass_time(self, provider: Provider) -> None:
        while True:
            await asyncio.sleep(1)
            provider.pass_time()

    async def _forget(self) -> None:
        """Have providers forget what they have answered before."""
        while True:
            await asyncio.sleep(2)
            for operation in self.database.table(OPERATIONS).values():
                payment = self.database.table(PAYMENTS)[operation["payment_id"]]
                since = (self.now() - payment["update_time"]).total_seconds()
                waits = operation["state"] in OPEN and _answered(operation, self.database)
                if waits and since > FORGOTTEN_SECONDS and self.network.chance(0.2):
                    for provider in self.providers:
                        provider.forget(operation["operation_id"])

    # An order's life: what it asks for, in whatever order that comes.

    def _order(self) -> Order:
        return Order(self.new_id(), self.seed.choice(list(self.modes)), self.new_id())

    async def _live(self, order: Order) -> None:
        acts = [self._accept, self._ship, self._capture, self._refund, self._void, self._return]
        acts += [self._ship, self._capture, self._refund, self._cancel, self._confirm]
        await asyncio.sleep(0 if self.rush else self.seed.uniform(0, 4))
        for act in self.seed.choices(acts, k=self.seed.randint(1, 5)):
            self.loop.spawn(self._act(act, order, self.seed.uniform(0, 15)))
        request = rpc.AuthorizePaymentRequest(
            order_id=order.order_id,
            store_id=order.store_id,
            customer_id=order.customer_id,
            amount=money(AMOUNT),
            payment_method=self.seed.choice(METHODS),
            request_id=self.new_id(),
        )
        if self.rush and self.seed.random() < TWICE:
            again = rpc.AuthorizePaymentRequest()
            again.CopyFrom(request)
            again.request_id = self.new_id()
            self.loop.spawn(self._insist("AuthorizePayment", again))
        reply = await self._insist("AuthorizePayment", request)
        order.asked = True
        if reply is not None:
            order.payment_id = reply.payment.payment_id

    async def _act(self, act: Callable[[Order], Awaitable[Any]], order: Order, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if order.payment_id or act in (self._cancel, self._accept):
            await act(order)

    async def _accept(self, order: Order) -> None:
        await self._tell(events.OrderAccepted(order=order.reference))

    async def _ship(self, order: Order) -> None:
        parcel = Shipment(shipment_id=self.new_id())
        amounts = [LineAmount(amount=money(self._part()))]
        order.requests.append(parcel.shipment_id)
        await self._tell(events.OrderShipped(order=order.reference, shipment=parcel, amounts=amounts))

    async def _return(self, order: Order) -> None:
        returned = OrderReturn(return_id=self.new_id(), refund=money(self._part()))
        order.requests.append(returned.return_id)
        await self._tell(events.OrderReturned(order=order.reference, returned=returned))

    async def _cancel(self, order: Order) -> None:
        await self._tell(events.OrderCancelled(order=order.reference, reason="changed my mind"))

    async def _capture(self, order: Order) -> None:
        final = self.seed.random() < 0.3
        await self._operate("Capture", order, amount=self._some(), final=final)

    async def _refund(self, order: Order) -> None:
        await self._operate("Refund", order, amount=self._some())

    async def _void(self, order: Order) -> None:
        await self._operate("Void", order)

    async def _confirm(self, order: Order) -> None:
        await self._insist("ConfirmPayment", rpc.ConfirmPaymentRequest(payment_id=order.payment_id))

    async def _operate(self, verb: str, order: Order, **given: Any) -> None:
        request_id = self.new_id()
        order.requests.append(request_id)
        request = getattr(rpc, f"{verb}PaymentRequest")(
            payment_id=order.payment_id, request_id=request_id, **given
        )
        await self._insist(f"{verb}Payment", request)

    def _part(self) -> int:
        return self.seed.choice((AMOUNT, AMOUNT // 2, AMOUNT // 3, 1))

    def _some(self) -> Money | None:
        return None if self.seed.random() < 0.4 else money(self._part())

    # How calls, events and webhooks get about: again until they are taken.

    async def _insist(self, name: str, request: Any) -> Any:
        while True:
            replica = self.replicas[0] if self.rush else self.seed.choice(self.replicas)
            try:
                return await self._ask(replica, name, lambda one: self._answer(one, name, request))
            except (Unanswered, OSError):
                await asyncio.sleep(self.seed.uniform(0.1, 2))
            except Refusal as refusal:
                if refusal.name != "UNAVAILABLE":
                    return None

    async def _ask(self, replica: Replica, what: str, act: Callable[[Replica], Awaitable[Any]]) -> Any:
        return await self.network.call(replica.process, what, lambda: act(replica), 15)

    async def _answer(self, replica: Replica, name: str, request: Any) -> Any:
        """As the runtime does: the first reply is recorded with the effect, and is the answer to a repetition."""
        keyed = "request_id" in request.DESCRIPTOR.fields_by_name
        call = Transaction(self.database, SERVICE, request.request_id if keyed else "")
        try:
            reply = await getattr(replica.service, name)(request, call)
            await call.close(reply)
        except (Refusal, asyncpg.IntegrityConstraintViolationError) as error:
            await call.roll_back(error)
            first = self.database.table("replies").get(request.request_id) if keyed else None
            if first is None:
                raise
            return first["reply"]
        finally:
            call.end()
        return reply

    async def _tell(self, event: Message) -> None:
        event_id = self.new_id()
        for _ in range(1 + self.network.chance(0.2)):
            self.loop.spawn(self._until_taken(event, event_id))

    async def _until_taken(self, event: Message, event_id: str) -> None:
        attempts = 0
        while attempts < ATTEMPTS:
            replica = self.seed.choice(self.replicas)
            what = f"hears {type(event).__name__}"
            try:
                await self._ask(replica, what, lambda one: self._react(one, event, event_id))
                return
            except (Unanswered, OSError):
                pass
            except Refusal as refusal:
                attempts += refusal.name != "UNAVAILABLE"
            await asyncio.sleep(self.seed.uniform(0.1, 3))

    async def _react(self, replica: Replica, event: Message, event_id: str) -> None:
        async def body(work: Transaction) -> None:
            if not await work.get("inbox", event_id, lock=True):
                work.put("inbox", event_id, {"event_id": event_id})
                await replica.reactions[type(event)](event, cast(Any, work))

        await self.database.carry_out(body)

    def _send(self, gateway: str, number: int) -> None:
        request = rpc.IngestWebhookRequest(gateway=gateway, payload=HttpBody(data=str(number).encode()))
        for _ in range(1 + self.network.chance(0.2)):
            self.loop.spawn(self._webhook(request))

    async def _webhook(self, request: rpc.IngestWebhookRequest) -> None:
        late = self.seed.random() < 0.1
        await asyncio.sleep(self.seed.uniform(10, 40) if late else self.seed.expovariate(2))
        await self._insist("IngestWebhook", request)


def money(minor_units: int) -> Money:
    """So many euro cents."""
    return Money(currency_code="EUR", minor_units=minor_units)


def _answered(operation: dict[str, Any], database: TillDatabase) -> bool:
    """Whether an open operation waits for the customer only."""
    payment = database.table(PAYMENTS)[operation["payment_id"]]
    return operation["kind"] == "authorize" and bool(payment["provider_reference"])
