"""The driver: it carries recorded orders from PENDING to where only a person or an event can move them on.

An order that was just placed is driven at once, from memory. One whose driver died, or whose step failed, becomes due
again in the database and is taken by whichever replica looks first. Both are this same code; each call is keyed by the
order, so driving it twice is driving it once. What it learns the recorder writes down, and hands the order back.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime

from commerce.catalog.v1.catalog_pb2 import ReservationState
from commerce.catalog.v1.stock_service_pb2 import ReservationResult
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import Payment

from services.order import driving_rules, life, rules
from services.order.clients import Payments, Stock
from services.order.driving_rules import Driven, PutBack
from services.order.hand import IN_HAND, Hand
from services.order.recorder import BATCH, Recorder, words
from services.order.records import Records
from services.runtime import logs, times
from services.runtime.bell import Bell
from services.runtime.places import Turns
from services.runtime.refusals import Refusal
from services.runtime.tasks import Tasks

AUTHORIZING = 64
SWEEP_SECONDS = 0.5


class Driver:
    """Drives the orders in hand, and takes those that are due."""

    def __init__(
        self,
        hand: Hand,
        records: Records,
        stock: Stock,
        payments: Payments,
        *,
        now: Callable[[], datetime] = times.now,
    ) -> None:
        self._hand, self._records, self._now = hand, records, now
        self._stock, self._payments = stock, payments
        self._tasks = Tasks()
        self._recorder = Recorder(hand, records, self._go_on, self._tasks, now)
        self._look = Bell()
        self._authorizing = Turns(AUTHORIZING)

    def wake(self) -> None:
        """Look at once for orders that are due."""
        self._look.ring()

    async def run(self) -> None:
        """Drive until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reserve_all())
                group.create_task(self._recorder.run())
                group.create_task(self._sweep())
        finally:
            self._tasks.cancel()
            await self._recorder.let_go_of_all()

    def _go_on(self, driven: Driven) -> None:
        """Do what an order needs next, or let it out of hand."""
        if driving_rules.expired(driven.order, self._now()):
            self._recorder.move(driven, "expire", reason=driving_rules.OVERDUE)
        elif driven.fault:
            self._tasks.start(self._recorder.failed([driven], driven.fault))
        elif driven.order.state == life.PENDING:
            self._hand.queue(driven)
        elif driven.order.state in life.UNPAID:
            self._hand.queue(driven)
            self._tasks.start(self._authorize(driven))
        else:
            # Nobody should have asked for it.
            self._tasks.start(self._recorder.let_go([PutBack(driven, None, 0)]))

    # Sweep: what is due and in nobody's hand, and what is in ours for too long.

    async def _sweep(self) -> None:
        while True:
            try:
                self._expire_in_hand()
                taken = await self._take_due()
                if taken or self._hand.waiting:
                    most = self._hand.undriven.most + len(self._hand)
                    self._hand.count_waiting(await self._records.waiting(most))
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
                self._recorder.move(driven, "expire", reason=driving_rules.OVERDUE)

    async def _take_due(self) -> bool:
        """Take orders that are due: nobody holds them, or whoever did has died. Our own stay ours for another lease."""
        taken = False
        while len(self._hand) < IN_HAND:
            due = await self._records.due(BATCH, self._hand.lease_seconds)
            for driven in due:
                if driven.order.order_id not in self._hand:
                    taken = True
                    self._hand.hold(driven)
                    self._go_on(driven)
            if len(due) < BATCH:
                break
        return taken

    # Reserve: one call for as many orders as are waiting.

    async def _reserve_all(self) -> None:
        while True:
            await self._hand.work.wait(60)
            while self._hand.placed:
                if batch := [each for each in self._hand.placed.take(BATCH) if self._hand.is_idle(each)]:
                    await self._reserve(batch)

    async def _reserve(self, batch: Sequence[Driven]) -> None:
        """Reserve for many orders. A batch that is refused as a whole is halved until who is at fault is alone."""
        try:
            results = await self._stock.reserve(batch)
            for driven, result in zip(batch, results, strict=True):
                self._reserved(driven, result)
        except Exception as error:
            if len(batch) == 1 or driving_rules.is_away(words(error)):
                await self._recorder.failed(batch, words(error), error)
                return
            middle = len(batch) // 2
            await self._reserve(batch[:middle])
            await self._reserve(batch[middle:])

    def _reserved(self, driven: Driven, result: ReservationResult) -> None:
        if result.state in (
            ReservationState.RESERVATION_STATE_HELD,
            ReservationState.RESERVATION_STATE_COMMITTED,
        ):
            self._recorder.move(driven, "reserve", due_time=self._hand.due_time(driven.order))
        else:
            reason = ErrorReason.Name(result.reason).removeprefix("ERROR_REASON_")
            self._recorder.move(driven, "reject", reason=f"{reason} {result.product_id}".strip())

    # Authorize: one call an order, many at once, the stores by turns: a slow provider holds up its own orders only, and
    # a store whose payments are slow its own.

    async def _authorize(self, driven: Driven) -> None:
        async with self._authorizing.turn(driven.order.store_id):
            self._hand.unpaid.remove(driven)
            if not self._hand.is_idle(driven):
                return
            try:
                payment = await self._payments.authorize(driven)
                if self._hand.is_idle(driven):
                    await self._authorized(driven, payment)
            except Exception as error:
                if driven.order.state == life.RESERVED and driving_rules.is_hopeless(words(error)):
                    self._recorder.move(driven, "decline", reason=words(error).partition(":")[0])
                else:
                    await self._recorder.failed([driven], words(error), error)

    async def _authorized(self, driven: Driven, payment: Payment) -> None:
        step = driving_rules.news(rules.payment_step(payment.state), driven.order, self._now())
        if life.step(step, driven.order.state) is None:
            await self._recorder.let_go([driving_rules.unsettled(driven, self._now())])
            return
        waits = step in ("lose", "challenge")
        self._recorder.move(
            driven,
            step,
            reason=driving_rules.reason(step, payment),
            payment_id=payment.payment_id,
            next_action_url=payment.next_action_url,
            payment_expire_time=driving_rules.promised_until(step, payment),
            due_time=rules.due(driven.order, self._now(), driving_rules.recheck_seconds(0))
            if waits
            else None,
        )
