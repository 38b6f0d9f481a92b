"""What each outcome changes in a payment, and what comes next. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.payment.rules import amounts, owed, postings
from services.payment.rules.change import Change
from services.payment.rules.keys import key_of
from services.payment.rules.life import (
    AUTHORIZED,
    DONE,
    EXPIRED,
    MOOT,
    NEWS,
    OPERATIONS,
    REFUNDED,
    REQUIRES_ACTION,
    TAKEN,
    UNDECIDED,
    UNTAKEN,
    VOIDED,
    Contradiction,
    moved,
    not_allowed,
    stands,
    step,
)
from services.payment.rules.outcomes import DISPUTED, NO_WORDS, Outcome, Refused, Told, Unknown, Words
from services.payment.rules.payment import (
    AT_ONCE,
    ON_ACCEPTANCE,
    ON_SHIPMENT,
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    OPERATION_UNKNOWN,
    OPERATION_WAITING,
    VOIDS,
    Kind,
    Operation,
    OperationState,
    Payment,
    State,
)
from services.payment.rules.postings import Transaction
from services.runtime.refusals import Refusal


def may_void(payment: Payment) -> None:
    """Refuse to give up what is not promised any more, or while something else is open."""
    if (Kind.VOID, payment.state) not in OPERATIONS or payment.in_flight:
        raise not_allowed(Kind.VOID, payment)
    if payment.amount and not payment.capturable:
        raise not_allowed(Kind.VOID, payment)


def same(payment: Payment, asked: Payment) -> Payment:
    """Return the order's payment when it is the one that was asked for; else refuse with PAYMENT_MISMATCH.

    A payment whose order was cancelled before it was asked for has no method.
    """
    tombstone = payment.cancelled and not payment.operations
    fields = ("store_id", "customer_id", "amount", "currency_code")
    for field in fields if tombstone else (*fields, "payment_method"):
        if getattr(payment, field) != getattr(asked, field):
            raise Refusal(
                ErrorReason.ERROR_REASON_PAYMENT_MISMATCH,
                f"The order is paid with another {field}",
                order_id=payment.order_id,
            )
    return payment


def accepted(payment: Payment) -> Kind | None:
    """Return the operation that an accepted order wants, if any: that what is left is taken, whoever took a part.

    A cancellation that came first decides; so does the end of the promise, of which the order is told by itself. While
    the promise is being given up the capture waits: it fails, for all to see, when that is done. Refused where the
    money was never promised.
    """
    if payment.cancelled or payment.state in (VOIDED, EXPIRED):
        return None
    if payment.state not in (AUTHORIZED, *TAKEN):
        raise not_allowed(Kind.CAPTURE, payment)
    wanted = payment.capture_mode in (ON_ACCEPTANCE, AT_ONCE) and amounts.left_to_take(payment) > 0
    return Kind.CAPTURE if wanted else None


def takes_parcels(payment: Payment) -> bool:
    """Tell whether the money is taken for each parcel. Refused where it was never promised."""
    if payment.capture_mode != ON_SHIPMENT or payment.cancelled or payment.state in (VOIDED, EXPIRED):
        return False
    if payment.state in UNDECIDED:
        raise not_allowed(Kind.CAPTURE, payment)
    return True


def is_overtaken(payment: Payment, shipped: int) -> bool:
    """Tell whether a parcel was sent whose capture is not asked for yet, of parcels worth so much in all."""
    by_parcel = payment.capture_mode == ON_SHIPMENT and payment.capturable > 0
    return by_parcel and amounts.asked_for(payment) < shipped


def cancelled(payment: Payment, now: datetime) -> Change | None:
    """Return what its order's end changes: at once, or as soon as what is in flight has settled."""
    if payment.cancelled or not payment.operations:
        return None
    after = replace(next_version(payment, now), cancelled=True)
    return followed(payment, after, payment.authorization, now)


def overdue(payment: Payment, now: datetime) -> Change | None:
    """Return what it changes that the payment's time is over, if it is, and nothing is in flight."""
    if payment.expire_time is None or payment.expire_time > now or payment.in_flight:
        return None
    after = replace(next_version(payment, now), expire_time=None)
    if payment.state in (*UNTAKEN, *TAKEN) and payment.capturable:
        return followed(payment, after, payment.authorization, now, wanted=Kind.EXPIRE)
    return Change(before=payment, payment=after, operation=payment.authorization)


