"""What a payment may do: its life, what each outcome changes, and what comes next. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import PaymentState

from services.payment.ledger import Posting, postings
from services.payment.outcomes import Outcome, Refused, Status, Told, Unknown
from services.payment.payments import (
    OPERATION_FAILED,
    OPERATION_PENDING,
    OPERATION_SUCCEEDED,
    OPERATION_UNKNOWN,
    Change,
    Operation,
    OperationState,
    Payment,
    State,
)
from services.runtime.refusals import Refusal

PENDING = PaymentState.PAYMENT_STATE_PENDING
REQUIRES_ACTION = PaymentState.PAYMENT_STATE_REQUIRES_ACTION
UNKNOWN = PaymentState.PAYMENT_STATE_UNKNOWN
AUTHORIZED = PaymentState.PAYMENT_STATE_AUTHORIZED
CAPTURED = PaymentState.PAYMENT_STATE_CAPTURED
VOIDED = PaymentState.PAYMENT_STATE_VOIDED
PARTIALLY_REFUNDED = PaymentState.PAYMENT_STATE_PARTIALLY_REFUNDED
REFUNDED = PaymentState.PAYMENT_STATE_REFUNDED
FAILED = PaymentState.PAYMENT_STATE_FAILED
STATES = PaymentState
START = PENDING

# The whole life of a payment: what happened, and the state it happened in, to the state it leads to.
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
    ("capture", AUTHORIZED): CAPTURED,
    ("refund_part", CAPTURED): PARTIALLY_REFUNDED,
    ("refund_part", PARTIALLY_REFUNDED): PARTIALLY_REFUNDED,
    ("refund", CAPTURED): REFUNDED,
    ("refund", PARTIALLY_REFUNDED): REFUNDED,  # The rest of it.
    ("void", AUTHORIZED): VOIDED,
    # Its order was cancelled before the customer, or the provider, had decided.
    ("void", REQUIRES_ACTION): VOIDED,
    ("void", PENDING): VOIDED,
    ("void", UNKNOWN): VOIDED,
}

_DECIDED = (AUTHORIZED, CAPTURED, PARTIALLY_REFUNDED, VOIDED, REFUNDED)
# News that comes late or twice, for a reply, a lookup and a webhook tell the same thing in any order: nothing moves.
# A refund, of which there may be many, is known by its operation instead.
LATE: frozenset[tuple[str, State]] = frozenset(
    {("authorize", state) for state in _DECIDED}
    | {("challenge", state) for state in (REQUIRES_ACTION, FAILED, *_DECIDED)}
    | {("process", state) for state in (PENDING, REQUIRES_ACTION, FAILED, *_DECIDED)}
    | {("decline", FAILED), ("void", VOIDED)}
    | {("capture", state) for state in (CAPTURED, PARTIALLY_REFUNDED, REFUNDED)}
)

# What a caller may ask for, and when.
OPERATIONS = {
    ("capture", AUTHORIZED),
    ("void", AUTHORIZED),
    ("refund", CAPTURED),
    ("refund", PARTIALLY_REFUNDED),
}

# Nothing was taken yet: a refund waits.
UNTAKEN = (PENDING, REQUIRES_ACTION, UNKNOWN, AUTHORIZED)

# What an accepted order wants. In any other state its event is refused, loudly.
ON_ACCEPTED = {AUTHORIZED: "capture", CAPTURED: "", PARTIALLY_REFUNDED: "", REFUNDED: ""}

# What a cancelled or expired order wants once the provider has answered; before that it waits.
ON_CANCELLED = {
    PENDING: "void",
    REQUIRES_ACTION: "void",
    UNKNOWN: "void",
    AUTHORIZED: "void",
    CAPTURED: "refund",
    PARTIALLY_REFUNDED: "refund",
    VOIDED: "",
    REFUNDED: "",
    FAILED: "",
}

# What a charge's status says happened, and which operations it may be the answer to.
NEWS = {
    "authorized": ("authorize", {"authorize"}),
    "declined": ("decline", {"authorize"}),
    "requires_action": ("challenge", {"authorize"}),
    "processing": ("process", {"authorize"}),
    "captured": ("capture", {"capture"}),
    "voided": ("void", {"void", "authorize"}),
    "refunded": ("refund", {"refund"}),
}

# A void that is refused because of these is settled by them.
MOOT_VOID = {"declined": "decline", "voided": "void"}

# The status that each operation leads to when all goes well.
DONE: dict[str, Status] = {
    "authorize": "authorized",
    "capture": "captured",
    "void": "voided",
    "refund": "refunded",
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


def name_of(state: State) -> str:
    """Return a state's name as people say it: AUTHORIZED."""
    return STATES.Name(state).removeprefix("PAYMENT_STATE_")


