"""What was authorized and not taken is given up: by somebody, for a cancelled order, or as its time is over. Pure."""

from dataclasses import replace
from datetime import datetime

from services.payment.rules import postings
from services.payment.rules.change import Change, ended, followed, next_version
from services.payment.rules.life import (
    AUTHORIZED,
    OPERATIONS,
    TAKEN,
    UNTAKEN,
    moved,
    not_allowed,
    stands,
    step,
)
from services.payment.rules.outcomes import Refused, Told
from services.payment.rules.payment import (
    OPERATION_FAILED,
    OPERATION_SUCCEEDED,
    VOIDS,
    Kind,
    Operation,
    Payment,
)


def check_may_void(payment: Payment) -> None:
    """Refuse to give up what is not promised any more, or while something else is open."""
    if (Kind.VOID, payment.state) not in OPERATIONS or payment.in_flight:
        raise not_allowed(Kind.VOID, payment)
    if payment.amount and not payment.capturable:
        raise not_allowed(Kind.VOID, payment)


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


def given_up(
    payment: Payment,
    operation: Operation,
    name: str,
    now: datetime,
    told: Told | None = None,
    refused: Refused | None = None,
) -> Change | None:
    """Give up what was authorized and not taken: by a void, or because its time is over there or here."""
    if not operation.open and (is_over(payment) or not payment.capturable):
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
    over = operation
    if operation.open:
        success = operation.kind in VOIDS
        over = ended(operation, OPERATION_SUCCEEDED if success else OPERATION_FAILED, now, told, refused)
    return followed(payment, after, over, now, booked)


def is_over(payment: Payment) -> bool:
    """Tell whether nothing is promised any more, nor was anything taken."""
    return payment.state not in (*UNTAKEN, *TAKEN)