def settled(payment: Payment, operation: Operation, outcome: Outcome, now: datetime) -> Change | None:
    """Return what an operation's outcome changes; None when it is no news. Raises Contradiction."""
    match outcome:
        case Told():
            return _told(payment, operation, outcome, now)
        case Refused():
            return _refused(payment, operation, outcome, now)
        case Unknown():
            return _lost(payment, operation, outcome, now)


def unasked(payment: Payment, told: Told, now: datetime) -> Change | None:
    """Return what it changes that the provider gave up by itself what was authorized. Raises Contradiction."""
    if told.status not in ("voided", "expired"):
        raise Contradiction(f"{told.status}, and nobody here asked for it")
    in_flight = payment.in_flight
    if in_flight and in_flight.kind in (Kind.CAPTURE, *VOIDS):
        return None  # Its own answer will tell.
    return _told(payment, payment.authorization, told, now)


def foregone(operation: Operation, payment: Payment) -> Outcome | None:
    """Return the outcome that no provider need be asked for: of no money, or of what is not there any more."""
    kind, amount = operation.kind, operation.amount
    if kind == Kind.REFUND and ((Kind.REFUND, payment.state) not in OPERATIONS or amount > payment.kept):
        code = "not_left" if payment.captured else "nothing_captured"
        return Refused((operation.wanted and lacking(payment)) or code)
    if kind == Kind.CAPTURE and (
        (Kind.CAPTURE, payment.state) not in OPERATIONS or amount > payment.capturable
    ):
        return Refused("nothing_left")
    if payment.amount:
        return None
    return Told(status=DONE[kind], reference="", amount=0, currency_code=payment.currency_code)


def fitted(operation: Operation, payment: Payment) -> Operation:
    """Return an operation that begins now: a return's refund gives back what it is worth, or what is left of that."""
    amount = min(operation.wanted, payment.kept)
    if amount <= 0:
        return operation  # A refund by hand; or nothing is left, and nobody need be asked (`foregone`).
    return replace(operation, amount=amount, lines=amounts.fitted(payment, operation, amount))


def lacking(payment: Payment) -> str:
    """Say why less than the whole amount of a payment is left to give back."""
    causes = {
        owed.NOT_CAPTURED: payment.captured < payment.amount,
        owed.REFUNDED_BEFORE: payment.refunded > 0,
        owed.CHARGED_BACK: payment.charged_back > 0,
        DISPUTED: payment.disputed > 0,
    }
    return ", ".join(cause for cause, holds in causes.items() if holds)


def waits(kind: Kind, payment: Payment) -> bool:
    """Tell whether an operation has to wait: for its turn, or for the money to be there."""
    if kind not in (Kind.CAPTURE, Kind.REFUND):
        return False
    return payment.in_flight is not None or not _ready(kind, payment)


def _ready(kind: Kind, payment: Payment) -> bool:
    """Whether its state lets an operation begin, or shows that it never can."""
    if kind == Kind.REFUND:
        return payment.state not in UNTAKEN and not payment.disputed
    return payment.state not in UNDECIDED


def _told(payment: Payment, operation: Operation, told: Told, now: datetime) -> Change | None:
    name, kinds = NEWS[told.status]
    if operation.kind not in kinds:
        raise Contradiction(f"{told.status} as the answer to {operation.kind}")
    _agree(payment, operation, told)
    if operation.kind != Kind.AUTHORIZE:
        return _done(payment, operation, told, name, now)
    if name in VOIDS:
        return _given_up(payment, operation, name, now, told)
    state = step(name, payment)
    if state == payment.state and not operation.open:
        return None
    after = replace(
        payment,
        state=state,
        provider_reference=told.reference or payment.provider_reference,
        decline_code=told.decline_code,
        expire_time=_expires(payment, told, state),
        captures_once=told.captures_once,
    )
    if name == "challenge":
        after = replace(after, next_action_url=told.next_action_url, client_secret=told.client_secret)
    if name in ("challenge", "process"):
        # One that was given up for its cancelled order stays given up.
        ended = replace(operation, state=OPERATION_PENDING) if operation.open else operation
        if (after, ended) == (payment, operation):
            return None
        return followed(payment, next_version(after, now), ended, now)
    ended = _ended(operation, OPERATION_SUCCEEDED if name == "authorize" else OPERATION_FAILED, now, told)
    booked = postings.authorized(payment, operation) if name == "authorize" else ()
    # What costs nothing is paid for as soon as it is promised, whatever the store waits for.
    at_once = payment.capture_mode == AT_ONCE or not payment.amount
    wanted = Kind.CAPTURE if name == "authorize" and at_once else None
    return followed(payment, next_version(after, now), ended, now, booked, wanted)


