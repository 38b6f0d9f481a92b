"""The driver: it carries recorded orders from PENDING to where only a person or an event can move them on.

An order that was just placed is driven at once, from memory. One whose driver died, or whose step failed, becomes due
again in the database and is taken by whichever replica looks first. Both are this same code; each call is keyed by the
order, so driving it twice is driving it once.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime

from commerce.catalog.v1.catalog_pb2 import ReservationState
from commerce.catalog.v1.stock_service_pb2 import ReservationResult
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import Order
from commerce.payment.v1.payment_pb2 import Payment

from services.order import driving_rules, rules
from services.order.clients import Payments, Stock, Unanswered
from services.order.driving_rules import Driven, PutBack
from services.order.hand import Hand, Queue
from services.order.records import Records
from services.order.transitions import Move
from services.runtime import logs, times
from services.runtime.bell import Bell
from services.runtime.callers import Caller
from services.runtime.places import Places, Turns
from services.runtime.refusals import Refusal
from services.runtime.telemetry import Trace

ACTOR = "SERVICE order"
BATCH = 100
IN_HAND = 2_000  # Orders that one process drives at once; more wait in the database.
AUTHORIZING = 64
LEASE_SECONDS = 10.0
SWEEP_SECONDS = 0.5
# A store alone may have three quarters of them, a second of work or so: who is let in waits no longer, and who is not
# is told at once (make bench ARGS=curve).
UNDRIVEN = 536
# Nobody buys more at once, and whoever tries leaves the store's places to its other customers.
UNDRIVEN_OF_CUSTOMER = 16
BEHIND_SECONDS = 5.0


class Driver:
    """Drives orders. `take` hands it one that was just placed."""

    def __init__(
        self,
        records: Records,
        stock: Stock,
        payments: Payments,
        *,
        lease_seconds: float = LEASE_SECONDS,
        undriven_orders: int = UNDRIVEN,
        undriven_of_customer: int = UNDRIVEN_OF_CUSTOMER,
        now: Callable[[], datetime] = times.now,
    ) -> None:
        self._records, self._stock, self._payments = records, stock, payments
        self._lease_seconds, self._now = lease_seconds, now
        self._undriven, self._undriven_of_customer = Places(undriven_orders), undriven_of_customer
        # What waits to be asked for: units, money.
        self._placed, self._unpaid = Queue(), Queue()
        self._moves: deque[tuple[Driven, Move]] = deque()
        self._hand = Hand()
        self._in_hand = Places(IN_HAND)
        # Each store's orders that are to be reserved or paid and are in the database only, as far as is known here.
        self._waiting: Counter[str] = Counter()
        self._work, self._record, self._look = Bell(), Bell(), Bell()
        self._authorizing = Turns(AUTHORIZING)
        self._tasks: set[asyncio.Task[None]] = set()

    def admit(self, caller: Caller, store_id: str) -> None:
        """Refuse a new order with OVERLOADED while too many of its store are under way. CreateOrder's gate."""
        if caller.customer_id and self._hand.of_customer[caller.customer_id] >= self._undriven_of_customer:
            raise _overloaded("Too many of your orders are under way")
        self._undriven.taken = len(self._hand) + self._waiting.total()
        held = self._hand.of_store[store_id] + self._waiting[store_id]
        if not self._undriven.has_room(held) or self._is_behind(store_id):
            raise _overloaded("Too many orders are under way")

    def _is_behind(self, store_id: str) -> bool:
        """Tell whether a store's orders wait for long until the catalog or the payment service is even asked."""
        since = asyncio.get_running_loop().time() - BEHIND_SECONDS
        return any(queue.since(store_id) < since for queue in (self._placed, self._unpaid))

    def due_time(self, order: Order) -> datetime:
        """When an order that is taken in hand now is due again, should this process die."""
        return driving_rules.due(order, self._now(), self._lease_seconds)

    def take(self, order: Order, trace: Trace | None) -> None:
        """Drive an order that was just placed; past a bound it waits in the database."""
        if order.order_id in self._hand:
            return  # Its commit was told so late that the sweep has found it: twice in hand it would move twice.
        self._in_hand.taken = len(self._hand)
        if self._in_hand.has_room(self._hand.of_store[order.store_id]):
            driven = Driven(order, trace)
            self._hand.take(driven)
            self._queue(driven, self._placed)
            self._work.ring()
        else:
            self._waiting[order.store_id] += 1

    def _queue(self, driven: Driven, queue: Queue) -> None:
        driven.since = asyncio.get_running_loop().time()
        queue.append(driven)

    def wake(self) -> None:
        """Look at once for orders that are due."""
        self._look.ring()

    async def run(self) -> None:
        """Drive until cancelled, then let go of what is in hand: another process need not wait for the leases."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reserve_all())
                group.create_task(self._record_all())
                group.create_task(self._sweep())
        finally:
            for task in self._tasks:
                task.cancel()
            now = self._now()
            await self._let_go([driving_rules.left(each, now) for each in self._hand])

    # Sweep: what is due and in nobody's hand, and what is in ours for too long.

    async def _sweep(self) -> None:
        while True:
            try:
                self._expire_in_hand()
                taken = await self._take_due()
                if taken or self._waiting:
                    waiting = await self._records.waiting(self._undriven.most + len(self._hand))
                    self._waiting = waiting - self._hand.of_store
            except Refusal as refusal:
                logs.log.warning("orders wait", reason=refusal.name)
            except Exception as error:
                logs.log.error("orders not taken", exc_info=error)
            await self._look.wait(SWEEP_SECONDS * random.uniform(0.8, 1.2))

    def _expire_in_hand(self) -> None:
        """Let orders expire that somebody else is asked for, or that wait for it, past their time."""
        now = self._now()
        for driven in self._hand:
            if driving_rules.expired(driven.order, now):
                self._move(driven, "expire", reason=driving_rules.OVERDUE)

    async def _take_due(self) -> bool:
        """Take orders that are due: nobody holds them, or whoever did has died. Our own stay ours for another lease."""
        taken = False
        while len(self._hand) < IN_HAND:
            due = await self._records.due(BATCH, self._lease_seconds)
            for driven in due:
                if driven.order.order_id not in self._hand:
                    taken = True
                    self._hand.take(driven)
                    self._go_on(driven)
            if len(due) < BATCH:
                break
        return taken

    def _go_on(self, driven: Driven) -> None:
        """Do what an order needs next, or let it out of hand."""
        if driving_rules.expired(driven.order, self._now()):
            self._move(driven, "expire", reason=driving_rules.OVERDUE)
        elif driven.fault:
            self._start(self._failed([driven], driven.fault))
        elif driven.order.state == rules.PENDING:
            self._queue(driven, self._placed)
            self._work.ring()
        elif driven.order.state in rules.UNPAID:
            self._queue(driven, self._unpaid)
            self._start(self._authorize(driven))
        else:
            # Nobody should have asked for it.
            self._start(self._let_go([PutBack(driven, None, 0)]))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drop(self, driven: Driven) -> None:
        self._hand.drop(driven)

    def _idle(self, driven: Driven) -> bool:
        """Tell whether an order is still ours and does not move yet: while others were asked it may have expired."""
        return self._hand.holds(driven) and not driven.moving

    # Reserve: one call for as many orders as are waiting.

    async def _reserve_all(self) -> None:
        while True:
            await self._work.wait(60)
            while self._placed:
                if batch := [each for each in self._placed.take(BATCH) if self._idle(each)]:
                    await self._reserve(batch)

    async def _reserve(self, batch: Sequence[Driven]) -> None:
        """Reserve for many orders. A batch that is refused as a whole is halved until who is at fault is alone."""
        try:
            results = await self._stock.reserve(batch)
            for driven, result in zip(batch, results, strict=True):
                self._reserved(driven, result)
        except Exception as error:
            if len(batch) == 1 or driving_rules.is_away(words(error)):
                await self._failed(batch, words(error), error)
                return
            middle = len(batch) // 2
            await self._reserve(batch[:middle])
            await self._reserve(batch[middle:])

    def _reserved(self, driven: Driven, result: ReservationResult) -> None:
        if result.state in (
            ReservationState.RESERVATION_STATE_HELD,
            ReservationState.RESERVATION_STATE_COMMITTED,
        ):
            self._move(driven, "reserve", due_time=self.due_time(driven.order))
        else:
            reason = ErrorReason.Name(result.reason).removeprefix("ERROR_REASON_")
            self._move(driven, "reject", reason=f"{reason} {result.product_id}".strip())

    # Authorize: one call an order, many at once, the stores by turns: a slow provider holds up its own orders only, and
    # a store whose payments are slow its own.

    async def _authorize(self, driven: Driven) -> None:
        async with self._authorizing.turn(driven.order.store_id):
            self._unpaid.remove(driven)
            if not self._idle(driven):
                return
            try:
                payment = await self._payments.authorize(driven)
                if self._idle(driven):
                    await self._authorized(driven, payment)
            except Exception as error:
                if driven.order.state == rules.RESERVED and driving_rules.is_hopeless(words(error)):
                    self._move(driven, "decline", reason=words(error).partition(":")[0])
                else:
                    await self._failed([driven], words(error), error)

    async def _authorized(self, driven: Driven, payment: Payment) -> None:
        step = driving_rules.news(rules.payment_step(payment.state), driven.order, self._now())
        if rules.step(step, driven.order.state) is None:
            await self._let_go([driving_rules.unsettled(driven, self._now())])
            return
        waits = step in ("lose", "challenge")
        self._move(
            driven,
            step,
            reason=driving_rules.reason(step, payment),
            payment_id=payment.payment_id,
            next_action_url=payment.next_action_url,
            payment_expire_time=driving_rules.promised_until(step, payment),
            due_time=driving_rules.due(driven.order, self._now(), driving_rules.recheck_seconds(0))
            if waits
            else None,
        )

    # Record: whatever has come in since the last commit goes into the next.

    def _move(
        self,
        driven: Driven,
        step: str,
        *,
        reason: str = "",
        payment_id: str = "",
        next_action_url: str = "",
        due_time: datetime | None = None,
        payment_expire_time: datetime | None = None,
    ) -> None:
        if not self._idle(driven):
            return
        state = rules.step(step, driven.order.state)
        assert state is not None
        move = Move(
            driven.order,
            step,
            state,
            ACTOR,
            driven.trace,
            reason=reason[:200],
            payment_id=payment_id,
            next_action_url=next_action_url,
            due_time=due_time,
            payment_expire_time=payment_expire_time,
        )
        driven.moving = True
        self._moves.append((driven, move))
        self._record.ring()

    async def _record_all(self) -> None:
        while True:
            await self._record.wait(60)
            while self._moves:
                batch = [self._moves.popleft() for _ in range(min(BATCH, len(self._moves)))]
                await self._settle(batch)

    async def _settle(self, batch: Sequence[tuple[Driven, Move]]) -> None:
        """Record moves and go on with what they lead to. One that cannot be recorded does not stop the others."""
        error = None
        try:
            held = await self._records.record([move for _, move in batch])
        except Exception as raised:
            if len(batch) > 1:
                for each in batch:
                    self._start(self._settle([each]))
                return
            error, held = raised, set()
        missed = []
        for driven, move in batch:
            if move.order.order_id in held:
                driven.moving, driven.attempts, driven.last_error = False, 0, ""
                self._onward(driven)
            else:
                missed.append((driven, move))
        if missed:
            await self._reread(missed, error)

    def _onward(self, driven: Driven) -> None:
        if driven.order.state in driving_rules.AT_ONCE:
            self._go_on(driven)
        else:
            self._drop(driven)

    async def _reread(self, missed: Sequence[tuple[Driven, Move]], error: Exception | None) -> None:
        """Go on with orders that somebody else has moved, as they are now; one that could not be moved is put back."""
        for driven, _ in missed:
            self._drop(driven)
        try:
            found = await self._records.reread([driven.order.order_id for driven, _ in missed])
        except Exception as failure:
            logs.log.warning("orders not read again", reason=words(failure))
            return  # They are due when their lease ends.
        moves = {move.order.order_id: move for _, move in missed}
        for driven in found:
            move = moves[driven.order.order_id]
            self._hand.take(driven)
            if error is not None and driven.order.sequence < move.sequence:
                await self._failed([driven], words(error), error, last=move.step == "expire")
            else:
                self._onward(driven)

    # Put back: whatever could not be done is due again, later.

    async def _failed(
        self, batch: Sequence[Driven], words: str, error: Exception | None = None, last: bool = False
    ) -> None:
        """Put orders back whose step has failed. `last` says that it was the step that lets them expire."""
        now = self._now()
        back = [
            driving_rules.failed(each, words, now, random.random(), last)
            for each in batch
            if self._idle(each)
        ]
        if driving_rules.is_away(words):
            logs.log.warning("orders put back", reason=words, orders=len(back))
        elif back:
            logs.log.error("orders not driven", reason=words, orders=len(back), exc_info=error)
        for each in back:
            if each.parked:
                logs.log.error("order parked", order_id=each.driven.order.order_id, reason=words)
        await self._let_go(back)

    async def _let_go(self, back: Sequence[PutBack]) -> None:
        for each in back:
            self._drop(each.driven)
            self._waiting[each.driven.order.store_id] += (
                each.driven.order.state in driving_rules.AT_ONCE and not each.parked
            )
        try:
            await self._records.later(back)
        except Exception as failure:
            # They are due when their lease ends.
            logs.log.warning("orders not put back", reason=words(failure))


def _overloaded(message: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_OVERLOADED, message, retry_seconds=1)


def words(error: Exception) -> str:
    """Return what happened, its reason first."""
    return str(error) if isinstance(error, Unanswered | Refusal) else logs.describe(error)
