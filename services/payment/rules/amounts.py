"""How much of a payment may be taken and given back, and how that is spread over the order's lines. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import LineAmount, Money

from services.payment.rules import postings
from services.payment.rules.life import OPERATIONS, UNTAKEN, not_allowed
from services.payment.rules.payment import (
    OPERATION_SUCCEEDED,
    UNSETTLED,
    VOIDS,
    Kind,
    Operation,
    Payment,
    Share,
)
from services.runtime.refusals import Refusal, invalid

CAPTURE_TOO_LARGE = ErrorReason.ERROR_REASON_CAPTURE_TOO_LARGE
REFUND_TOO_LARGE = ErrorReason.ERROR_REASON_REFUND_TOO_LARGE
COUNTED = (OPERATION_SUCCEEDED, *UNSETTLED)


def left_to_take(payment: Payment) -> int:
    """Return what is authorized, and neither taken, given up nor about to be taken."""
    return payment.capturable - payment.unsettled(Kind.CAPTURE)


def left_to_give(payment: Payment) -> int:
    """Return what is neither given back nor promised to be; of what will be captured, before it is."""
    taken = payment.amount if payment.state in UNTAKEN else payment.captured + payment.unsettled(Kind.CAPTURE)
    gone = payment.refunded + payment.disputed + payment.charged_back + payment.unsettled(Kind.REFUND)
    return max(taken - gone, 0)


def capture(payment: Payment, money: Money | None) -> int:
    """Return how much a caller takes: all that is left, unless they say how much."""
    given_up = payment.in_flight is not None and payment.in_flight.kind in VOIDS
    given_up |= any(one.final and one.state in UNSETTLED for one in payment.operations)
    if (Kind.CAPTURE, payment.state) not in OPERATIONS or given_up:
        raise not_allowed(Kind.CAPTURE, payment)
    limit = left_to_take(payment)
    amount = limit if money is None else _fitting(payment, money, limit, CAPTURE_TOO_LARGE)
    if not amount and (payment.amount or payment.in_flight):
        raise not_allowed(Kind.CAPTURE, payment)
    return amount


def refund(payment: Payment, money: Money | None) -> int:
    """Return how much a caller gets back: all that is left, unless they say how much."""
    if (Kind.REFUND, payment.state) not in OPERATIONS:
        raise not_allowed(Kind.REFUND, payment)
    limit = left_to_give(payment)
    amount = limit if money is None else _fitting(payment, money, limit, REFUND_TOO_LARGE)
    if not amount and (payment.captured or payment.in_flight):
        raise _too_large(payment, REFUND_TOO_LARGE, limit)
    return amount


def shipped(payment: Payment, shipment_id: str, amounts: Iterable[LineAmount]) -> int:
    """Return how much is to be taken for a parcel: what it costs, or what is left; nothing when that is recorded.

    Less is left where somebody has taken money by hand, which pays for the first parcels to come.
    """
    cost = sum(each.amount.minor_units for each in amounts)
    if not 0 <= cost <= payment.amount:
        raise _too_large(payment, CAPTURE_TOO_LARGE, payment.amount)
    if payment.asked_under(shipment_id):
        return 0
    return min(cost, left_to_take(payment))


def returned(payment: Payment, return_id: str, money: Money) -> int:
    """Return what a return of the order is worth: nothing, when that is recorded. What is left of it, decides later."""
    if money.currency_code != payment.currency_code:
        raise invalid("amount.currency_code", f"must be the payment's: {payment.currency_code}")
    if not 0 <= money.minor_units <= payment.amount:
        raise _too_large(payment, REFUND_TOO_LARGE, payment.amount)
    return money.minor_units if _is_new(payment, return_id, money.minor_units) else 0


def worth(payment: Payment, amount: int, lines: Sequence[LineAmount]) -> tuple[Share, ...]:
    """Spread what a return is worth over the lines that came back, as its order says."""
    if sum(each.amount.minor_units for each in lines) == amount:
        return tuple(Share(each.product_id.lower(), each.amount.minor_units) for each in lines)
    return spread(Kind.REFUND, payment, amount)


def asked_for(payment: Payment) -> int:
    """Return how much somebody has asked to take, whatever became of it."""
    return sum(one.amount for one in payment.operations if one.kind == Kind.CAPTURE)


def fitted(payment: Payment, refund: Operation, amount: int) -> tuple[Share, ...]:
    """Spread what is given back for a return over the lines that came back, as far as there is money of theirs."""
    captured = payment.shares(Kind.CAPTURE, *COUNTED)
    before = payment.shares(Kind.REFUND, OPERATION_SUCCEEDED)
    shares, rest = [], amount
    for share in refund.lines:
        part = min(rest, share.amount, captured.get(share.product_id, 0) - before.get(share.product_id, 0))
        if part > 0:
            shares.append(Share(share.product_id, part))
            rest -= part
    return tuple(shares) if not rest else postings.spread(payment.lines, before, captured, amount)


def spread(
    kind: Kind, payment: Payment, amount: int, lines: Sequence[LineAmount] = (), strict: bool = False
) -> tuple[Share, ...]:
    """Spread the amount of a capture or a refund over the order's lines, as given where that fits.

    With `strict` what does not fit is refused, naming the field; otherwise the first lines come first.
    """
    limits = {line.product_id: line.total for line in payment.lines}
    if kind == Kind.REFUND and payment.state not in UNTAKEN:
        limits = dict(payment.shares(Kind.CAPTURE, *COUNTED))
    before = payment.shares(kind, *COUNTED)
    problem = _misfit(payment, amount, lines, before, limits)
    if lines and not problem:
        return tuple(Share(each.product_id.lower(), each.amount.minor_units) for each in lines)
    if lines and strict:
        raise invalid("lines", problem)
    return postings.spread(payment.lines, before, limits, amount)


def _misfit(
    payment: Payment,
    amount: int,
    lines: Sequence[LineAmount],
    before: Mapping[str, int],
    limits: Mapping[str, int],
) -> str:
    if any(each.amount.currency_code != payment.currency_code for each in lines):
        return f"must be in the payment's currency: {payment.currency_code}"
    if sum(each.amount.minor_units for each in lines) != amount:
        return f"must add up to the amount: {payment.sum_in_words(amount)}"
    for each in lines:
        product_id = each.product_id.lower()
        if not 0 <= each.amount.minor_units <= limits.get(product_id, 0) - before.get(product_id, 0):
            return f"has more of {product_id or 'the shipping'} than is left of it"
    return ""


def _is_new(payment: Payment, request_id: str, amount: int) -> bool:
    """Whether nothing is recorded under this id yet. Refused with REQUEST_ID_REUSED when that was of another sum."""
    operation = payment.asked_under(request_id)
    if operation and (operation.wanted or operation.amount) != amount:
        raise Refusal(
            ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
            "Another sum was asked for under this id",
            request_id=request_id,
        )
    return operation is None


def _fitting(payment: Payment, money: Money, limit: int, reason: ErrorReason.ValueType) -> int:
    if money.currency_code != payment.currency_code:
        raise invalid("amount.currency_code", f"must be the payment's: {payment.currency_code}")
    if not 0 <= money.minor_units <= limit:
        raise _too_large(payment, reason, limit)
    return money.minor_units


def _too_large(payment: Payment, reason: ErrorReason.ValueType, limit: int) -> Refusal:
    do = "take" if reason == CAPTURE_TOO_LARGE else "give back"
    return Refusal(reason, f"No more than {payment.sum_in_words(limit)} is left to {do}", limit=str(limit))
