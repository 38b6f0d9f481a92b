"""What the provider allows: payment methods, the life of a charge and of a dispute, limits, fees. Pure."""

import hashlib
import re
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
    disputed_minor_units: int
    """What open and lost disputes have withdrawn."""
    created: int
    """Unix seconds, as is the next."""
    expires: int | None
    """When the authorization ends, or the challenge while it is open."""

    @property
    def rest(self) -> int:
        """What may still be captured."""
        return self.authorized_minor_units - self.captured_minor_units - self.voided_minor_units


class Dispute(NamedTuple):
    """A customer's bank takes money back. The fields are the columns of the book and the names in the JSON."""

    id: str
    charge_id: str
    amount_minor_units: int
    currency_code: str
    reason: str
    status: str
    created: int
    fee_minor_units: int


class Line(NamedTuple):
    """One line of the settlement report; the fields are its columns, and those of the book."""

    id: str
    type: str
    charge_id: str
    reference: str
    idempotency_key: str | None
    operation_reference: str
    currency_code: str
    gross_minor_units: int
    fee_minor_units: int
    net_minor_units: int
    created: int


class Method(NamedTuple):
    """How a payment method behaves."""

    status: Literal["authorized", "declined", "requires_action", "processing"] = "authorized"
    decline_code: str | None = None
    delay_seconds: float = 0
    silent: Literal["before", "after"] | None = None
    """before: the first request has no effect and no answer. after: it has its effect, and no answer."""
    webhook_copies: int = 1
    tells_all: bool = False
    """Each change has its webhook, even where a reply has told it."""
    besides: Literal["wrong_amount", "unknown_charge"] | None = None
    """A webhook that is not true comes with the charge."""
    expires_seconds: float | None = None
    """How long a challenge, or an authorization, lasts; None: as the settings say."""
    dispute: Literal["won", "lost"] | None = None
    """How the dispute ends that follows the first capture by itself."""


METHODS = {
    "pm_sandbox_ok": Method(),
    "pm_sandbox_declined": Method("declined", "card_declined"),
    "pm_sandbox_insufficient_funds": Method("declined", "insufficient_funds"),
    "pm_sandbox_requires_action": Method("requires_action"),
    "pm_sandbox_hosted": Method("requires_action"),
    "pm_sandbox_slow": Method(delay_seconds=1.5),
    "pm_sandbox_silent_before": Method(silent="before"),
    "pm_sandbox_silent_after": Method(silent="after"),
    "pm_sandbox_duplicate_webhook": Method(webhook_copies=3),
    "pm_sandbox_late_webhook": Method("processing"),
    "pm_sandbox_wrong_amount": Method(besides="wrong_amount"),
    "pm_sandbox_unknown_webhook": Method(besides="unknown_charge"),
    "pm_sandbox_expiring": Method(expires_seconds=2),
    "pm_sandbox_challenge_expiring": Method("requires_action", expires_seconds=2),
    "pm_sandbox_dispute_won": Method(dispute="won"),
    "pm_sandbox_dispute_lost": Method(dispute="lost"),
    "pm_sandbox_mixed": Method(),
}
MIXED = "pm_sandbox_mixed"
DETACHED = Method("declined", "payment_method_detached")
OWN = re.compile(r"[a-z0-9]{1,40}")


class Shares(NamedTuple):
    """Of the charges with pm_sandbox_mixed: how many misbehave in which way, each 0 to 1, together at most 1."""

    unknown: float
    duplicate: float
    late: float


def method_name(token: str) -> str | None:
    """The method that a token behaves as: itself, or itself before `_` and what makes it a customer's own."""
    if token in METHODS:
        return token
    name, _, own = token.rpartition("_")
    return name if name in METHODS and OWN.fullmatch(own) else None


def behaviour(token: str, key: str, shares: Shares) -> Method:
    """How a charge with this token behaves; the key of its request draws the lot of pm_sandbox_mixed."""
    name = method_name(token)
    if name is None:
        raise KeyError(token)
    return mixed(key, shares) if name == MIXED else METHODS[name]


def mixed(key: str, shares: Shares) -> Method:
    lot = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
    if lot < shares.unknown:
        return Method(silent="after")
    if lot < shares.unknown + shares.duplicate:
        return Method(webhook_copies=2, tells_all=True)
    if lot < shares.unknown + shares.duplicate + shares.late:
        return Method("processing")
    return Method()


def card(token: str) -> dict[str, Any]:
    """What a saved payment method shows of its card: made up, and always the same."""
    digest = hashlib.sha256(token.encode()).digest()
    return {
        "token": token,
        "brand": ("visa", "mastercard", "amex")[digest[0] % 3],
        "last_four": f"{int.from_bytes(digest[1:5]) % 10_000:04}",
        "expiry_month": digest[5] % 12 + 1,
        "expiry_year": 2035 + digest[6] % 10,
    }