def _expires(payment: Payment, told: Told, state: State) -> datetime | None:
    """When the provider, or the store, waits no longer: the sooner of the two while the customer has to act."""
    if state == AUTHORIZED:
        return told.expire_time
    times = [time for time in (payment.expire_time, told.expire_time) if time]
    return min(times, default=None) if state in UNDECIDED else None


def _done(payment: Payment, operation: Operation, told: Told, name: str, now: datetime) -> Change | None:
    """Add up what a capture, a refund or a void did, once: reply, lookup and webhook all tell of the same operation."""
    if not operation.open:
        if operation.state == OPERATION_SUCCEEDED or (operation.kind in VOIDS and _over(payment)):
            return None
        raise Contradiction(f"a {operation.kind} that was refused, or not asked for yet, was done there")
    if operation.kind in VOIDS:
        return _given_up(payment, operation, operation.kind, now, told)
    amount, capture = operation.amount, name == "capture"
    after = replace(
        next_version(payment, now),
        captured=payment.captured + (amount if capture else 0),
        refunded=payment.refunded + (0 if capture else amount),
    )
    state = stands(after) if payment.amount or capture else REFUNDED
    after = replace(after, state=moved(name, payment, state))
    if not after.capturable:
        after = replace(after, expire_time=None)
    booked = postings.captured(payment, operation) if capture else postings.refunded(payment, operation)
    return followed(payment, after, _ended(operation, OPERATION_SUCCEEDED, now, told), now, booked)


def _given_up(
    payment: Payment,
    operation: Operation,
    name: str,
    now: datetime,
    told: Told | None = None,
    refused: Refused | None = None,
) -> Change | None:
    """Give up what was authorized and not taken: by a void, or because its time is over there or here."""
    if not operation.open and (_over(payment) or not payment.capturable):
        return None
    held = payment.state == AUTHORIZED or payment.state in TAKEN
    after = replace(
        next_version(payment, now),
        voided=payment.voided + (payment.capturable if held else 0),
        provider_reference=payment.provider_reference or (told.reference if told else ""),
        expire_time=None,
    )
    if payment.state in TAKEN:
        after = replace(after, state=moved(name, payment, stands(after)))
    else:
        after = replace(after, state=step(name, payment))
    booked = postings.given_up(payment, operation, name) if held else ()
    ended = operation
    if operation.open:
        success = operation.kind in VOIDS
        ended = _ended(operation, OPERATION_SUCCEEDED if success else OPERATION_FAILED, now, told, refused)
    return followed(payment, after, ended, now, booked)


def _refused(payment: Payment, operation: Operation, refused: Refused, now: datetime) -> Change | None:
    if not operation.open:
        return None
    kind = operation.kind
    name = MOOT.get((kind, refused.charge), "decline" if kind == Kind.AUTHORIZE else "")
    if name in VOIDS:
        return _given_up(payment, operation, name, now, refused=refused)
    after = next_version(payment, now)
    if name:
        after = replace(
            after,
            state=step(name, payment),
            expire_time=None,
            decline_code=refused.code if kind == Kind.AUTHORIZE else payment.decline_code,
        )
    ended = _ended(operation, OPERATION_FAILED, now, refused=refused)
    return followed(payment, after, ended, now, refused=ended)


def _lost(payment: Payment, operation: Operation, unknown: Unknown, now: datetime) -> Change | None:
    waiting = payment.in_flight is None or payment.in_flight.operation_id != operation.operation_id
    if waiting or operation.state == OPERATION_UNKNOWN:
        return None
    after = next_version(payment, now)
    if operation.kind == Kind.AUTHORIZE:
        after = replace(after, state=step("lose", payment))
    lost = _saying(operation, unknown.words, state=OPERATION_UNKNOWN)
    return Change(before=payment, payment=after.with_changed(lost), operation=lost)