def may(kind: str, payment: Payment) -> None:
    """Refuse an operation that the payment's state does not allow, or while another one is open."""
    if (kind, payment.state) not in OPERATIONS or payment.in_flight:
        raise not_allowed(kind, payment)


def not_allowed(kind: str, payment: Payment) -> Refusal:
    """Refuse an operation because of the payment's state."""
    return Refusal(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED,
        f"A payment that is {name_of(payment.state)} does not allow {kind}",
        operation=kind,
        state=name_of(payment.state),
    )


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


def accepted(payment: Payment) -> str:
    """Return the operation that an accepted order wants, if any. Refused where the money is not there to take."""
    if payment.cancelled:
        return ""  # The cancellation came first; it decides.
    if payment.in_flight and payment.in_flight.kind == "capture":
        return ""
    wanted = ON_ACCEPTED.get(payment.state)
    if wanted is None or (wanted and payment.in_flight):
        raise not_allowed("capture", payment)
    return wanted


def cancelled(payment: Payment, now: datetime) -> Change | None:
    """Return what its order's end changes: at once, or as soon as what is in flight has settled."""
    if payment.cancelled or not payment.operations:
        return None
    after = replace(payment, cancelled=True, version=payment.version + 1, update_time=now)
    return _followed(payment, after, payment.operations[0], now)


def settled(payment: Payment, operation: Operation, outcome: Outcome, now: datetime) -> Change | None:
    """Return what an operation's outcome changes; None when it is no news. Raises Contradiction."""
    match outcome:
        case Told():
            return _told(payment, operation, outcome, now)
        case Refused():
            return _refused(payment, operation, outcome, now)
        case Unknown():
            return _lost(payment, operation, now)


def foregone(operation: Operation, payment: Payment) -> Outcome | None:
    """Return the outcome that no provider need be asked for: of no money, or of giving back what was not taken."""
    if operation.kind == "refund" and ("refund", payment.state) not in OPERATIONS:
        return Refused("nothing_captured")
    if operation.amount:
        return None
    return Told(
        status=DONE[operation.kind], reference="", amount=payment.amount, currency_code=payment.currency_code
    )


def waits(kind: str, payment: Payment) -> bool:
    """Tell whether an operation has to wait: a refund for its turn, or for the money to be taken."""
    return kind == "refund" and (payment.in_flight is not None or payment.state in UNTAKEN)


def _told(payment: Payment, operation: Operation, told: Told, now: datetime) -> Change | None:
    name, kinds = NEWS[told.status]
    if operation.kind not in kinds:
        raise Contradiction(f"{told.status} as the answer to {operation.kind}")
    _agree(payment, operation, told)
    if name == "refund":
        return _given_back(payment, operation, now)
    state = step(name, payment)
    if state == payment.state and not operation.open:
        return None
    after = replace(
        payment,
        state=state,
        provider_reference=told.reference or payment.provider_reference,
        decline_code=told.decline_code,
        next_action_url=told.next_action_url if state == REQUIRES_ACTION else "",
        captured=operation.amount if name == "capture" else payment.captured,
    )
    if name in ("challenge", "process"):
        # One that was given up for its cancelled order stays given up.
        ended = replace(operation, state=OPERATION_PENDING) if operation.open else operation
        if (after, ended) == (payment, operation):
            return None
    else:
        ended = _ended(operation, OPERATION_SUCCEEDED if name == operation.kind else OPERATION_FAILED, now)
    return _followed(payment, _next_version(after, now), ended, now, postings(name, operation.amount))


