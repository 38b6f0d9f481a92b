"""The driver: it carries recorded operations to the provider, and what became of them back.

An operation is committed before the provider is asked, and the provider is asked outside any transaction, with the
operation's id as key. Whoever records one carries it at once; one whose answer was lost, or whose process died, becomes
due again, and the janitor of whichever replica looks first asks the provider what became of it. A payment has one open
operation at a time: one that finds another waits, and the change that settles that begins it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import asyncpg
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import LineAmount, Money
from google.protobuf.message import Message

from services.payment.gateways.registry import Gateways
from services.payment.payments import messages, queries, records
from services.payment.payments.writer import Writer
from services.payment.rules import amounts, authorize, give_up, transitions
from services.payment.rules.change import Change, waits
from services.payment.rules.life import Contradiction, not_allowed
from services.payment.rules.outcomes import NeverSeen, NotSent, Outcome, Refused, Unknown
from services.payment.rules.payment import (
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_UNKNOWN,
    OPERATION_WAITING,
    Kind,
    Operation,
    Payment,
    Share,
    key_of,
)
from services.runtime import failpoints, logs, telemetry, times
from services.runtime.bell import Bell
from services.runtime.database import Runs
from services.runtime.refusals import Refusal
from services.runtime.service import Runtime
from services.runtime.statements import Statement
from services.runtime.work import Call, Work

# Until the provider is asked again, by the number of questions so far: when it told nothing, or nothing was sent; and
# while the customer decides.
UNTOLD_SECONDS, UNTOLD_MOST_SECONDS = 0.5, 60.0
WAITING_SECONDS, WAITING_MOST_SECONDS = 5.0, 300.0

Answer = Callable[[Payment], Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An operation that a caller asks for; `money` is how much of it, None for all that is left."""

    kind: Kind
    payment_id: str
    request_id: str
    money: Money | None = None
    lines: Sequence[LineAmount] = ()
    reason: str = ""
    final: bool = False


