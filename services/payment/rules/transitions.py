"""What each outcome changes in a payment: which happening it is, and whether it can be true. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.payment.rules import authorize
from services.payment.rules.capture import captured
from services.payment.rules.change import Change, ended, followed, next_version, saying
from services.payment.rules.give_up import given_up, is_over
from services.payment.rules.life import DONE, MOOT, NEWS, OPERATIONS, Contradiction, step
from services.payment.rules.outcomes import Outcome, Refused, Told, Unknown
from services.payment.rules.payment import (
    OPERATION_FAILED,
    OPERATION_SUCCEEDED,
    OPERATION_UNKNOWN,
    VOIDS,
    Kind,
    Operation,
    Payment,
)
from services.payment.rules.refund import lacking, refunded


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


def _told(payment: Payment, operation: Operation, told: Told, now: datetime) -> Change | None:
    name, kinds = NEWS[told.status]
    if operation.kind not in kinds:
        raise Contradiction(f"{told.status} as the answer to {operation.kind}")
    _agree(payment, operation, told)
    if operation.kind == Kind.AUTHORIZE:
        if name in VOIDS:
            return given_up(payment, operation, name, now, told)
        return authorize.answered(payment, operation, told, name, now)
    if not operation.open:
        # Reply, lookup and webhook all tell of the same operation.
        if operation.state == OPERATION_SUCCEEDED or (operation.kind in VOIDS and is_over(payment)):
            return None
        raise Contradiction(f"a {operation.kind} that was refused, or not asked for yet, was done there")
    match operation.kind:
        case Kind.CAPTURE:
            return captured(payment, operation, told, now)
        case Kind.REFUND:
            return refunded(payment, operation, told, now)
        case Kind.VOID | Kind.EXPIRE:
            return given_up(payment, operation, operation.kind, now, told)


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


def _refused(payment: Payment, operation: Operation, refused: Refused, now: datetime) -> Change | None:
    if not operation.open:
        return None
    kind = operation.kind
    name = MOOT.get((kind, refused.charge), "decline" if kind == Kind.AUTHORIZE else "")
    if name in VOIDS:
        return given_up(payment, operation, name, now, refused=refused)
    after = next_version(payment, now)
    if name:
        after = replace(
            after,
            state=step(name, payment),
            expire_time=None,
            decline_code=refused.code if kind == Kind.AUTHORIZE else payment.decline_code,
        )
    failed = ended(operation, OPERATION_FAILED, now, refused=refused)
    return followed(payment, after, failed, now, refused=failed)


def _lost(payment: Payment, operation: Operation, unknown: Unknown, now: datetime) -> Change | None:
    waiting = payment.in_flight is None or payment.in_flight.operation_id != operation.operation_id
    if waiting or operation.state == OPERATION_UNKNOWN:
        return None
    after = next_version(payment, now)
    if operation.kind == Kind.AUTHORIZE:
        after = replace(after, state=step("lose", payment))
    lost = saying(operation, unknown.words, state=OPERATION_UNKNOWN)
    return Change(before=payment, payment=after.with_changed(lost), operation=lost)