def _agree(payment: Payment, operation: Operation, told: Told) -> None:
    """Refuse a sum that is not ours, to the last minor unit; a part's while it is open, and so the last one."""
    captures = operation.kind == Kind.CAPTURE and operation.open
    refunds = operation.kind == Kind.REFUND and operation.open
    voids = operation.kind in VOIDS and operation.open
    captured = payment.captured if voids else told.captured
    expected: Mapping[str, int] = {
        "amount": payment.amount,
        "captured": payment.captured + operation.amount if captures else captured,
        "refunded": payment.refunded + operation.amount if refunds else told.refunded,
    }
    if told.currency_code != payment.currency_code:
        raise Contradiction(f"the currency is {told.currency_code} there and {payment.currency_code} here")
    for field, ours in expected.items():
        if getattr(told, field) != ours:
            there, here = payment.sum_in_words(getattr(told, field)), payment.sum_in_words(ours)
            raise Contradiction(f"{field} is {there} there and {here} here")
    if told.reference and payment.provider_reference not in ("", told.reference):
        raise Contradiction("it is another charge there")


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

    A cancelled order wants its money back. What was just `refused` would be refused again: a person must look; unless a
    dispute has stopped it, which was decided.
    """
    after = after.with_changed(operation)
    begun = None
    if after.in_flight:
        wanted = None
    else:
        begun = _next_waiting(after)
        if begun:
            wanted = None
        elif after.cancelled:
            wanted = _wanted_back(after, refused)
        elif not wanted and _is_final(after):
            wanted = Kind.VOID
    if begun:
        begun = fitted(replace(begun, state=OPERATION_PENDING), after)
        after = after.with_changed(begun)
    if wanted and operation.open:
        # It waits for the customer, who is not asked any more.
        operation = _ended(operation, OPERATION_FAILED, now)
        after = after.with_changed(operation)
    after = _without_what_is_of_no_use(after)
    following = _following(wanted, after, operation, now) if wanted else None
    if not (begun or following or after.in_flight or after.cancelled):
        following = _anew(after, now)
    return Change(
        before=before, payment=after, operation=operation, booked=booked, begun=begun, next=following
    )


def _without_what_is_of_no_use(payment: Payment) -> Payment:
    """Forget what the customer confirms with, once they are not waited for any more."""
    if payment.state == REQUIRES_ACTION and payment.authorization.open:
        return payment
    if not (payment.next_action_url or payment.client_secret):
        return payment
    return replace(payment, next_action_url="", client_secret="")


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
    return fitted(again, payment)


def _next_waiting(payment: Payment) -> Operation | None:
    """What is taken comes first, for what is given back may be of it."""
    waiting = [one for one in payment.operations if one.state == OPERATION_WAITING]
    waiting.sort(key=lambda one: one.kind != Kind.CAPTURE)
    return next((one for one in waiting if _ready(one.kind, payment)), None)


def _is_final(payment: Payment) -> bool:
    """Whether a capture said that the rest is to be given up, and nobody has refused to."""
    done = [one for one in payment.operations if one.state == OPERATION_SUCCEEDED]
    final = any(one.final for one in done) and payment.capturable > 0
    return final and not any(
        one.kind in VOIDS and one.state == OPERATION_FAILED for one in payment.operations
    )


def _wanted_back(payment: Payment, refused: Operation | None) -> Kind | None:
    """What a cancelled order wants: that nothing more is taken, then what was taken back."""
    voidable = payment.state in UNTAKEN or (payment.state in TAKEN and payment.capturable)
    if voidable and not (refused and refused.kind in VOIDS):
        return Kind.VOID
    if (Kind.REFUND, payment.state) not in OPERATIONS or (payment.amount and payment.kept <= 0):
        return None
    again = refused and refused.kind == Kind.REFUND and refused.amount == payment.kept
    return None if refused and again and not owed.may_go_on(payment, refused) else Kind.REFUND


def _over(payment: Payment) -> bool:
    return payment.state not in (*UNTAKEN, *TAKEN)


def _ended(
    operation: Operation,
    state: OperationState,
    now: datetime,
    told: Told | None = None,
    refused: Refused | None = None,
) -> Operation:
    answer = told or refused
    return _saying(
        operation,
        answer.words if answer else NO_WORDS,
        state=state,
        settle_time=now,
        provider_reference=told.operation_reference if told else "",
        failure_code=refused.code if refused else "",
    )


def _saying(operation: Operation, words: Words, **changed: Any) -> Operation:
    """Change an operation, and note what the provider said last: nothing, once it did what it was asked."""
    return replace(operation, provider_message=words.message, provider_request_id=words.request_id, **changed)


def next_version(payment: Payment, now: datetime) -> Payment:
    return replace(payment, version=payment.version + 1, update_time=now)