class Driver:
    """Carries operations. `timeout_seconds` is the longest that one question to a provider takes."""

    def __init__(self, runtime: Runtime, gateways: Gateways, timeout_seconds: float) -> None:
        self._runtime, self._gateways = runtime, gateways
        # For how long an operation is its carrier's own: one question, or a lookup and a question.
        self._lease_seconds = timeout_seconds + 1
        self.long_lease_seconds = 2 * timeout_seconds + 1
        # Rings when an operation is due that nobody carries.
        self.bell = Bell()
        self._writer = Writer(runtime)

    async def authorize(
        self, asked: Payment, call: Call, answer: Answer, spare: Sequence[str] = ()
    ) -> Payment:
        """Record a payment with its first operation, and carry that; or return the order's payment as it stands.

        `spare` are gateways that may be asked when nothing was sent to the payment's own.
        """
        operation = asked.operations[0]
        values = records.values_of(asked) | {
            "operation_id": operation.operation_id,
            "traceparent": operation.traceparent,
            "due_seconds": self._lease_seconds,
        }
        if await self._writer.record(values):
            return await self._carry(asked, operation, call, answer, spare)
        payment = await self.standing(asked)
        assert payment is not None
        return payment

    async def standing(self, asked: Payment) -> Payment | None:
        """Return the order's payment, if there is one. Refused with PAYMENT_MISMATCH."""
        found = await self._runtime.database.rows(queries.PAYMENT_OF_ORDER, order_id=asked.order_id)
        payment = queries.payment_of(found)
        return None if payment is None else authorize.same(payment, asked)

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

    async def settle(self, payment: Payment) -> Payment:
        """Ask the provider at once what became of what is open, if anything is."""
        found = payment.pending
        if found is None:
            return payment
        taken = await self._runtime.database.rows(
            queries.OPERATION_TAKEN, operation_id=found.operation_id, lease_seconds=self.long_lease_seconds
        )
        # As it is now that nobody hands it to another gateway any more.
        payment = await self.payment(payment.payment_id)
        operation = payment.operation(found.operation_id)
        return await self.find_out(payment, operation) if taken and operation.open else payment

    async def find_out(self, payment: Payment, operation: Operation) -> Payment:
        """Ask what became of an operation that was recorded before, and record that."""
        outcome = await self._found_out(operation, payment)
        return await self._record(payment, operation, outcome)

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
        if change.dispute:
            dispute = records.values_of_dispute(change.dispute, change.payment)
            await work.rows(records.DISPUTE_KNOWN, **dispute)
        await work.rows(records.PAYMENT_CHANGED, **records.values_of_change(change, _due_seconds(change)))

    async def begin(self, operation: Operation, payment: Payment, work: Work) -> None:
        """Record an operation in a transaction that holds the payment's lock; it is carried after the commit."""
        work.after_commit(self.bell.ring)
        await self._recorded(payment, operation, work, due_seconds=0)

    def takes_whole(self, payment: Payment, amount: int) -> bool:
        """Tell whether a part of a payment cannot be taken, or not without giving up the rest."""
        return self._gateways.takes_whole(payment, amount)

    async def _recorded_once(
        self, asked: Asked, payment: Payment, work: Work
    ) -> tuple[Payment, Operation | None]:
        """Record what is asked for, unless it was before; return the payment as it is then."""
        if payment.asked_under(asked.request_id):
            return payment, None
        amount, lines = _wanted(asked, payment)
        if asked.kind == Kind.CAPTURE:
            self._gateways.may_capture(payment, amount, asked.final)
        operation = started(
            asked.kind,
            payment,
            amount,
            attempts=1,
            request_id=asked.request_id,
            reason=asked.reason,
            lines=lines,
            final=asked.final,
        )
        return await self._recorded(payment, operation, work, self._lease_seconds), operation

    async def _carry(
        self, payment: Payment, operation: Operation, call: Call, answer: Answer, spare: Sequence[str] = ()
    ) -> Payment:
        outcome = await self._perform(operation, payment)
        for code in spare:
            if not isinstance(outcome, NotSent):
                break
            handed_over = await self._hand_over(payment, operation, code)
            if handed_over is None:
                break
            payment = handed_over
            outcome = await self._perform(operation, payment)
        return await self._record(payment, operation, outcome, call, answer)

    async def _hand_over(self, payment: Payment, operation: Operation, code: str) -> Payment | None:
        """Have another gateway take a payment, on record before it is asked; None when somebody else has it."""
        logs.log.warning(
            "another gateway is asked", payment_id=payment.payment_id, gateway=payment.gateway, next=code
        )
        moved = await self._runtime.database.rows(
            queries.GATEWAY_CHANGED,
            payment_id=payment.payment_id,
            version=payment.version,
            operation_id=operation.operation_id,
            attempts=operation.attempts,
            gateway=code,
        )
        return replace(payment, gateway=code, version=payment.version + 1) if moved else None

    async def _perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        foregone = transitions.foregone(operation, payment)
        if foregone is not None:
            return foregone
        if failpoints.ARMED:
            await failpoints.reach(f"before provider {operation.kind}")
        gateway = self._gateways.named(payment.gateway)
        outcome = await gateway.perform(operation, payment)
        if failpoints.ARMED:
            await failpoints.reach(f"after provider {operation.kind}")
        return outcome

    async def _found_out(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """Ask what became of an operation; send it (again) when the provider has never seen it."""
        # A payment whose order was cancelled before it was asked for has no gateway.
        if payment.amount and payment.gateway and operation.attempts > 1:
            gateway = self._gateways.named(payment.gateway)
            if failpoints.ARMED:
                await failpoints.reach(f"before provider look up {operation.kind}")
            found = await gateway.look_up(operation, payment)
            if failpoints.ARMED:
                await failpoints.reach(f"after provider look up {operation.kind}")
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
        outcome: Outcome | NotSent,
        call: Call | None = None,
        answer: Answer | None = None,
    ) -> Payment:
        """Record an outcome, with the first reply where there is a call; work it out anew if the payment moved."""
        change = _changed(payment, operation, outcome)
        if change is None:
            await _later(operation, outcome, self._runtime.database)
            return payment
        try:
            await self._commit(change, call, answer)
            return change.payment
        except asyncpg.IntegrityConstraintViolationError as moved:
            # Either the payment moved, or this request was answered meanwhile: the runtime finds that out.
            if call is not None:
                await call.roll_back(moved)
        return await self._record_anew(payment, operation, outcome)

    async def _record_anew(
        self, payment: Payment, operation: Operation, outcome: Outcome | NotSent
    ) -> Payment:
        """Record an outcome under the payment's lock, so that however much happens to the payment, this does too."""

        async def record(work: Work) -> None:
            nonlocal payment, operation
            now = await locked(work, queries.PAYMENT_LOCKED, payment_id=payment.payment_id)
            assert now is not None
            payment, operation = now, now.operation(operation.operation_id)
            change = _changed(payment, operation, outcome)
            if change is None:
                await _later(operation, outcome, work)
                return
            await self.change(change, work)
            payment = change.payment

        await self._runtime.carry_out(record, f"record {operation.kind}")
        return payment

    async def _commit(self, change: Change, call: Call | None, answer: Answer | None) -> None:
        values = records.values_of_change(change, _due_seconds(change))
        if call is not None and answer is not None:
            self._announce(change, call)
            await self._writer.change(values, call, answer(change.payment))
            return

        async def commit(work: Work) -> None:
            self._announce(change, work)
            await self._writer.change(values, work)

        await self._runtime.carry_out(commit, f"record {change.operation.kind}")

    def _announce(self, change: Change, work: Work) -> None:
        for event in messages.told(change):
            work.publish(event)
        if change.begun or change.next:
            work.after_commit(self.bell.ring)

    async def _recorded(
        self, payment: Payment, operation: Operation, work: Work, due_seconds: float
    ) -> Payment:
        """Record an operation in a transaction that holds the payment's lock; return the payment with it."""
        values = records.values_of_operation(operation, payment, due_seconds)
        await work.rows(records.OPERATION_RECORDED, **values)
        payment = replace(payment, version=payment.version + 1, update_time=operation.create_time)
        return payment.with_operation(operation)