# The whole life of a charge: the step and the status it is taken from, to the status it leads to.
LIFE = {
    ("authorize", "processing"): "authorized",
    ("authorize", "requires_action"): "authorized",
    ("decline", "requires_action"): "declined",
    ("expire", "requires_action"): "expired",
    ("expire", "authorized"): "expired",
    ("void", "processing"): "voided",
    ("void", "requires_action"): "voided",
    ("void", "authorized"): "voided",
    # Gives up what is left of the authorization.
    ("void", "captured"): "captured",
    ("void", "refunded"): "refunded",
    ("capture", "authorized"): "captured",
    ("capture", "captured"): "captured",
    ("capture", "refunded"): "captured",
    ("refund", "captured"): "refunded",
    ("refund", "refunded"): "refunded",
}

UNDECIDED = ("processing", "requires_action")
# What time does to a charge that nobody moves.
DUE = {"processing": "authorize", "requires_action": "expire", "authorized": "expire"}


def step(name: str, charge: Charge, amount: int = 0, *, now: float) -> Charge:
    """The charge after a step of LIFE. Raises Refused (409) when the life or the sums do not allow it.

    amount: minor units; only capture and refund have one. now: Unix seconds.
    """
    if name in ("capture", "void") and charge.rest and is_over(charge, now):
        raise _not_allowed(charge, "authorization_expired", "the authorization has expired")
    status = LIFE.get((name, charge.status))
    if status is None or (name == "void" and charge.captured_minor_units and not charge.rest):
        raise _not_allowed(charge, "step_not_allowed", f"cannot {name} a charge that is {charge.status}")
    moved = charge._replace(status=status)
    match name:
        case "authorize":
            return moved._replace(authorized_minor_units=charge.amount_minor_units)
        case "decline":
            return moved._replace(decline_code="authentication_failed")
        case "void":
            return moved._replace(voided_minor_units=charge.voided_minor_units + charge.rest)
        case "capture":
            return _captured(moved, amount, charge)
        case "refund":
            return _refunded(moved, amount, charge)
    return moved


def is_over(charge: Charge, now: float) -> bool:
    """Whether time has ended the authorization or the challenge, be it noted yet or not."""
    return charge.expires is not None and charge.expires <= now


def _captured(moved: Charge, amount: int, charge: Charge) -> Charge:
    if amount > charge.rest:
        raise _not_allowed(charge, "amount_exceeds_authorized", "more than is left of the authorization")
    return moved._replace(captured_minor_units=charge.captured_minor_units + amount)


def _refunded(moved: Charge, amount: int, charge: Charge) -> Charge:
    left = charge.captured_minor_units - charge.refunded_minor_units
    if amount > left:
        raise _not_allowed(charge, "amount_exceeds_captured", "more than is left of what was captured")
    if amount > left - charge.disputed_minor_units:
        raise _not_allowed(charge, "amount_disputed", "a dispute has withdrawn what should be refunded")
    return moved._replace(refunded_minor_units=charge.refunded_minor_units + amount)


def disputable(charge: Charge) -> int:
    """What a bank may still withdraw, minor units."""
    return charge.captured_minor_units - charge.refunded_minor_units - charge.disputed_minor_units


def disputed(charge: Charge, amount: int) -> Charge:
    """The charge after a bank has withdrawn an amount. Raises Refused (409) when there is not so much."""
    if amount > disputable(charge):
        raise _not_allowed(charge, "amount_exceeds_captured", "more than is left of what was captured")
    return charge._replace(disputed_minor_units=charge.disputed_minor_units + amount)


def decided(dispute: Dispute, charge: Charge, outcome: str) -> tuple[Dispute, Charge]:
    """The dispute after its end, and its charge. Raises Refused (409) when it has ended before."""
    if dispute.status != "open":
        raise Refused(
            409, "step_not_allowed", f"the dispute is {dispute.status}", dispute_status=dispute.status
        )
    given_back = dispute.amount_minor_units if outcome == "won" else 0
    kept = charge.disputed_minor_units - given_back
    return dispute._replace(status=outcome), charge._replace(disputed_minor_units=kept)


def capture_fee(amount: int) -> int:
    """2.9 % and 30 minor units; half a minor unit counts as one."""
    return (amount * 29 + 500) // 1000 + 30


def _not_allowed(charge: Charge, code: str, message: str) -> Refused:
    return Refused(409, code, message, charge_id=charge.id, charge_status=charge.status)


WEBHOOK_ATTEMPTS = 24  # With the delays below about twelve hours in all.


def webhook_delay(attempts: int, spread: float) -> float | None:
    """Seconds from failed attempt number `attempts` to the next, times `spread`; None when there is no next."""
    if attempts >= WEBHOOK_ATTEMPTS:
        return None
    return min(0.5 * 2.0 ** (attempts - 1), 3600.0) * spread
