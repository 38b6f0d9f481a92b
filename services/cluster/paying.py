"""`commerce payments` and `commerce webhooks`: payments that do not move, and messages that could not be applied.

Through the gateway's gRPC, as an operator's own program would ask.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import grpc.aio
from commerce.order.v1.order_service_pb2 import GetOrderRequest
from commerce.order.v1.order_service_pb2_grpc import OrderServiceStub
from commerce.payment.v1 import operations_service_pb2 as rpc
from commerce.payment.v1.operations_service_pb2_grpc import PaymentOperationsServiceStub
from commerce.payment.v1.payment_pb2 import Payment, PaymentOperation, PaymentOperationState, PaymentState
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.cluster.follow import CALL_SECONDS, gateway
from services.cluster.home import Home, HomeError

LISTED = 500
ASKED = ("PENDING", "UNKNOWN")
SUMS = ("captured", "voided", "refunded", "disputed", "charged_back")
# A provider may have to be waited for.
SETTLE_SECONDS = 20.0


@asynccontextmanager
async def _stubs(home: Home) -> AsyncIterator[tuple[grpc.aio.Channel, dict[str, Any]]]:
    """A channel, and what each call is given. A refusal becomes a HomeError."""
    async with gateway(home) as (channel, metadata):
        try:
            yield channel, {"metadata": metadata, "timeout": CALL_SECONDS}
        except grpc.aio.AioRpcError as error:
            raise HomeError(f"{error.code().name}: {error.details()}") from None


async def unsettled(home: Home, code: str, console: Console) -> None:
    """Prints a table of what is not settled, of one gateway or all, and what to type about one of them."""
    request = rpc.ListUnsettledOperationsRequest(page_size=LISTED, gateway=code)
    async with _stubs(home) as (channel, options):
        reply = await PaymentOperationsServiceStub(channel).ListUnsettledOperations(request, **options)
    if not reply.operations:
        console.print("everything is settled")
        return
    table = Table("payment, order, trace", "what, since (UTC)", "asked next (UTC)", show_lines=True)
    for each in reply.operations:
        one = each.operation
        table.add_row(
            f"[bold]{each.payment_id}[/]\n{each.order_id}\n{one.trace_id}",
            f"{one.kind} {_amount(one.amount)}\n{_state(one)}, payment {_payment_state(each.state)}\n"
            f"{_time(one.create_time)}",
            f"{each.gateway}, asked {one.attempts} times\n{_due(one)}",
        )
    console.print(table)
    _next(console, "payments settle PAYMENT_ID", "payments show PAYMENT_ID", "trace ORDER_ID")


async def show(home: Home, wanted: str, console: Console) -> None:
    """Prints a payment, or an order's, with all that was done on it, and what is asked next."""
    async with _stubs(home) as (channel, options):
        payment = await _found(channel, options, _checked(wanted))
    _print(payment, console)


async def settle(home: Home, payment_id: str, console: Console) -> None:
    """Has the provider asked at once, and prints the payment as it is then."""
    request = rpc.SettlePaymentRequest(payment_id=_checked(payment_id), request_id=str(uuid.uuid4()))
    async with _stubs(home) as (channel, options):
        operations = PaymentOperationsServiceStub(channel)
        reply = await operations.SettlePayment(request, **options | {"timeout": SETTLE_SECONDS})
    _print(reply.payment, console)


async def parked(home: Home, console: Console) -> None:
    """Prints a table of the messages that could not be applied, and what to type about one of them."""
    request = rpc.ListParkedWebhooksRequest(page_size=LISTED)
    async with _stubs(home) as (channel, options):
        reply = await PaymentOperationsServiceStub(channel).ListParkedWebhooks(request, **options)
    if not reply.webhooks:
        console.print("no webhook is parked")
        return
    table = Table("gateway, event", "problem", "since (UTC)", show_lines=True)
    for each in reply.webhooks:
        names = f"{each.gateway}\n[bold]{escape(each.event_id)}[/]"
        table.add_row(names, escape(each.problem), _time(each.receive_time))
    console.print(table)
    if reply.next_page_token:
        console.print(f"and older ones; these are the newest {LISTED}")
    _next(console, "webhooks replay GATEWAY EVENT")


async def replay(home: Home, code: str, event_id: str, console: Console) -> bool:
    """Has a message applied anew. Return whether it was."""
    request = rpc.ReplayWebhookRequest(gateway=code, event_id=event_id, request_id=str(uuid.uuid4()))
    async with _stubs(home) as (channel, options):
        reply = await PaymentOperationsServiceStub(channel).ReplayWebhook(request, **options)
    problem = reply.webhook.problem
    said = f"still parked: {event_id}  {problem}" if problem else f"applied: {event_id}"
    console.print(escape(said), highlight=False, soft_wrap=True)
    return not problem