def _given_back(payment: Payment, operation: Operation, now: datetime) -> Change | None:
    """Add a refund up, once: reply, lookup and webhook all tell of the same operation."""
    if not operation.open:
        if operation.state == OPERATION_SUCCEEDED:
            return None
        raise Contradiction("a refund that was refused, or not asked for yet, was done there")
    refunded = payment.refunded + operation.amount
    state = step("refund" if refunded == payment.captured else "refund_part", payment)
    after = replace(_next_version(payment, now), state=state, refunded=refunded)
    ended = _ended(operation, OPERATION_SUCCEEDED, now)
    return _followed(payment, after, ended, now, postings("refund", operation.amount))


def _refused(payment: Payment, operation: Operation, refused: Refused, now: datetime) -> Change | None:
    if not operation.open:
        return None
    name = "decline" if operation.kind == "authorize" else ""
    if operation.kind == "void":
        name = MOOT_VOID.get(refused.charge, "")
    after = _next_version(payment, now)
    if name:
        after = replace(after, state=step(name, payment), next_action_url="")
    if name == "decline":
        after = replace(after, decline_code=refused.code)
    ended = _ended(operation, OPERATION_SUCCEEDED if name == operation.kind else OPERATION_FAILED, now)
    return _followed(payment, after, ended, now, refused=operation.kind in ("void", "refund"))


def _lost(payment: Payment, operation: Operation, now: datetime) -> Change | None:
    waits = payment.in_flight is None or payment.in_flight.operation_id != operation.operation_id
    if waits or operation.state == OPERATION_UNKNOWN:
        return None
    after = _next_version(payment, now)
    if operation.kind == "authorize":
        after = replace(after, state=step("lose", payment))
    lost = replace(operation, state=OPERATION_UNKNOWN)
    return Change(before=payment, payment=_with(after, lost), operation=lost)


def _agree(payment: Payment, operation: Operation, told: Told) -> None:
    """Refuse a sum that is not ours, to the last minor unit; a refund's while it is open, and so the last one."""
    adds = operation.kind == "refund" and operation.open
    expected: Mapping[str, int] = {
        "amount": payment.amount,
        "captured": operation.amount if operation.kind == "capture" else told.captured,
        "refunded": payment.refunded + operation.amount if adds else told.refunded,
    }
    for field, ours in expected.items():
        if getattr(told, field) != ours:
            raise Contradiction(f"{field} is {getattr(told, field)} there and {ours} here")
    if told.currency_code != payment.currency_code:
        raise Contradiction(f"the currency is {told.currency_code} there and {payment.currency_code} here")
    if told.reference and payment.provider_reference not in ("", told.reference):
        raise Contradiction("it is another charge there")


def _followed(
    before: Payment,
    after: Payment,
    operation: Operation,
    now: datetime,
    booked: tuple[Posting, ...] = (),
    refused: bool = False,
) -> Change:
    """Add what comes next when nothing is in flight: what has waited longest, then what a cancelled order wants.

    A void or refund that was just refused would be refused again: a person must look.
    """
    after = _with(after, operation)
    begun, wanted = None, ""
    if not after.in_flight:
        begun = None if after.state in UNTAKEN else after.waiting
        wanted = ON_CANCELLED[after.state] if after.cancelled and not (begun or refused) else ""
    if begun:
        begun = replace(begun, state=OPERATION_PENDING)
        after = _with(after, begun)
    if wanted and operation.open:
        # It waits for the customer, who is not asked any more.
        operation = _ended(operation, OPERATION_FAILED, now)
        after = _with(after, operation)
    return Change(
        before=before, payment=after, operation=operation, postings=booked, begun=begun, next=wanted
    )


def _with(payment: Payment, operation: Operation) -> Payment:
    ours = operation.operation_id
    operations = tuple(operation if one.operation_id == ours else one for one in payment.operations)
    return replace(payment, operations=operations)


def _ended(operation: Operation, state: OperationState, now: datetime) -> Operation:
    return replace(operation, state=state, settle_time=now)


def _next_version(payment: Payment, now: datetime) -> Payment:
    return replace(payment, version=payment.version + 1, update_time=now)
