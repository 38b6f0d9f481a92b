"""What the provider allows: payment methods, the life of a charge, limits. Pure."""

import random
from typing import Any, Literal, NamedTuple


class Refused(Exception):
    """A request that is answered with `{"error": {code, message, …details}}` and changes nothing."""

    def __init__(self, http_status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.error: dict[str, Any] = {"code": code, "message": message, **details}


class Charge(NamedTuple):
    """One charge as it is now. The fields are the columns of the book and the names in the JSON."""

    id: str
    idempotency_key: str
    reference: str
    payment_method: str
    currency_code: str
    amount_minor_units: int
    status: str
    decline_code: str | None
    authorized_minor_units: int
    captured_minor_units: int
    refunded_minor_units: int
    voided_minor_units: int
    created: int
    """Unix seconds."""


class Method(NamedTuple):
    """How a payment method behaves."""

    status: Literal["authorized", "declined", "requires_action", "processing"] = "authorized"
    decline_code: str | None = None
    delay_seconds: float = 0
    silent: Literal["before", "after"] | None = None
    """before: the first request has no effect and no answer. after: it has its effect, and no answer."""
    webhook_copies: int = 1


METHODS = {
    "pm_sandbox_ok": Method(),
    "pm_sandbox_declined": Method("declined", "card_declined"),
    "pm_sandbox_insufficient_funds": Method("declined", "insufficient_funds"),
    "pm_sandbox_requires_action": Method("requires_action"),
    "pm_sandbox_slow": Method(delay_seconds=1.5),
    "pm_sandbox_silent_before": Method(silent="before"),
    "pm_sandbox_silent_after": Method(silent="after"),
    "pm_sandbox_duplicate_webhook": Method(webhook_copies=3),
    "pm_sandbox_late_webhook": Method("processing"),
}

# The whole life of a charge: the step and the status it is taken from, to the status it leads to.
LIFE = {
    ("authorize", "processing"): "authorized",
    ("authorize", "requires_action"): "authorized",
    ("decline", "requires_action"): "declined",
    ("void", "processing"): "voided",
    ("void", "requires_action"): "voided",
    ("void", "authorized"): "voided",
    ("capture", "authorized"): "captured",
    ("capture", "captured"): "captured",
    ("refund", "captured"): "refunded",
    ("refund", "refunded"): "refunded",
}

UNDECIDED = ("processing", "requires_action")


def step(name: str, charge: Charge, amount: int = 0) -> Charge:
    """The charge after a step of LIFE. Raises Refused (409) when the life or the sums do not allow it.

    amount: minor units; only capture and refund have one.
    """
    status = LIFE.get((name, charge.status))
    if status is None:
        raise _not_allowed(charge, "step_not_allowed", f"cannot {name} a charge that is {charge.status}")
    moved = charge._replace(status=status)
    if name == "authorize":
        return moved._replace(authorized_minor_units=charge.amount_minor_units)
    if name == "decline":
        return moved._replace(decline_code="authentication_failed")
    if name == "void":
        return moved._replace(voided_minor_units=charge.authorized_minor_units)
    if name == "capture":
        captured = charge.captured_minor_units + amount
        if captured > charge.authorized_minor_units:
            raise _not_allowed(charge, "amount_exceeds_authorized", "more than is left of the authorization")
        return moved._replace(captured_minor_units=captured)
    refunded = charge.refunded_minor_units + amount
    if refunded > charge.captured_minor_units:
        raise _not_allowed(charge, "amount_exceeds_captured", "more than is left of what was captured")
    return moved._replace(refunded_minor_units=refunded)


def _not_allowed(charge: Charge, code: str, message: str) -> Refused:
    return Refused(409, code, message, charge_id=charge.id, charge_status=charge.status)


WEBHOOK_ATTEMPTS = 24  # With the delays below about twelve hours in all.


def webhook_delay(attempts: int) -> float | None:
    """Seconds from failed attempt number `attempts` to the next; None when there is no next."""
    if attempts >= WEBHOOK_ATTEMPTS:
        return None
    return float(min(0.5 * 2 ** (attempts - 1), 3600) * random.uniform(0.8, 1.2))
