"""The life of a payment: what leads from state to state, what may be asked for in each, what comes late. Pure."""

from collections.abc import Mapping

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import PaymentState

from services.payment.rules.outcomes import Status
from services.payment.rules.payment import Kind, Payment, State
from services.runtime.refusals import Refusal

PENDING = PaymentState.PAYMENT_STATE_PENDING
REQUIRES_ACTION = PaymentState.PAYMENT_STATE_REQUIRES_ACTION
UNKNOWN = PaymentState.PAYMENT_STATE_UNKNOWN
AUTHORIZED = PaymentState.PAYMENT_STATE_AUTHORIZED
PARTIALLY_CAPTURED = PaymentState.PAYMENT_STATE_PARTIALLY_CAPTURED
CAPTURED = PaymentState.PAYMENT_STATE_CAPTURED
VOIDED = PaymentState.PAYMENT_STATE_VOIDED
EXPIRED = PaymentState.PAYMENT_STATE_EXPIRED
PARTIALLY_REFUNDED = PaymentState.PAYMENT_STATE_PARTIALLY_REFUNDED
REFUNDED = PaymentState.PAYMENT_STATE_REFUNDED
DISPUTED = PaymentState.PAYMENT_STATE_DISPUTED
FAILED = PaymentState.PAYMENT_STATE_FAILED

STATES = PaymentState
START = PENDING

# The whole life of a payment: what happened, and the state it happened in, to the state it leads to. What several
# captures, refunds and disputes add up to decides which of capture and capture_part … it is (`stands`).
LIFE: Mapping[tuple[str, State], State] = {
    ("authorize", PENDING): AUTHORIZED,
    ("authorize", UNKNOWN): AUTHORIZED,
    ("authorize", REQUIRES_ACTION): AUTHORIZED,
    ("decline", PENDING): FAILED,
    ("decline", UNKNOWN): FAILED,
    ("decline", REQUIRES_ACTION): FAILED,
    ("challenge", PENDING): REQUIRES_ACTION,
    ("challenge", UNKNOWN): REQUIRES_ACTION,
    ("lose", PENDING): UNKNOWN,
    ("process", UNKNOWN): PENDING,
    ("capture_part", AUTHORIZED): PARTIALLY_CAPTURED,
    ("capture_part", PARTIALLY_CAPTURED): PARTIALLY_CAPTURED,
    ("capture_part", PARTIALLY_REFUNDED): PARTIALLY_REFUNDED,
    ("capture_part", DISPUTED): DISPUTED,
    ("capture", AUTHORIZED): CAPTURED,
    ("capture", PARTIALLY_CAPTURED): CAPTURED,
    ("refund_part", PARTIALLY_CAPTURED): PARTIALLY_REFUNDED,
    ("refund_part", CAPTURED): PARTIALLY_REFUNDED,
    ("refund_part", PARTIALLY_REFUNDED): PARTIALLY_REFUNDED,
    ("refund", CAPTURED): REFUNDED,
    ("refund", PARTIALLY_REFUNDED): REFUNDED,  # The rest of it.
    ("refund_kept", CAPTURED): DISPUTED,  # The rest of what a lost dispute has left.
    ("refund_kept", PARTIALLY_REFUNDED): DISPUTED,
    ("refund_part", DISPUTED): DISPUTED,  # It was asked for before the dispute was told.
    ("void", AUTHORIZED): VOIDED,
    # Its order was cancelled before the customer, or the provider, had decided.
    ("void", REQUIRES_ACTION): VOIDED,
    ("void", PENDING): VOIDED,
    ("void", UNKNOWN): VOIDED,
    ("expire", AUTHORIZED): EXPIRED,
    ("expire", REQUIRES_ACTION): EXPIRED,
    ("expire", PENDING): EXPIRED,
    ("expire", UNKNOWN): EXPIRED,
    # Somebody gives up the rest, or its time is over.
    ("release", PARTIALLY_CAPTURED): CAPTURED,
    ("release", PARTIALLY_REFUNDED): REFUNDED,
    ("release_part", PARTIALLY_REFUNDED): PARTIALLY_REFUNDED,
    ("release_part", DISPUTED): DISPUTED,
    ("release_kept", PARTIALLY_CAPTURED): DISPUTED,  # A lost dispute has taken all of the rest.
    ("release_kept", PARTIALLY_REFUNDED): DISPUTED,
    ("dispute", PARTIALLY_CAPTURED): DISPUTED,
    ("dispute", CAPTURED): DISPUTED,
    ("dispute", PARTIALLY_REFUNDED): DISPUTED,
    ("dispute", REFUNDED): DISPUTED,
    ("dispute", DISPUTED): DISPUTED,  # Another one; or one of several was decided.
    ("charge_back", DISPUTED): DISPUTED,
    # It was won, or lost for a part: what the payment is without it.
    ("close_captured", DISPUTED): CAPTURED,
    ("close_captured_part", DISPUTED): PARTIALLY_CAPTURED,
    ("close_refunded_part", DISPUTED): PARTIALLY_REFUNDED,
    ("close_refunded", DISPUTED): REFUNDED,
}

# The steps that each kind of happening may be.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "capture": ("capture", "capture_part"),
    "refund": ("refund", "refund_part", "refund_kept"),
    "void": ("void", "release", "release_part", "release_kept"),
    "expire": ("expire", "release", "release_part", "release_kept"),
    "dispute": (
        "dispute",
        "charge_back",
        "close_captured",
        "close_captured_part",
        "close_refunded_part",
        "close_refunded",
    ),
}

