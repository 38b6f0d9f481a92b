"""A payment is asked for, and its provider promises the money, declines, or waits for the customer. Pure."""

from dataclasses import replace
from datetime import datetime

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.payment.rules import postings
from services.payment.rules.change import Change, ended, followed, next_version
from services.payment.rules.life import AUTHORIZED, UNDECIDED, step
from services.payment.rules.outcomes import Told
from services.payment.rules.payment import (
    AT_ONCE,
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    Kind,
    Operation,
    Payment,
    State,
)
from services.runtime.refusals import Refusal


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


def answered(payment: Payment, operation: Operation, told: Told, name: str, now: datetime) -> Change | None:
    """Return what the provider's answer changes; `name` is the step of the payment's life that it is."""
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
        return _goes_on(payment, after, operation, now)
    after = next_version(after, now)
    if name == "decline":
        return followed(payment, after, ended(operation, OPERATION_FAILED, now, told), now)
    # What costs nothing is paid for as soon as it is promised, whatever the store waits for.
    at_once = payment.capture_mode == AT_ONCE or not payment.amount
    return followed(
        payment,
        after,
        ended(operation, OPERATION_SUCCEEDED, now, told),
        now,
        postings.authorized(payment, operation),
        wanted=Kind.CAPTURE if at_once else None,
    )


def _goes_on(payment: Payment, after: Payment, operation: Operation, now: datetime) -> Change | None:
    """Nothing is decided yet. What was given up for its cancelled order stays given up."""
    waiting = replace(operation, state=OPERATION_PENDING) if operation.open else operation
    if (after, waiting) == (payment, operation):
        return None
    return followed(payment, next_version(after, now), waiting, now)


def _expires(payment: Payment, told: Told, state: State) -> datetime | None:
    """When the provider, or the store, waits no longer: the sooner of the two while the customer has to act."""
    if state == AUTHORIZED:
        return told.expire_time
    times = [time for time in (payment.expire_time, told.expire_time) if time]
    return min(times, default=None) if state in UNDECIDED else None
