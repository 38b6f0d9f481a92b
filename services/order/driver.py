"""The driver: it carries recorded orders from PENDING to where only a person or an event can move them on.

An order that was just placed is driven at once, from memory. One whose driver died, or whose step failed, becomes due
again in the database and is taken by whichever replica looks first. Both are this same code; each call is keyed by the
order, so driving it twice is driving it once.
"""

import asyncio
import random
from collections import deque
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta

import grpc
from commerce.catalog.v1.catalog_pb2 import ReservationState
from commerce.catalog.v1.stock_service_pb2 import (
    ReservationLine,
    ReservationRequest,
    ReservationResult,
    ReserveStockRequest,
)
from commerce.catalog.v1.stock_service_pb2_grpc import StockServiceStub
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import Order
from commerce.payment.v1.payment_pb2 import Payment
from commerce.payment.v1.payment_service_pb2 import AuthorizePaymentRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.order import queries, rules
from services.order.transitions import Move, Transitions
from services.runtime import logs, telemetry
from services.runtime.bell import Bell
from services.runtime.database import ATTEMPTS, AWAY, RETRIED
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal, reason_of
from services.runtime.service import Runtime
from services.runtime.telemetry import Trace
from services.runtime.work import Work

ACTOR = "SERVICE order"
BATCH = 100
IN_HAND = 2_000  # Orders that one process drives at once; more wait in the database.
AUTHORIZING = 64
LEASE_SECONDS = 10.0
# Shorter than the lease: whoever still asks still holds the order.
RESERVE_SECONDS, AUTHORIZE_SECONDS = 5.0, 8.0
SWEEP_SECONDS = 0.5
# Refusals that say that there is no payment and never will be; any other says nothing about the payment.
HOPELESS = {"INVALID_ARGUMENT", "GATEWAY_UNKNOWN"}


class Driven:
    """An order in the driver's hand, with the trace that it was placed in."""

    __slots__ = ("attempts", "order", "trace")

    def __init__(self, order: Order, trace: Trace | None, attempts: int = 0) -> None:
        self.order, self.trace, self.attempts = order, trace, attempts


