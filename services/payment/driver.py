"""The driver: it carries recorded operations to the provider, and what became of them back.

An operation is committed before the provider is asked, and the provider is asked outside any transaction, with the
operation's id as key. Whoever records one carries it at once; an operation whose answer was lost, or whose process
died, becomes due again, and whichever replica looks first asks the provider what became of it. A payment has one open
operation at a time: a refund that finds another one waits, and the change that settles that one begins it.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import asyncpg
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from google.protobuf.message import Message

from services.payment import messages, queries, refunds, rules
from services.payment.gateways import Gateways
from services.payment.outcomes import NeverSeen, Outcome, Refused, Unknown
from services.payment.payments import (
    OPERATION_PENDING,
    OPERATION_UNKNOWN,
    OPERATION_WAITING,
    Change,
    Operation,
    Payment,
)
from services.payment.rules import Contradiction
from services.runtime import failpoints, logs, telemetry
from services.runtime.bell import Bell
from services.runtime.database import AWAY, Runs
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.service import Runtime
from services.runtime.statements import Statement
from services.runtime.telemetry import Trace
from services.runtime.work import Call, Work

AT_ONCE = 32
SWEEP_SECONDS = 0.5
# Until the provider is asked again, by the number of questions so far: after silence, and while the customer decides.
SILENT_SECONDS, SILENT_MOST_SECONDS = 0.5, 60.0
WAITING_SECONDS, WAITING_MOST_SECONDS = 5.0, 300.0

Answer = Callable[[Payment], Message]


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation that a caller asks for; `money` is how much of it a refund gives back, None for all that is left."""

    kind: str
    payment_id: str
    request_id: str
    money: Money | None = None


