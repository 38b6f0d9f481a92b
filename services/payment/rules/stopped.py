"""Refunds that a dispute has stopped, and when they are asked for anew. Pure.

A provider may refuse because of a dispute of which it tells only later, or whose news has overtaken its answer. What
people are owed waits for that, and each dispute that was decided is reason for one attempt more: so nobody asks again
and again, nor in vain for ever, in whatever order the news comes.
"""

from services.payment.rules.outcomes import DISPUTED
from services.payment.rules.payment import (
    DISPUTE_OPEN,
    OPERATION_FAILED,
    OPERATION_SUCCEEDED,
    Operation,
    Payment,
)


def owed(payment: Payment) -> Operation | None:
    """Return the first return's refund that was stopped and is to be asked for anew, if there is one."""
    return next((one for one in payment.operations if one.wanted and _is_owed(payment, one)), None)


def may_go_on(payment: Payment, refund: Operation) -> bool:
    """Tell whether a refund was stopped by a dispute, and may be asked for anew."""
    if not _was_stopped(refund) or payment.disputed:
        return False
    attempts = [one for one in payment.operations if one.request_id == refund.request_id]
    decided = sum(dispute.status != DISPUTE_OPEN for dispute in payment.disputes)
    return sum(map(_was_stopped, attempts)) <= decided


def _is_owed(payment: Payment, refund: Operation) -> bool:
    last = refund.request_id is not None and payment.asked_under(refund.request_id) == refund
    return last and may_go_on(payment, refund) and not _was_given_by_hand(payment, refund)


def _was_stopped(operation: Operation) -> bool:
    failed = operation.kind == "refund" and operation.state == OPERATION_FAILED
    return failed and DISPUTED in operation.failure_code.split(", ")


def _was_given_by_hand(payment: Payment, refund: Operation) -> bool:
    """Whether somebody has given the same sum back since, who could not know that it would be given."""
    since = payment.operations[payment.operations.index(refund) + 1 :]
    return any(
        one.kind == "refund"
        and one.state == OPERATION_SUCCEEDED
        and not one.wanted
        and one.amount == refund.amount
        for one in since
    )
