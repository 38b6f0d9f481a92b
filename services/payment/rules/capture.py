"""Money is taken: when an order asks for it, and what it changes that it was. Pure."""

from dataclasses import replace
from datetime import datetime

from services.payment.rules import amounts, postings
from services.payment.rules.change import Change, next_version, succeeded
from services.payment.rules.life import (
    AUTHORIZED,
    EXPIRED,
    TAKEN,
    UNDECIDED,
    VOIDED,
    moved,
    not_allowed,
    stands,
)
from services.payment.rules.outcomes import Told
from services.payment.rules.payment import (
    AT_ONCE,
    ON_ACCEPTANCE,
    ON_SHIPMENT,
    Kind,
    Operation,
    Payment,
)


def accepted(payment: Payment) -> Kind | None:
    """Return the operation that an accepted order wants, if any: that what is left is taken, whoever took a part.

    A cancellation that came first decides; so does the end of the promise, of which the order is told by itself. While
    the promise is being given up the capture waits: it fails, for all to see, when that is done. Refused where the
    money was never promised.
    """
    if payment.cancelled or payment.state in (VOIDED, EXPIRED):
        return None
    if payment.state not in (AUTHORIZED, *TAKEN):
        raise not_allowed(Kind.CAPTURE, payment)
    wanted = payment.capture_mode in (ON_ACCEPTANCE, AT_ONCE) and amounts.left_to_take(payment) > 0
    return Kind.CAPTURE if wanted else None


def takes_parcels(payment: Payment) -> bool:
    """Tell whether the money is taken for each parcel. Refused where it was never promised."""
    if payment.capture_mode != ON_SHIPMENT or payment.cancelled or payment.state in (VOIDED, EXPIRED):
        return False
    if payment.state in UNDECIDED:
        raise not_allowed(Kind.CAPTURE, payment)
    return True


def is_overtaken(payment: Payment, shipped: int) -> bool:
    """Tell whether a parcel was sent whose capture is not asked for yet, of parcels worth so much in all."""
    by_parcel = payment.capture_mode == ON_SHIPMENT and payment.capturable > 0
    return by_parcel and amounts.asked_for(payment) < shipped


def captured(payment: Payment, operation: Operation, told: Told, now: datetime) -> Change:
    """Add up what a capture took. Raises Contradiction."""
    after = replace(next_version(payment, now), captured=payment.captured + operation.amount)
    after = replace(after, state=moved("capture", payment, stands(after)))
    return succeeded(payment, after, operation, told, now, postings.captured(payment, operation))