async def locked(work: Work, lock: Statement, **by: str) -> Payment | None:
    """Lock a payment for the rest of a transaction, and return it with its operations as they are then."""
    row = await work.row(lock, **by)
    if row is None:
        return None
    return queries.payment_of(await work.rows(queries.PAYMENT, payment_id=row["payment_id"]))


def started(
    kind: Kind,
    payment: Payment,
    amount: int,
    *,
    attempts: int = 0,
    request_id: str | None = None,
    reason: str = "",
    lines: tuple[Share, ...] = (),
    final: bool = False,
    wanted: int = 0,
) -> Operation:
    """Return a new operation on a payment; `attempts` is 1 when whoever records it asks the provider at once.

    Without a request of its own it is caused by the order's life, in which each kind has its one place.
    """
    trace = telemetry.current()
    waiting = waits(kind, payment)
    return Operation(
        operation_id=key_of(payment, kind, request_id or ""),
        kind=kind,
        state=OPERATION_WAITING if waiting else OPERATION_PENDING,
        amount=amount,
        attempts=0 if waiting else attempts,
        traceparent=trace.traceparent if trace else "",
        request_id=request_id,
        create_time=times.now(),
        reason=reason,
        lines=lines,
        final=final,
        wanted=wanted,
    )


def not_found(payment_id: str) -> Refusal:
    """Refuse because there is no such payment, for this caller."""
    return Refusal(
        ErrorReason.ERROR_REASON_PAYMENT_NOT_FOUND, "There is no such payment", payment_id=payment_id
    )


def _wanted(asked: Asked, payment: Payment) -> tuple[int, tuple[Share, ...]]:
    """How much a caller's operation is of, and how that is spread over the lines. Refused when it may not be."""
    if asked.kind == Kind.VOID:
        give_up.check_may_void(payment)
        return payment.capturable, ()
    if asked.kind == Kind.CAPTURE and asked.final and payment.unsettled(Kind.CAPTURE):
        raise not_allowed(Kind.CAPTURE, payment)
    amount = (amounts.capture if asked.kind == Kind.CAPTURE else amounts.refund)(payment, asked.money)
    return amount, amounts.spread(asked.kind, payment, amount, asked.lines, strict=True)


def _changed(payment: Payment, operation: Operation, outcome: Outcome | NotSent) -> Change | None:
    if isinstance(outcome, NotSent):
        return None
    try:
        change = transitions.settled(payment, operation, outcome, times.now())
    except Contradiction as problem:
        logs.log.error(
            "the provider contradicts the payment",
            payment_id=payment.payment_id,
            operation_id=operation.operation_id,
            problem=str(problem),
        )
        return None
    failed = change is not None and change.operation.state == OPERATION_FAILED
    asked = operation.kind != Kind.AUTHORIZE and transitions.foregone(operation, payment) is None
    if failed and isinstance(outcome, Refused) and asked:
        logs.log.error(
            "the provider refuses an operation",
            payment_id=payment.payment_id,
            operation=operation.kind,
            code=outcome.code,
            request_id=outcome.words.request_id,
        )
    return change


async def _later(operation: Operation, outcome: Outcome | NotSent, db: Runs) -> None:
    if operation.open:
        seconds = _back_off_seconds(operation, not_sent=isinstance(outcome, NotSent))
        await db.rows(
            records.OPERATION_UNANSWERED,
            operation_id=operation.operation_id,
            due_seconds=seconds,
            **records.values_of_words(outcome.words.message, outcome.words.request_id),
        )


def _due_seconds(change: Change) -> float:
    return _back_off_seconds(change.operation)


def _back_off_seconds(operation: Operation, not_sent: bool = False) -> float:
    doubled = 2.0 ** min(operation.attempts - 1, 20)
    if not_sent or operation.state == OPERATION_UNKNOWN:
        wait = min(UNTOLD_SECONDS * doubled, UNTOLD_MOST_SECONDS)
    else:
        wait = min(WAITING_SECONDS * doubled, WAITING_MOST_SECONDS)
    return wait * random.uniform(0.8, 1.2)
