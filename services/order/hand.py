"""The orders that this process drives: what it holds, who waits for whom, and whether there is room for more.

CreateOrder asks here whether an order may come, and hands it over when it is on record; the driver carries it on.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import Order

from services.order import life, rules
from services.order.driving_rules import AT_ONCE, Driven, PutBack
from services.runtime import times
from services.runtime.bell import Bell
from services.runtime.callers import Caller
from services.runtime.places import Places
from services.runtime.refusals import Refusal
from services.runtime.telemetry import Trace

IN_HAND = 2_000  # Orders that one process drives at once; more wait in the database.
LEASE_SECONDS = 10.0
# A store alone may have three quarters of them, a second of work or so: who is let in waits no longer, and who is not
# is told at once (make bench ARGS=curve).
UNDRIVEN = 536
# Nobody buys more at once, and whoever tries leaves the store's places to its other customers.
UNDRIVEN_OF_CUSTOMER = 16
BEHIND_SECONDS = 5.0


class Queue:
    """Orders that wait: the stores are served by turns, each one's orders as they came."""

    def __init__(self) -> None:
        self._of_store: dict[str, deque[Driven]] = {}

    def __bool__(self) -> bool:
        return bool(self._of_store)

    def append(self, driven: Driven) -> None:
        """Have an order wait behind its store's others."""
        self._of_store.setdefault(driven.order.store_id, deque()).append(driven)

    def remove(self, driven: Driven) -> None:
        """Take out an order that waits."""
        store = driven.order.store_id
        waiting = self._of_store[store]
        waiting.remove(driven)
        if not waiting:
            del self._of_store[store]

    def take(self, most: int) -> list[Driven]:
        """Take out up to so many orders, one of each store after the other."""
        taken: list[Driven] = []
        while self._of_store and len(taken) < most:
            store = next(iter(self._of_store))
            waiting = self._of_store.pop(store)
            taken.append(waiting.popleft())
            if waiting:
                self._of_store[store] = waiting
        return taken

    def since(self, store_id: str) -> float:
        """Return since when the store's first order waits, by the loop's clock."""
        waiting = self._of_store.get(store_id)
        return waiting[0].since if waiting else float("inf")


class Hand:
    """The orders that a process drives, and how many of them are whose. `take` hands it one that was just placed."""

    def __init__(
        self,
        *,
        lease_seconds: float = LEASE_SECONDS,
        undriven_orders: int = UNDRIVEN,
        undriven_of_customer: int = UNDRIVEN_OF_CUSTOMER,
        now: Callable[[], datetime] = times.now,
    ) -> None:
        self.lease_seconds, self._now = lease_seconds, now
        # How many may be on their way to be paid, in hand or not.
        self.undriven, self._undriven_of_customer = Places(undriven_orders), undriven_of_customer
        self._places = Places(IN_HAND)
        self._orders: dict[str, Driven] = {}
        self._of_store: Counter[str] = Counter()
        self._of_customer: Counter[str] = Counter()
        # What waits to be asked for: units, money.
        self.placed, self.unpaid = Queue(), Queue()
        # Rings when an order waits for its units.
        self.work = Bell()
        # Each store's orders that are to be reserved or paid and are in the database only, as far as is known here.
        self.waiting: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Driven]:
        return iter(tuple(self._orders.values()))

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._orders

    def admit(self, caller: Caller, store_id: str) -> None:
        """Refuse a new order with OVERLOADED while too many of its store are under way. CreateOrder's gate."""
        if caller.customer_id and self._of_customer[caller.customer_id] >= self._undriven_of_customer:
            raise _overloaded("Too many of your orders are under way")
        self.undriven.taken = len(self) + self.waiting.total()
        held = self._of_store[store_id] + self.waiting[store_id]
        if not self.undriven.has_room(held) or self._is_behind(store_id):
            raise _overloaded("Too many orders are under way")

    def _is_behind(self, store_id: str) -> bool:
        """Tell whether a store's orders wait for long until the catalog or the payment service is even asked."""
        since = asyncio.get_running_loop().time() - BEHIND_SECONDS
        return any(queue.since(store_id) < since for queue in (self.placed, self.unpaid))

    def due_time(self, order: Order) -> datetime:
        """When an order that is taken in hand now is due again, should this process die."""
        return rules.due(order, self._now(), self.lease_seconds)

    def take(self, order: Order, trace: Trace | None) -> None:
        """Drive an order that was just placed; past a bound it waits in the database."""
        if order.order_id in self:
            return  # Its commit was told so late that the sweep has found it: twice in hand it would move twice.
        self._places.taken = len(self)
        if self._places.has_room(self._of_store[order.store_id]):
            driven = Driven(order, trace)
            self.hold(driven)
            self.queue(driven)
        else:
            self.waiting[order.store_id] += 1

    def hold(self, driven: Driven) -> None:
        """Take an order that is not in hand."""
        self._orders[driven.order.order_id] = driven
        self._of_store[driven.order.store_id] += 1
        self._of_customer[driven.order.customer_id] += 1

    def queue(self, driven: Driven) -> None:
        """Have an order in hand wait for somebody to be asked: for its units while it is PENDING, for money after."""
        driven.since = asyncio.get_running_loop().time()
        if driven.order.state == life.PENDING:
            self.placed.append(driven)
            self.work.ring()
        else:
            self.unpaid.append(driven)

    def is_idle(self, driven: Driven) -> bool:
        """Tell whether an order is still ours and does not move yet: while others were asked it may have expired."""
        return self._holds(driven) and not driven.moving

    def _holds(self, driven: Driven) -> bool:
        """Tell whether this very order is in hand: it may have been let go, and taken again since."""
        return self._orders.get(driven.order.order_id) is driven

    def drop(self, driven: Driven) -> None:
        """Let an order go, if it is in hand."""
        if not self._holds(driven):
            return
        del self._orders[driven.order.order_id]
        for count, key in (
            (self._of_store, driven.order.store_id),
            (self._of_customer, driven.order.customer_id),
        ):
            count[key] -= 1
            if not count[key]:
                del count[key]

    def put_back(self, back: PutBack) -> None:
        """Let an order go that the database has again."""
        self.drop(back.driven)
        order = back.driven.order
        self.waiting[order.store_id] += order.state in AT_ONCE and not back.parked

    def count_waiting(self, to_be_driven: Counter[str]) -> None:
        """Hear how many orders of each store are to be driven, in whoever's hand: ours do not wait."""
        self.waiting = to_be_driven - self._of_store


def _overloaded(message: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_OVERLOADED, message, retry_seconds=1)
