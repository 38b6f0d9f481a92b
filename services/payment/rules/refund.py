"""Money is given back: what that changes, and why less than all of it is left to give. Pure."""

from dataclasses import replace
from datetime import datetime

from services.payment.rules import owed, postings
from services.payment.rules.change import Change, ended, followed, next_version
from services.payment.rules.life import REFUNDED, moved, stands
from services.payment.rules.outcomes import DISPUTED, Told
from services.payment.rules.payment import OPERATION_SUCCEEDED, Operation, Payment


def refunded(payment: Payment, operation: Operation, told: Told, now: datetime) -> Change:
    """Add up what a refund gave back. Raises Contradiction."""
    after = replace(next_version(payment, now), refunded=payment.refunded + operation.amount)
    # Of what costs nothing the sums say nothing.
    state = stands(after) if payment.amount else REFUNDED
    after = replace(after, state=moved("refund", payment, state))
    if not after.capturable:
        after = replace(after, expire_time=None)
    booked = postings.refunded(payment, operation)
    return followed(payment, after, ended(operation, OPERATION_SUCCEEDED, now, told), now, booked)


def lacking(payment: Payment) -> str:
    """Say why less than the whole amount of a payment is left to give back."""
    causes = {
        owed.NOT_CAPTURED: payment.captured < payment.amount,
        owed.REFUNDED_BEFORE: payment.refunded > 0,
        owed.CHARGED_BACK: payment.charged_back > 0,
        DISPUTED: payment.disputed > 0,
    }
    return ", ".join(cause for cause, holds in causes.items() if holds)