async def _found(channel: grpc.aio.Channel, options: dict[str, Any], wanted: str) -> Payment:
    """Return the payment with this id, or that of the order with this id."""
    payments = PaymentServiceStub(channel)
    try:
        return (await payments.GetPayment(GetPaymentRequest(payment_id=wanted), **options)).payment
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
    try:
        order = (await OrderServiceStub(channel).GetOrder(GetOrderRequest(order_id=wanted), **options)).order
    except grpc.aio.AioRpcError as error:
        if error.code() not in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED):
            raise
        raise HomeError(f"there is no payment, nor an order, {wanted}") from None
    if not order.payment_id:
        raise HomeError(f"no payment was asked for yet for the order {wanted}")
    return (await payments.GetPayment(GetPaymentRequest(payment_id=order.payment_id), **options)).payment


def _print(payment: Payment, console: Console) -> None:
    sums = [
        f"{name.replace('_', ' ')} {getattr(payment, name).minor_units}"
        for name in SUMS
        if getattr(payment, name).minor_units
    ]
    lines = {
        "payment": f"[bold]{payment.payment_id}[/]  of order {payment.order_id}, store {payment.store_id}",
        "state": _payment_state(payment.state),
        "amount": ", ".join([_amount(payment.amount), *sums]),
        "gateway": escape(f"{payment.gateway}  {payment.provider_reference}".rstrip()),
    }
    if payment.decline_code:
        lines["declined"] = escape(payment.decline_code)
    if payment.HasField("expire_time"):
        lines["expires"] = f"{_time(payment.expire_time)} UTC"
    for dispute in payment.disputes:
        lines["dispute"] = escape(
            f"{_amount(dispute.amount)}  {dispute.reason}  {dispute.provider_reference}"
        )
    lines["waits"] = _waits(payment)
    for name, text in lines.items():
        console.print(f"{name:<8} {text}", highlight=False, soft_wrap=True)
    _print_operations(payment, console)
    ids = (payment.payment_id, payment.order_id)
    settles = (
        [f"payments settle {ids[0]}"] if any(_state(each) in ASKED for each in payment.operations) else []
    )
    _next(console, *settles, f"trace {ids[1]}")


def _print_operations(payment: Payment, console: Console) -> None:
    table = Table("operation, trace, provider's reference", "how much", "how it went (UTC)", show_lines=True)
    for one in payment.operations:
        names = [f"[bold]{one.kind}[/] {one.operation_id}", one.trace_id, escape(one.provider_reference)]
        ended = _time(one.settle_time) if one.HasField("settle_time") else ""
        how = [
            _state(one),
            escape(one.failure_code),
            f"asked {one.attempts} times",
            _time(one.create_time),
            ended,
        ]
        table.add_row("\n".join(filter(None, names)), _amount(one.amount), "\n".join(filter(None, how)))
    console.print(table)


def _waits(payment: Payment) -> str:
    """What is asked next, and when."""
    for one in payment.operations:
        if _state(one) in ASKED:
            customer = "for the customer, and " if payment.next_action_url else ""
            return f"{customer}for {payment.gateway}, which is asked about the {one.kind} next: {_due(one)}"
    if any(_state(one) == "WAITING" for one in payment.operations):
        return "for its turn: it begins when the money is there to give back"
    return "for nothing"


def _due(one: PaymentOperation) -> str:
    return f"{_time(one.due_time)} UTC" if one.HasField("due_time") else "when its turn comes"


def _amount(money: Any) -> str:
    return f"{money.minor_units} {money.currency_code}"


def _state(one: PaymentOperation) -> str:
    return PaymentOperationState.Name(one.state).removeprefix("PAYMENT_OPERATION_STATE_")


def _payment_state(state: PaymentState.ValueType) -> str:
    return PaymentState.Name(state).removeprefix("PAYMENT_STATE_")


def _next(console: Console, *commands: str) -> None:
    for number, command in enumerate(commands):
        mark = "next" if number == 0 else ""
        console.print(f"{mark:<8} commerce {command}", highlight=False, soft_wrap=True)


def _checked(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise HomeError(f"an id is a UUID, not {text}") from None


def _time(time: Any) -> str:
    return f"{time.ToDatetime(UTC):%Y-%m-%d %H:%M:%S}"
