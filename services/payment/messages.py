"""Payments and what happened to them, as the contract's messages."""

from datetime import datetime

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.payment_events_pb2 import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentFailed,
    PaymentReference,
    PaymentRefunded,
    PaymentVoided,
)
from commerce.payment.v1.payment_pb2 import Payment as PaymentMessage
from commerce.payment.v1.payment_pb2 import PaymentOperation
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.payment import rules
from services.payment.payments import Change, Operation, Payment


def message(payment: Payment) -> PaymentMessage:
    """Return a payment with its operations."""
    currency = payment.currency_code
    return PaymentMessage(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        store_id=payment.store_id,
        customer_id=payment.customer_id,
        state=payment.state,
        amount=_money(payment.amount, currency),
        captured=_money(payment.captured, currency),
        refunded=_money(payment.refunded, currency),
        gateway=payment.gateway,
        payment_method=payment.payment_method,
        provider_reference=payment.provider_reference,
        decline_code=payment.decline_code,
        next_action_url=payment.next_action_url,
        operations=[_operation(operation, currency) for operation in payment.operations],
        create_time=_time(payment.create_time),
        update_time=_time(payment.update_time),
    )


def event(change: Change) -> Message | None:
    """Return what others are told of a change; a state in which nothing is decided is told to nobody."""
    payment = change.payment
    reference = PaymentReference(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        store_id=payment.store_id,
        version=payment.version,
        amount=_money(payment.amount, payment.currency_code),
    )
    match payment.state if change.moved else None:
        case rules.AUTHORIZED:
            return PaymentAuthorized(payment=reference)
        case rules.FAILED:
            return PaymentFailed(payment=reference, decline_code=payment.decline_code)
        case rules.CAPTURED:
            return PaymentCaptured(payment=reference)
        case rules.VOIDED:
            return PaymentVoided(payment=reference)
        case rules.PARTIALLY_REFUNDED | rules.REFUNDED:
            return PaymentRefunded(
                payment=reference,
                refund=_money(payment.refunded - change.before.refunded, payment.currency_code),
                refunded=_money(payment.refunded, payment.currency_code),
            )
    return None


def _operation(operation: Operation, currency: str) -> PaymentOperation:
    return PaymentOperation(
        operation_id=operation.operation_id,
        kind=operation.kind,
        state=operation.state,
        amount=_money(operation.amount, currency),
        attempts=operation.attempts,
        create_time=_time(operation.create_time),
        settle_time=_time(operation.settle_time) if operation.settle_time else None,
        trace_id=operation.traceparent[3:35],
    )


def _money(amount: int, currency: str) -> Money:
    return Money(currency_code=currency, minor_units=amount)


def _time(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
