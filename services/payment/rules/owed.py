"""What people are owed for what they have sent back, and when it is asked for (anew). Pure.

A return gives back what was left when its refund began. Money may come later: somebody captures more, or a dispute is
decided. A provider may also refuse because of a dispute of which it tells only later, or whose news has overtaken its
answer: each dispute that was decided is reason for one attempt more, so that nobody asks again and again, nor is left
without, in whatever order the news comes.
"""

from dataclasses import replace
from typing import NamedTuple

from services.payment.rules import amounts
from services.payment.rules.outcomes import DISPUTED
from services.payment.rules.payment import (
    DISPUTE_OPEN,
    OPERATION_FAILED,
    OPERATION_SUCCEEDED,
    UNSETTLED,
    Kind,
    Operation,
    Payment,
)

# Why less than the whole amount of a payment is left to give back.
NOT_CAPTURED, REFUNDED_BEFORE, CHARGED_BACK = "not_captured", "refunded_before", "charged_back"
_LACKS = {NOT_CAPTURED, REFUNDED_BEFORE, CHARGED_BACK}


class Owed(NamedTuple):
    """What is missing of a return's worth, and the refund that has not given it back."""

    refund: Operation
    amount: int


def next_owed(payment: Payment) -> Owed | None:
    """Return what is to be given back now, of the first return that is owed something."""
    if payment.disputed:
        return None
    refunds = [one for one in payment.operations if one.kind == Kind.REFUND and one.wanted]
    returns = dict.fromkeys(one.request_id for one in refunds if one.request_id)
    return next(filter(None, (_owed(payment, return_id) for return_id in returns)), None)


def fitted(operation: Operation, payment: Payment) -> Operation:
    """Return an operation that begins now: a return's refund gives back what it is worth, or what is left of that."""
    amount = min(operation.wanted, payment.kept)
    if amount <= 0:
        return operation  # A refund by hand; or nothing is left, and nobody need be asked (`foregone`).
    return replace(operation, amount=amount, lines=amounts.fitted(payment, operation, amount))


def may_go_on(payment: Payment, refund: Operation) -> bool:
    """Tell whether a refund was stopped by a dispute, and may be asked for anew."""
    if not _was_stopped(refund) or payment.disputed:
        return False
    attempts = [one for one in payment.operations if one.request_id == refund.request_id]
    decided = sum(dispute.status != DISPUTE_OPEN for dispute in payment.disputes)
    return sum(map(_was_stopped, attempts)) <= decided


def _owed(payment: Payment, return_id: str) -> Owed | None:
    attempts = payment.attempts(return_id)
    last, missing = attempts[-1], attempts[0].wanted - given(payment, return_id)
    if not missing or last.state in UNSETTLED or _was_given_by_hand(payment, last, missing):
        return None
    if may_go_on(payment, last):
        return Owed(last, missing)
    lacked = last.state == OPERATION_SUCCEEDED or _LACKS.issuperset(_causes(last))
    return Owed(last, missing) if lacked and payment.kept > 0 else None


def given(payment: Payment, return_id: str) -> int:
    """Return what went back for a return, or for whoever asked, in all."""
    done = (one for one in payment.attempts(return_id) if one.state == OPERATION_SUCCEEDED)
    return sum(one.amount for one in done if one.kind == Kind.REFUND)


def _was_stopped(operation: Operation) -> bool:
    failed = operation.kind == Kind.REFUND and operation.state == OPERATION_FAILED
    return failed and DISPUTED in _causes(operation)


def _causes(operation: Operation) -> list[str]:
    return operation.failure_code.split(", ")


def _was_given_by_hand(payment: Payment, refund: Operation, amount: int) -> bool:
    """Whether somebody has given the same sum back since, who could not know that it would be given."""
    since = payment.operations[payment.operations.index(refund) + 1 :]
    done = [one for one in since if one.kind == Kind.REFUND and one.state == OPERATION_SUCCEEDED]
    return any(not one.wanted and one.amount == amount for one in done)