class Driver:
    """Carries operations. `timeout_seconds` is the longest that one question to a provider takes."""

    def __init__(self, runtime: Runtime, gateways: Gateways, timeout_seconds: float) -> None:
        self._runtime, self._gateways = runtime, gateways
        # For how long an operation is its carrier's own: one question, or a lookup and a question.
        self._lease_seconds = timeout_seconds + 1
        self._long_lease_seconds = 2 * timeout_seconds + 1
        self._bell = Bell()
        self._tasks: set[asyncio.Task[None]] = set()

    async def authorize(self, asked: Payment, call: Call, answer: Answer) -> Payment:
        """Record a payment with its first operation, and carry that; or return the order's payment as it stands."""
        operation = asked.operations[0]
        values = queries.values_of(asked) | {
            "operation_id": operation.operation_id,
            "traceparent": operation.traceparent,
            "due_seconds": self._lease_seconds,
        }
        if await self._runtime.database.rows(queries.PAYMENT_RECORDED, **values):
            return await self._carry(asked, operation, call, answer)
        rows = await self._runtime.database.rows(queries.PAYMENT_OF_ORDER, order_id=asked.order_id)
        payment = queries.payment_of(rows)
        assert payment is not None
        return rules.same(payment, asked)

    async def operate(self, asked: Asked, call: Call, answer: Answer) -> Payment:
        """Record an operation that a caller asks for and carry it; one that was asked for before stays one."""
        recorded: list[tuple[Payment, Operation | None]] = []

        async def record(work: Work) -> None:
            payment = await locked(work, queries.PAYMENT_LOCKED, payment_id=asked.payment_id)
            if payment is None or not call.caller.may_see(payment.store_id, payment.customer_id):
                raise not_found(asked.payment_id)
            recorded.append(await self._recorded_once(asked, payment, work))

        await self._runtime.carry_out(record, f"ask {asked.kind}")
        ((payment, operation),) = recorded
        if operation is None or not operation.open:
            return payment
        return await self._carry(payment, operation, call, answer)

    async def _recorded_once(
        self, asked: Asked, payment: Payment, work: Work
    ) -> tuple[Payment, Operation | None]:
        """Record what is asked for, unless it was before; return the payment as it is then."""
        if any(operation.request_id == asked.request_id for operation in payment.operations):
            return payment, None
        amount = payment.amount
        if asked.kind == "refund":
            amount = refunds.asked(payment, asked.money)
        else:
            rules.may(asked.kind, payment)
        operation = started(asked.kind, payment, amount, attempts=1, request_id=asked.request_id)
        return await self._recorded(payment, operation, work, self._lease_seconds), operation

    async def payment(self, payment_id: str) -> Payment:
        """Return a payment with its operations. Refused with PAYMENT_NOT_FOUND."""
        payment = queries.payment_of(
            await self._runtime.database.rows(queries.PAYMENT, payment_id=payment_id)
        )
        if payment is None:
            raise not_found(payment_id)
        return payment

    async def change(self, change: Change, work: Work) -> None:
        """Record a change in a transaction that holds the payment's lock."""
        self._announce(change, work)
        await work.rows(queries.PAYMENT_CHANGED, **queries.values_of_change(change, _due_seconds(change)))

    async def begin(self, operation: Operation, payment: Payment, work: Work) -> None:
        """Record an operation in a transaction that holds the payment's lock; it is carried after the commit."""
        work.after_commit(self._bell.ring)
        await self._recorded(payment, operation, work, due_seconds=0)

    async def run(self) -> None:
        """Carry what is due until cancelled."""
        try:
            while True:
                try:
                    while len(self._tasks) < AT_ONCE and await self._take():
                        pass
                except Refusal as refusal:
                    logs.log.warning("operations wait", reason=refusal.name)
                await self._bell.wait(SWEEP_SECONDS * random.uniform(0.8, 1.2))
        finally:
            for task in self._tasks:
                task.cancel()

    async def _take(self) -> bool:
        """Lease operations that are due, as many as may be carried at once. Return whether there may be more."""
        size = AT_ONCE - len(self._tasks)
        rows = await self._runtime.database.rows(
            queries.OPERATIONS_DUE, size=size, lease_seconds=self._long_lease_seconds
        )
        for row in rows:
            task = asyncio.create_task(self._resume(str(row["payment_id"]), str(row["operation_id"])))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        return len(rows) == size

    def _done(self, task: asyncio.Task[None]) -> None:
        if len(self._tasks) == AT_ONCE:
            self._bell.ring()
        self._tasks.discard(task)

    async def _resume(self, payment_id: str, operation_id: str) -> None:
        """Carry an operation that was recorded before. One that fails stays due."""
        try:
            payment = await self.payment(payment_id)
            operation = payment.operation(operation_id)
            if operation.open:
                parent = Trace.parse(operation.traceparent)
                with telemetry.span(f"resume {operation.kind}", parent=parent):
                    outcome = await self._found_out(operation, payment)
                    await self._record(payment, operation, outcome)
        except (Refusal, *AWAY) as error:
            logs.log.warning("operation waits", operation_id=operation_id, error=str(error))
        except Exception as error:
            logs.log.error("operation not carried", operation_id=operation_id, exc_info=error)

    async def _carry(self, payment: Payment, operation: Operation, call: Call, answer: Answer) -> Payment:
        outcome = await self._perform(operation, payment)
        return await self._record(payment, operation, outcome, call, answer)

    async def _perform(self, operation: Operation, payment: Payment) -> Outcome:
        foregone = rules.foregone(operation, payment)
        if foregone is not None:
            return foregone
        if failpoints.ARMED:
            await failpoints.reach(f"before provider {operation.kind}")
        outcome = await self._gateways.named(payment.gateway).perform(operation, payment)
        if failpoints.ARMED:
            await failpoints.reach(f"after provider {operation.kind}")
        return outcome

    async def _found_out(self, operation: Operation, payment: Payment) -> Outcome:
        """Ask what became of an operation; send it (again) when the provider has never seen it."""
        if operation.amount and operation.attempts > 1:
            found = await self._gateways.named(payment.gateway).look_up(operation)
            if not isinstance(found, NeverSeen):
                return found
            if payment.in_flight is None:
                # It has answered this operation before: asking anew could charge a second time.
                logs.log.error("the provider has forgotten an operation", operation_id=operation.operation_id)
                return Unknown("forgotten")
        return await self._perform(operation, payment)

    async def _record(
        self,
        payment: Payment,
        operation: Operation,
        outcome: Outcome,
        call: Call | None = None,
        answer: Answer | None = None,
    ) -> Payment:
        """Record an outcome, with the first reply where there is a call; work it out anew if the payment moved."""
        change = self._changed(payment, operation, outcome)
        if change is None:
            await self._later(operation, self._runtime.database)
            return payment
        try:
            await self._commit(change, call, answer)
            return change.payment
        except asyncpg.IntegrityConstraintViolationError as moved:
            # Either the payment moved, or this request was answered meanwhile: the runtime finds that out.
            if call is not None:
                await call.roll_back(moved)
        return await self._record_anew(payment, operation, outcome)

    async def _record_anew(self, payment: Payment, operation: Operation, outcome: Outcome) -> Payment:
        """Record an outcome under the payment's lock, so that however much happens to the payment, this does too."""

        async def record(work: Work) -> None:
            nonlocal payment, operation
            now = await locked(work, queries.PAYMENT_LOCKED, payment_id=payment.payment_id)
            assert now is not None
            payment, operation = now, now.operation(operation.operation_id)
            change = self._changed(payment, operation, outcome)
            if change is None:
                await self._later(operation, work)
                return
            await self.change(change, work)
            payment = change.payment

        await self._runtime.carry_out(record, f"record {operation.kind}")
        return payment

    def _changed(self, payment: Payment, operation: Operation, outcome: Outcome) -> Change | None:
        try:
            change = rules.settled(payment, operation, outcome, queries.now())
        except Contradiction as problem:
            logs.log.error(
                "the provider contradicts the payment",
                payment_id=payment.payment_id,
                operation_id=operation.operation_id,
                problem=str(problem),
            )
            return None
        if change and isinstance(outcome, Refused) and operation.kind != "authorize":
            logs.log.error(
                "the provider refuses an operation",
                payment_id=payment.payment_id,
                operation=operation.kind,
                code=outcome.code,
            )
        return change

    async def _commit(self, change: Change, call: Call | None, answer: Answer | None) -> None:
        values = queries.values_of_change(change, _due_seconds(change))
        if call is not None and answer is not None:
            self._announce(change, call)
            await call.commit(queries.PAYMENT_CHANGED_AND_CLOSED, answer(change.payment), **values)
            return

        async def commit(work: Work) -> None:
            self._announce(change, work)
            await work.commit(queries.PAYMENT_CHANGED_AND_CLOSED, **values)

        await self._runtime.carry_out(commit, f"record {change.operation.kind}")

    def _announce(self, change: Change, work: Work) -> None:
        event = messages.event(change)
        if event is not None:
            work.publish(event)
        if change.begun or change.next:
            work.after_commit(self._bell.ring)

    async def _later(self, operation: Operation, db: Runs) -> None:
        if operation.open:
            await db.rows(
                queries.OPERATION_LATER,
                operation_id=operation.operation_id,
                due_seconds=_back_off_seconds(operation),
            )

    async def _recorded(
        self, payment: Payment, operation: Operation, work: Work, due_seconds: float
    ) -> Payment:
        """Record an operation in a transaction that holds the payment's lock; return the payment with it."""
        values = queries.values_of_operation(operation, payment, due_seconds)
        await work.rows(queries.OPERATION_RECORDED, **values)
        payment = replace(payment, version=payment.version + 1, update_time=operation.create_time)
        return payment.with_operation(operation)


