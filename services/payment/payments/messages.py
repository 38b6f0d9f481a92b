"""Payments and what happened to them, as the contract's messages."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from commerce.common.v1.money_pb2 import LineAmount, Money
from commerce.payment.v1 import payment_events_pb2 as events
from commerce.payment.v1.payment_pb2 import Dispute as DisputeMessage
from commerce.payment.v1.payment_pb2 import Payment as PaymentMessage
from commerce.payment.v1.payment_pb2 import PaymentLine, PaymentOperation
from commerce.payment.v1.payment_service_pb2 import Gateway
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.payment.gateways.guard import Guard
from services.payment.rules import life, owed
from services.payment.rules.change import Change
from services.payment.rules.payment import (
    DISPUTE_OPEN,
    OPERATION_FAILED,
    Dispute,
    Kind,
    Line,
    Operation,
    Payment,
)
from services.payment.rules.refund import lacking
from services.runtime.callers import Caller
from services.runtime.times import timestamp


def message(payment: Payment, caller: Caller | None = None) -> PaymentMessage:
    """Return a payment with all that it knows.

    Its customer is told what they confirm it with; whoever is no customer, what the provider said.
    """
    currency = payment.currency_code
    whole = summary(payment)
    make = staff_operation_message if caller and caller.role != "CUSTOMER" else operation_message
    whole.operations.extend(make(operation, currency) for operation in payment.operations)
    whole.disputes.extend(_dispute(dispute, currency) for dispute in payment.disputes)
    whole.lines.extend(_line(line, currency) for line in payment.lines)
    if caller and caller.role == "CUSTOMER" and caller.customer_id == payment.customer_id:
        whole.client_secret = payment.client_secret
    return whole


def summary(payment: Payment) -> PaymentMessage:
    """Return a payment as lists have it: without operations, disputes and lines."""
    currency = payment.currency_code
    return PaymentMessage(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        store_id=payment.store_id,
        customer_id=payment.customer_id,
        state=payment.state,
        amount=_money(payment.amount, currency),
        captured=_money(payment.captured, currency),
        voided=_money(payment.voided, currency),
        refunded=_money(payment.refunded, currency),
        disputed=_money(payment.disputed, currency),
        charged_back=_money(payment.charged_back, currency),
        capture_mode=payment.capture_mode,
        gateway=payment.gateway,
        payment_method=payment.payment_method,
        provider_reference=payment.provider_reference,
        decline_code=payment.decline_code,
        next_action_url=payment.next_action_url,
        create_time=timestamp(payment.create_time),
        update_time=timestamp(payment.update_time),
        expire_time=_time(_expire_time(payment)),
    )


def operation_message(operation: Operation, currency: str) -> PaymentOperation:
    """Return an operation of a payment in this currency."""
    return PaymentOperation(
        operation_id=operation.operation_id,
        kind=operation.kind,
        state=operation.state,
        amount=_money(operation.amount, currency),
        attempts=operation.attempts,
        create_time=timestamp(operation.create_time),
        settle_time=_time(operation.settle_time),
        trace_id=operation.traceparent[3:35],
        provider_reference=operation.provider_reference,
        reason=operation.reason,
        failure_code=operation.failure_code,
        lines=[
            LineAmount(product_id=each.product_id, amount=_money(each.amount, currency))
            for each in operation.lines
        ],
        due_time=_time(operation.due_time if operation.open else None),
        request_id=operation.request_id or "",
        wanted=_money(operation.wanted, currency) if operation.wanted else None,
    )


def staff_operation_message(operation: Operation, currency: str) -> PaymentOperation:
    """Return an operation with what the provider said of it, which customers are not shown."""
    told = operation_message(operation, currency)
    told.provider_message = operation.provider_message
    told.provider_request_id = operation.provider_request_id
    return told


def gateway_message(gateway: Guard, store_id: str) -> Gateway:
    """Return what a gateway can do, and how its provider answers a store; the worst of all where none is given."""
    able = {field.name: getattr(gateway.abilities, field.name) for field in fields(gateway.abilities)}
    able["method_pattern"] = able["method_pattern"] or f"pm_{gateway.code}_.+"
    health = gateway.health_for(store_id) if store_id else gateway.health
    return Gateway(code=gateway.code, health=health, **able)


def lines_of(lines: Sequence[PaymentLine]) -> tuple[Line, ...]:
    """Return what a caller says that the amount is made of, without what is nothing."""
    return tuple(
        Line(line.product_id.lower(), line.gross.minor_units, line.discount.minor_units, line.tax.minor_units)
        for line in lines
        if line.gross.minor_units or line.discount.minor_units or line.tax.minor_units
    )


def told(change: Change) -> list[Message]:
    """Return what others are told of a change; a state in which nothing is decided is told to nobody."""
    facts = _disputes_told(change)
    if change.moved:
        facts += _moves_told(change)
    return facts + _failures_told(change)


def _moves_told(change: Change) -> list[Message]:
    before, payment = change.before, change.payment
    currency, reference = payment.currency_code, _reference(payment)
    captured, refunded = payment.captured - before.captured, payment.refunded - before.refunded
    if captured or (payment.state == life.CAPTURED and before.state == life.AUTHORIZED):
        return [
            events.PaymentCaptured(
                payment=reference,
                capture=_money(captured, currency),
                captured=_money(payment.captured, currency),
            )
        ]
    if refunded or (payment.state == life.REFUNDED and before.state == life.CAPTURED):
        return [_refunded(change, reference)]
    if payment.voided != before.voided and payment.state in life.TAKEN:
        return [_voided(change, reference)]
    match payment.state:
        case life.AUTHORIZED:
            return [events.PaymentAuthorized(payment=reference, expire_time=_time(payment.expire_time))]
        case life.FAILED:
            return [events.PaymentFailed(payment=reference, decline_code=payment.decline_code)]
        case life.VOIDED:
            return [_voided(change, reference)]
        case life.EXPIRED:
            return [events.PaymentExpired(payment=reference)]
    return []


def _refunded(change: Change, reference: events.PaymentReference) -> events.PaymentRefunded:
    before, payment, refund = change.before, change.payment, change.operation
    currency, short = payment.currency_code, max(refund.wanted - refund.amount, 0)
    return events.PaymentRefunded(
        payment=reference,
        refund=_money(payment.refunded - before.refunded, currency),
        refunded=_money(payment.refunded, currency),
        request_id=refund.request_id or "",
        unrefunded=_money(short, currency) if short else None,
        unrefunded_reason=lacking(before) if short else "",
        given_back=_money(owed.given(payment, refund.request_id or ""), currency) if refund.wanted else None,
    )


def _voided(change: Change, reference: events.PaymentReference) -> events.PaymentVoided:
    payment = change.payment
    time, now = change.before.expire_time, payment.update_time
    over = time is not None and time <= now
    return events.PaymentVoided(
        payment=reference,
        captured=_money(payment.captured, payment.currency_code),
        expired=over or change.operation.kind == Kind.EXPIRE,
        capture_mode=payment.capture_mode,
    )


def _failures_told(change: Change) -> list[Message]:
    operation, payment = change.operation, change.payment
    failed = operation.kind in (Kind.CAPTURE, Kind.REFUND) and operation.state == OPERATION_FAILED
    if not failed or change.before.operation(operation.operation_id).state == OPERATION_FAILED:
        return []
    return [
        events.PaymentOperationFailed(
            payment=_reference(payment),
            kind=operation.kind,
            request_id=operation.request_id or "",
            amount=_money(operation.wanted or operation.amount, payment.currency_code),
            reason=operation.failure_code,
        )
    ]


def _disputes_told(change: Change) -> list[Message]:
    dispute = change.dispute
    if dispute is None:
        return []
    reference, news = _reference(change.payment), _dispute(dispute, change.payment.currency_code)
    known = any(one.dispute_id == dispute.dispute_id for one in change.before.disputes)
    facts: list[Message] = [] if known else [events.PaymentDisputed(payment=reference, dispute=news)]
    if dispute.status != DISPUTE_OPEN:
        facts.append(events.PaymentDisputeClosed(payment=reference, dispute=news))
    return facts


def _reference(payment: Payment) -> events.PaymentReference:
    return events.PaymentReference(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        store_id=payment.store_id,
        version=payment.version,
        amount=_money(payment.amount, payment.currency_code),
    )


def _expire_time(payment: Payment) -> datetime | None:
    """While nothing is decided, the time is noted and does not count yet."""
    return None if payment.state in (life.PENDING, life.UNKNOWN) else payment.expire_time


def _dispute(dispute: Dispute, currency: str) -> DisputeMessage:
    return DisputeMessage(
        dispute_id=dispute.dispute_id,
        status=dispute.status,
        amount=_money(dispute.amount, currency),
        fee=_money(dispute.fee, currency),
        reason=dispute.reason,
        provider_reference=dispute.provider_reference,
        open_time=timestamp(dispute.open_time),
        close_time=_time(dispute.close_time),
    )


def _line(line: Line, currency: str) -> PaymentLine:
    return PaymentLine(
        product_id=line.product_id,
        gross=_money(line.gross, currency),
        discount=_money(line.discount, currency),
        tax=_money(line.tax, currency),
    )


def _money(amount: int, currency: str) -> Money:
    return Money(currency_code=currency, minor_units=amount)


def _time(time: datetime | None) -> Timestamp | None:
    return timestamp(time) if time else None
