"""Money is given back: what that changes, and why less than all of it is left to give. Pure."""

from dataclasses import replace
from datetime import datetime

from services.payment.rules import owed, postings
from services.payment.rules.change import Change, next_version, succeeded
from services.payment.rules.life import REFUNDED, moved, stands
from services.payment.rules.outcomes import DISPUTED, Told
from services.payment.rules.payment import Operation, Payment


def refunded(payment: Payment, operation: Operation, told: Told, now: datetime) -> Change:
    """Add up what a refund gave back. Raises Contradiction."""
    after = replace(next_version(payment, now), refunded=payment.refunded + operation.amount)
    # Of what costs nothing the sums say nothing.
    state = stands(after) if payment.amount else REFUNDED
    after = replace(after, state=moved("refund", payment, state))
    return succeeded(payment, after, operation, told, now, postings.refunded(payment, operation))


def lacking(payment: Payment) -> str:
    """Say why less than the whole amount of a payment is left to give back."""
    causes = {
        owed.NOT_CAPTURED: payment.captured < payment.amount,
        owed.REFUNDED_BEFORE: payment.refunded > 0,
        owed.CHARGED_BACK: payment.charged_back > 0,
        DISPUTED: payment.disputed > 0,
    }
    return ", ".join(cause for cause, holds in causes.items() if holds)