class Driver:
    """Drives orders. `take` hands it one that was just placed."""

    def __init__(
        self,
        runtime: Runtime,
        transitions: Transitions,
        stock: StockServiceStub,
        payments: PaymentServiceStub,
    ) -> None:
        self._runtime, self._transitions, self._stock, self._payments = runtime, transitions, stock, payments
        self._placed: deque[Driven] = deque()
        self._moves: deque[tuple[Driven, Move]] = deque()
        self._hand: dict[str, Driven] = {}
        self._work, self._record = Bell(), Bell()
        self._authorizing = asyncio.Semaphore(AUTHORIZING)
        self._tasks: set[asyncio.Task[None]] = set()

    def due_time(self) -> datetime:
        """When an order that is taken in hand now is due again, should this process die."""
        return datetime.now(UTC) + timedelta(seconds=LEASE_SECONDS)

    def take(self, order: Order, trace: Trace | None) -> None:
        """Drive an order that was just placed; past a bound it waits in the database."""
        if len(self._hand) < IN_HAND:
            driven = self._hand[order.order_id] = Driven(order, trace)
            self._placed.append(driven)
            self._work.ring()

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
            await self._later(list(self._hand.values()), "stopping", 0)

    async def _sweep(self) -> None:
        """Take orders that are due: nobody holds them, or whoever did has died. Our own stay ours for another lease."""
        while True:
            try:
                while len(self._hand) < IN_HAND:
                    rows = await self._runtime.database.rows(
                        queries.ORDERS_DUE, size=BATCH, lease_seconds=LEASE_SECONDS
                    )
                    if not rows:
                        break
                    about = {
                        str(row["order_id"]): (Trace.parse(row["traceparent"]), row["attempts"])
                        for row in rows
                    }
                    for order in queries.orders_of(rows):
                        if order.order_id not in self._hand:
                            driven = Driven(order, *about[order.order_id])
                            self._hand[order.order_id] = driven
                            self._go_on(driven)
            except Refusal as refusal:
                logs.log.warning("orders wait", reason=refusal.name)
            await asyncio.sleep(SWEEP_SECONDS * random.uniform(0.8, 1.2))

    def _go_on(self, driven: Driven) -> None:
        """Do what an order needs next, or let it out of hand."""
        if driven.order.state == rules.PENDING:
            self._placed.append(driven)
            self._work.ring()
        elif driven.order.state in rules.UNPAID:
            task = asyncio.create_task(self._attempt([driven], self._authorize(driven)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._let_go([driven])

    def _let_go(self, batch: Sequence[Driven]) -> None:
        for driven in batch:
            self._hand.pop(driven.order.order_id, None)

    async def _attempt(self, batch: Sequence[Driven], work: Coroutine[None, None, None]) -> None:
        """Do something for orders and put them back when it fails, whatever it was: the others go on."""
        try:
            await work
        except grpc.aio.AioRpcError as error:
            await self._later(batch, reason_of(error))
        except Exception as error:
            logs.log.error("orders not driven", exc_info=error)
            await self._later(batch, type(error).__name__)

    # Reserve: one call for as many orders as are waiting.

    async def _reserve_all(self) -> None:
        while True:
            await self._work.wait(60)
            while self._placed:
                batch = [self._placed.popleft() for _ in range(min(BATCH, len(self._placed)))]
                await self._attempt(batch, self._reserve(batch))

    async def _reserve(self, batch: Sequence[Driven]) -> None:
        request = ReserveStockRequest(
            reservations=[_reservation(each) for each in batch], request_id=str(new_id())
        )
        # A batch serves many traces and is part of the first; the catalog links the others to it.
        with telemetry.span("drive reserve", parent=batch[0].trace):
            reply = await self._stock.ReserveStock(request, timeout=RESERVE_SECONDS)
        for driven, result in zip(batch, reply.results, strict=True):
            self._reserved(driven, result)

    def _reserved(self, driven: Driven, result: ReservationResult) -> None:
        if result.state in (
            ReservationState.RESERVATION_STATE_HELD,
            ReservationState.RESERVATION_STATE_COMMITTED,
        ):
            self._move(driven, "reserve", due_time=self.due_time())
        else:
            reason = ErrorReason.Name(result.reason).removeprefix("ERROR_REASON_")
            self._move(driven, "reject", reason=f"{reason} {result.product_id}".strip())

    # Authorize: one call an order, many at once, so that a slow provider holds up its own orders only.

    async def _authorize(self, driven: Driven) -> None:
        async with self._authorizing:
            with telemetry.span("drive authorize", parent=driven.trace):
                try:
                    reply = await self._payments.AuthorizePayment(
                        _authorization(driven.order), timeout=AUTHORIZE_SECONDS
                    )
                except grpc.aio.AioRpcError as error:
                    if driven.order.state != rules.RESERVED or reason_of(error) not in HOPELESS:
                        raise
                    self._move(driven, "decline", reason=reason_of(error))
                    return
        await self._authorized(driven, reply.payment)

    async def _authorized(self, driven: Driven, payment: Payment) -> None:
        step = rules.payment_step(payment.state)
        if rules.step(step, driven.order.state) is None:
            await self._later([driven], "", rules.recheck_seconds(driven.attempts))
            return
        waits = step in ("lose", "challenge")
        self._move(
            driven,
            step,
            reason=payment.decline_code or ("the payment was given up" if step == "decline" else ""),
            payment_id=payment.payment_id,
            next_action_url=payment.next_action_url,
            due_time=datetime.now(UTC) + timedelta(seconds=rules.recheck_seconds(0)) if waits else None,
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
    ) -> None:
        state = rules.step(step, driven.order.state)
        assert state is not None
        move = Move(
            driven.order,
            step,
            state,
            ACTOR,
            driven.trace,
            reason[:200],
            payment_id,
            next_action_url,
            due_time,
        )
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
        try:
            held = await self._recorded([move for _, move in batch])
        except Exception as error:
            if len(batch) > 1:
                for each in batch:
                    await self._settle([each])
                return
            logs.log.error("move not recorded", step=batch[0][1].step, exc_info=error)
            held = set()
        for driven, move in batch:
            if move.order.order_id in held and driven.order.state == rules.RESERVED:
                self._go_on(driven)
            else:
                self._let_go([driven])

    async def _recorded(self, moves: Sequence[Move]) -> set[str]:
        """Record moves and return the orders of those that held. While PostgreSQL is away, wait for it.

        A commit whose answer was lost does no harm: repeated, its moves no longer hold.
        """
        held: set[str] = set()
        hindered = 0

        async def record(work: Work) -> None:
            held.update(move.order.order_id for move in await self._transitions.record(work, moves))

        while True:
            try:
                with telemetry.span("drive record", parent=moves[0].trace):
                    await self._runtime.carry_out(record)
                return held
            except (*AWAY, *RETRIED) as error:
                hindered += isinstance(error, RETRIED)
                if hindered == ATTEMPTS:
                    raise
                logs.log.warning("moves wait", error=type(error).__name__, orders=len(moves))
                held.clear()
                await asyncio.sleep(0.1)

    async def _later(self, batch: Sequence[Driven], reason: str, seconds: float | None = None) -> None:
        """Put orders back: they are due again after so many seconds, or a back-off with a warning."""
        waits = [
            rules.back_off_seconds(each.attempts, random.random()) if seconds is None else seconds
            for each in batch
        ]
        if seconds is None:
            logs.log.warning("orders put back", reason=reason, orders=len(batch))
        self._let_go(batch)
        try:
            await self._runtime.database.rows(
                queries.ORDERS_LATER,
                order_id=[each.order.order_id for each in batch],
                sequence=[each.order.sequence for each in batch],
                wait_seconds=[int(wait * 1000) for wait in waits],
            )
        except Refusal:
            return  # They are due when their lease ends.


def _reservation(driven: Driven) -> ReservationRequest:
    order = driven.order
    return ReservationRequest(
        order_id=order.order_id,
        store_id=order.store_id,
        lines=[
            ReservationLine(product_id=line.product_id, quantity=line.quantity, unit_price=line.unit_price)
            for line in order.lines
        ],
        traceparent=driven.trace.traceparent if driven.trace else "",
        customer_id=order.customer_id,
        expire_time=order.expire_time,
    )


def _authorization(order: Order) -> AuthorizePaymentRequest:
    return AuthorizePaymentRequest(
        order_id=order.order_id,
        store_id=order.store_id,
        customer_id=order.customer_id,
        amount=order.total,
        payment_method=order.payment_method,
        request_id=str(new_id()),
    )