# The provider has not decided, or the customer has not: nothing was promised yet.
UNDECIDED = (PENDING, REQUIRES_ACTION, UNKNOWN)
# Nothing was taken yet: a refund waits.
UNTAKEN = (*UNDECIDED, AUTHORIZED)
# Something was taken.
TAKEN = (PARTIALLY_CAPTURED, CAPTURED, PARTIALLY_REFUNDED, REFUNDED, DISPUTED)

_DECIDED = (AUTHORIZED, *TAKEN, VOIDED, EXPIRED)
# News of an authorization that comes late or twice, for a reply, a lookup and a webhook tell the same thing in any
# order: nothing moves. All other news is known by its operation, or its dispute.
LATE: frozenset[tuple[str, State]] = frozenset(
    {("authorize", state) for state in _DECIDED}
    | {("challenge", state) for state in (REQUIRES_ACTION, FAILED, *_DECIDED)}
    | {("process", state) for state in (PENDING, REQUIRES_ACTION, FAILED, *_DECIDED)}
    | {("decline", FAILED), ("decline", EXPIRED), ("decline", VOIDED)}
    | {(kind, state) for kind in ("void", "expire") for state in (VOIDED, EXPIRED, FAILED)}
)

# What a caller may ask for, and when; the sums say how much of it.
OPERATIONS = frozenset(
    {(Kind.CAPTURE, state) for state in (AUTHORIZED, PARTIALLY_CAPTURED, PARTIALLY_REFUNDED, DISPUTED)}
    | {(Kind.VOID, state) for state in (AUTHORIZED, PARTIALLY_CAPTURED, PARTIALLY_REFUNDED, DISPUTED)}
    | {(Kind.REFUND, state) for state in (PARTIALLY_CAPTURED, CAPTURED, PARTIALLY_REFUNDED)}
)

# What a charge's status says happened, and which operations it may be the answer to.
NEWS: Mapping[Status, tuple[str, tuple[Kind, ...]]] = {
    "authorized": ("authorize", (Kind.AUTHORIZE,)),
    "declined": ("decline", (Kind.AUTHORIZE,)),
    "requires_action": ("challenge", (Kind.AUTHORIZE,)),
    "processing": ("process", (Kind.AUTHORIZE,)),
    "captured": ("capture", (Kind.CAPTURE,)),
    "voided": ("void", (Kind.VOID, Kind.EXPIRE, Kind.AUTHORIZE)),
    "expired": ("expire", (Kind.VOID, Kind.EXPIRE, Kind.AUTHORIZE)),
    "refunded": ("refund", (Kind.REFUND,)),
}

# An operation that is refused because of what became of the charge is settled by that.
MOOT: Mapping[tuple[Kind, str], str] = {
    (Kind.AUTHORIZE, "expired"): "expire",
    (Kind.CAPTURE, "expired"): "expire",
    (Kind.CAPTURE, "voided"): "void",
    (Kind.VOID, "declined"): "decline",
    (Kind.VOID, "voided"): "void",
    (Kind.VOID, "expired"): "expire",
    (Kind.EXPIRE, "declined"): "decline",
    (Kind.EXPIRE, "voided"): "expire",
    (Kind.EXPIRE, "expired"): "expire",
}

# The status that each operation leads to when all goes well.
DONE: Mapping[Kind, Status] = {
    Kind.AUTHORIZE: "authorized",
    Kind.CAPTURE: "captured",
    Kind.VOID: "voided",
    Kind.EXPIRE: "voided",
    Kind.REFUND: "refunded",
}


class Contradiction(Exception):
    """What the provider says cannot be true of our payment: it is never applied, and somebody must look."""


def step(name: str, payment: Payment) -> State:
    """Return the state that something leads to, its own when it is late news. Raises Contradiction."""
    if (name, payment.state) in LATE:
        return payment.state
    try:
        return LIFE[name, payment.state]
    except KeyError:
        raise Contradiction(f"{name} at {name_of(payment.state)}") from None


def moved(kind: str, payment: Payment, to: State) -> State:
    """Return the state that the sums lead to, if something of this kind may lead there. Raises Contradiction."""
    if not any(LIFE.get((name, payment.state)) == to for name in VARIANTS[kind]):
        raise Contradiction(f"{kind} from {name_of(payment.state)} to {name_of(to)}")
    return to


def stands(payment: Payment) -> State:
    """Return the state of a payment of which something was taken, as its sums say."""
    nothing_left = payment.kept <= 0 and not payment.capturable
    if payment.disputed or (payment.charged_back and nothing_left):
        return DISPUTED
    if not payment.refunded:
        return PARTIALLY_CAPTURED if payment.capturable else CAPTURED
    return REFUNDED if nothing_left else PARTIALLY_REFUNDED


def name_of(state: State) -> str:
    """Return a state's name as people say it: AUTHORIZED."""
    return PaymentState.Name(state).removeprefix("PAYMENT_STATE_")


def not_allowed(what: str, payment: Payment) -> Refusal:
    """Refuse an operation, or what else a caller asks for, because of the payment's state."""
    return Refusal(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED,
        f"A payment that is {name_of(payment.state)} does not allow {what}",
        operation=what,
        state=name_of(payment.state),
    )
