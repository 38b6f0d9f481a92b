"""What something changes in a payment: the payment, its operations and disputes, the books; and what follows. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.payment.rules import amounts, owed
from services.payment.rules.life import OPERATIONS, REQUIRES_ACTION, TAKEN, UNDECIDED, UNTAKEN
from services.payment.rules.outcomes import NO_WORDS, Refused, Told, Words
from services.payment.rules.payment import (
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    OPERATION_WAITING,
    VOIDS,
    Dispute,
    Kind,
    Operation,
    OperationState,
    Payment,
    key_of,
)
from services.payment.rules.postings import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`operation` is the one that it came of, `begun` one that waited, `next` a new one, which is not recorded yet.

    `dispute` is new, or has been decided.
    """

    before: Payment
    payment: Payment
    operation: Operation
    booked: tuple[Transaction, ...] = ()
    begun: Operation | None = None
    next: Operation | None = None
    dispute: Dispute | None = None

    @property
    def moved(self) -> bool:
        """Whether the state is another one, or more was taken, given up or given back."""
        return _place(self.payment) != _place(self.before)


def next_version(payment: Payment, now: datetime) -> Payment:
    """Return a payment as its next change finds it."""
    return replace(payment, version=payment.version + 1, update_time=now)


def ended(
    operation: Operation,
    state: OperationState,
    now: datetime,
    told: Told | None = None,
    refused: Refused | None = None,
) -> Operation:
    """Return an operation that is over, as the provider told it, or refused it."""
    answer = told or refused
    return saying(
        operation,
        answer.words if answer else NO_WORDS,
        state=state,
        settle_time=now,
        provider_reference=told.operation_reference if told else "",
        failure_code=refused.code if refused else "",
    )


def saying(operation: Operation, words: Words, **changed: Any) -> Operation:
    """Change an operation, and note what the provider said last: nothing, once it did what it was asked."""
    return replace(operation, provider_message=words.message, provider_request_id=words.request_id, **changed)


def waits(kind: Kind, payment: Payment) -> bool:
    """Tell whether an operation has to wait: for its turn, or for the money to be there."""
    if kind not in (Kind.CAPTURE, Kind.REFUND):
        return False
    return payment.in_flight is not None or not _is_ready(kind, payment)


def followed(
    before: Payment,
    after: Payment,
    operation: Operation,
    now: datetime,
    booked: tuple[Transaction, ...] = (),
    wanted: Kind | None = None,
    refused: Operation | None = None,
) -> Change:
    """Add what comes next when nothing is in flight: what has waited longest and may begin, then what is `wanted`.

    A cancelled order wants its money back, but not what was just `refused`.
    """
    after = after.with_changed(operation)
    begun = next_wanted = None
    if not after.in_flight:
        begun = _next_waiting(after)
        next_wanted = None if begun else _next_wanted(after, wanted, refused)
    if begun:
        begun = owed.fitted(replace(begun, state=OPERATION_PENDING), after)
        after = after.with_changed(begun)
    if next_wanted and operation.open:
        # It waits for the customer, who is not asked any more.
        operation = ended(operation, OPERATION_FAILED, now)
        after = after.with_changed(operation)
    after = _without_what_is_of_no_use(after)
    following = _following(next_wanted, after, operation, now) if next_wanted else None
    if not (begun or following or after.in_flight or after.cancelled):
        following = _anew(after, now)
    return Change(
        before=before, payment=after, operation=operation, booked=booked, begun=begun, next=following
    )


def succeeded(
    before: Payment,
    after: Payment,
    operation: Operation,
    told: Told,
    now: datetime,
    booked: tuple[Transaction, ...],
) -> Change:
    """End an operation that took money or gave some back. What was promised has no end once none of it is left."""
    if not after.capturable:
        after = replace(after, expire_time=None)
    return followed(before, after, ended(operation, OPERATION_SUCCEEDED, now, told), now, booked)


def _next_waiting(payment: Payment) -> Operation | None:
    """What is taken comes first, for what is given back may be of it."""
    waiting = [one for one in payment.operations if one.state == OPERATION_WAITING]
    waiting.sort(key=lambda one: one.kind != Kind.CAPTURE)
    return next((one for one in waiting if _is_ready(one.kind, payment)), None)


def _next_wanted(payment: Payment, wanted: Kind | None, refused: Operation | None) -> Kind | None:
    """What is to be done with all that is left: the end of its order decides, then what is wanted for itself."""
    if payment.cancelled:
        return _wanted_back(payment, refused)
    return wanted or (Kind.VOID if _is_final(payment) else None)


def _is_final(payment: Payment) -> bool:
    """Whether a capture said that the rest is to be given up, and nobody has refused to."""
    done = [one for one in payment.operations if one.state == OPERATION_SUCCEEDED]
    final = any(one.final for one in done) and payment.capturable > 0
    return final and not any(
        one.kind in VOIDS and one.state == OPERATION_FAILED for one in payment.operations
    )


def _wanted_back(payment: Payment, refused: Operation | None) -> Kind | None:
    """What a cancelled order wants: that nothing more is taken, then what was taken back.

    What was just `refused` would be refused again: a person must look; unless a dispute stopped it, which was decided.
    """
    voidable = payment.state in UNTAKEN or (payment.state in TAKEN and payment.capturable)
    if voidable and not (refused and refused.kind in VOIDS):
        return Kind.VOID
    if (Kind.REFUND, payment.state) not in OPERATIONS or (payment.amount and payment.kept <= 0):
        return None
    again = refused and refused.kind == Kind.REFUND and refused.amount == payment.kept
    return None if refused and again and not owed.may_go_on(payment, refused) else Kind.REFUND


def _following(kind: Kind, payment: Payment, operation: Operation, now: datetime) -> Operation:
    """The operation that follows from another one: of all that is left."""
    amount = payment.kept if kind == Kind.REFUND else payment.capturable
    return Operation(
        operation_id=key_of(payment, kind, operation.operation_id),
        kind=kind,
        amount=amount,
        traceparent=operation.traceparent,
        create_time=now,
        lines=amounts.spread(kind, payment, amount) if kind in (Kind.CAPTURE, Kind.REFUND) else (),
    )


def _anew(payment: Payment, now: datetime) -> Operation | None:
    """Another attempt at what a return is owed."""
    if (found := owed.next_owed(payment)) is None:
        return None
    refund, amount = found
    again = Operation(
        operation_id=key_of(payment, refund.kind, refund.request_id or ""),
        kind=refund.kind,
        amount=amount,
        traceparent=refund.traceparent,
        request_id=refund.request_id,
        create_time=now,
        reason=refund.reason,
        lines=refund.lines,
        wanted=amount,
    )
    return owed.fitted(again, payment)


def _without_what_is_of_no_use(payment: Payment) -> Payment:
    """Forget what the customer confirms with, once they are not waited for any more."""
    if payment.state == REQUIRES_ACTION and payment.authorization.open:
        return payment
    if not (payment.next_action_url or payment.client_secret):
        return payment
    return replace(payment, next_action_url="", client_secret="")


def _is_ready(kind: Kind, payment: Payment) -> bool:
    """Whether its state lets an operation begin, or shows that it never can."""
    if kind == Kind.REFUND:
        return payment.state not in UNTAKEN and not payment.disputed
    return payment.state not in UNDECIDED


def _place(payment: Payment) -> tuple[int, ...]:
    return payment.state, payment.captured, payment.voided, payment.refunded, payment.charged_back
