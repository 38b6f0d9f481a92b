"""How much of a payment may be given back. Pure."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money

from services.payment.payments import Payment
from services.payment.rules import OPERATIONS, UNTAKEN, not_allowed
from services.runtime.refusals import Refusal, invalid


def left(payment: Payment) -> int:
    """Return what is neither given back nor promised to be; of what will be captured, before it is."""
    taken = payment.amount if payment.state in UNTAKEN else payment.captured
    return taken - payment.refunded - payment.promised


def asked(payment: Payment, money: Money | None) -> int:
    """Return how much a caller gets back: all that is left, unless they say how much."""
    if ("refund", payment.state) not in OPERATIONS:
        raise not_allowed("refund", payment)
    amount = left(payment) if money is None else _fitting(payment, money)
    if not amount and (payment.captured or payment.in_flight):
        raise _too_large(payment)
    return amount


def returned(payment: Payment, return_id: str, money: Money) -> int:
    """Return how much is still to be given back for a return of the order: nothing, when that is recorded."""
    for operation in payment.operations:
        if operation.request_id == return_id:
            if operation.amount != money.minor_units:
                raise _reused(return_id)
            return 0
    if payment.state not in UNTAKEN and ("refund", payment.state) not in OPERATIONS:
        raise not_allowed("refund", payment)
    return _fitting(payment, money)


def _fitting(payment: Payment, money: Money) -> int:
    if money.currency_code != payment.currency_code:
        raise invalid("amount.currency_code", f"must be the payment's: {payment.currency_code}")
    if not 0 <= money.minor_units <= left(payment):
        raise _too_large(payment)
    return money.minor_units


def _too_large(payment: Payment) -> Refusal:
    limit = left(payment)
    return Refusal(
        ErrorReason.ERROR_REASON_REFUND_TOO_LARGE,
        f"No more than {limit} is left to give back",
        limit=str(limit),
    )


def _reused(return_id: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
        "Another sum was given back under this id",
        request_id=return_id,
    )