async def locked(work: Work, lock: Statement, **by: str) -> Payment | None:
    """Lock a payment for the rest of a transaction, and return it with its operations as they are then."""
    row = await work.row(lock, **by)
    if row is None:
        return None
    return queries.payment_of(await work.rows(queries.PAYMENT, payment_id=row["payment_id"]))


def started(
    kind: str, payment: Payment, amount: int, attempts: int = 0, request_id: str | None = None
) -> Operation:
    """Return a new operation on a payment; `attempts` is 1 when whoever records it asks the provider at once."""
    trace = telemetry.current()
    waits = rules.waits(kind, payment)
    return Operation(
        operation_id=str(new_id()),
        kind=kind,
        state=OPERATION_WAITING if waits else OPERATION_PENDING,
        amount=amount,
        attempts=0 if waits else attempts,
        traceparent=trace.traceparent if trace else "",
        request_id=request_id,
        create_time=queries.now(),
    )


def not_found(payment_id: str) -> Refusal:
    """Refuse because there is no such payment, for this caller."""
    return Refusal(
        ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, "There is no such payment", payment_id=payment_id
    )


def _due_seconds(change: Change) -> float:
    return _back_off_seconds(change.operation)


def _back_off_seconds(operation: Operation) -> float:
    doubled = 2.0 ** min(operation.attempts - 1, 20)
    if operation.state == OPERATION_UNKNOWN:
        wait = min(SILENT_SECONDS * doubled, SILENT_MOST_SECONDS)
    else:
        wait = min(WAITING_SECONDS * doubled, WAITING_MOST_SECONDS)
    return wait * random.uniform(0.8, 1.2)
