"""`commerce payments`: payments that do not move, through the gateway's gRPC, as an operator's program would ask."""

from __future__ import annotations

import uuid

import grpc.aio
from commerce.order.v1.order_service_pb2 import GetOrderRequest
from commerce.order.v1.order_service_pb2_grpc import OrderServiceStub
from commerce.payment.v1 import operations_service_pb2 as rpc
from commerce.payment.v1.operations_service_pb2_grpc import PaymentOperationsServiceStub
from commerce.payment.v1.payment_pb2 import Payment, PaymentOperation, PaymentOperationState, PaymentState
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from rich.console import Console

from services.cluster.commands.gateway import LISTED, Options, check_gateway, gateway
from services.cluster.home import Home, HomeError
from services.cluster.output import (
    Output,
    checked_id,
    counted,
    print_json,
    print_list,
    print_next,
    print_records,
    time_of,
)
from services.runtime.currencies import format_money

ASKED = ("PENDING", "UNKNOWN")
SUMS = ("captured", "voided", "refunded", "disputed", "charged_back")
# A provider may have to be waited for.
SETTLE_SECONDS = 20.0


async def unsettled(home: Home, code: str, output: Output, console: Console) -> None:
    """Prints what is not settled, of one gateway or all, and what to type about one of them."""
    request = rpc.ListUnsettledOperationsRequest(page_size=LISTED, gateway=code)
    async with gateway(home) as (channel, options):
        reply = await PaymentOperationsServiceStub(channel).ListUnsettledOperations(request, **options)
        if code and not reply.operations:
            await check_gateway(channel, options, code)
    records = [*map(_unsettled_record, reply.operations)]
    commands = ("payments settle PAYMENT_ID", "payments show PAYMENT_ID", "trace ORDER_ID")
    print_list(console, output, reply, records, "everything is settled", *commands)


async def show(home: Home, wanted: str, output: Output, console: Console) -> None:
    """Prints a payment, or an order's, with all that was done on it, and what is asked next."""
    async with gateway(home) as (channel, options):
        payment = await _payment_of(channel, options, checked_id(wanted))
    _print(payment, output, console)


async def settle(home: Home, payment_id: str, output: Output, console: Console) -> None:
    """Has the provider asked at once, and prints the payment as it is then."""
    request = rpc.SettlePaymentRequest(
        payment_id=checked_id(payment_id, "a payment's id"), request_id=str(uuid.uuid4())
    )
    async with gateway(home) as (channel, options):
        operations = PaymentOperationsServiceStub(channel)
        reply = await operations.SettlePayment(request, **options | {"timeout": SETTLE_SECONDS})
    _print(reply.payment, output, console)


async def _payment_of(channel: grpc.aio.Channel, options: Options, wanted: str) -> Payment:
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


def _print(payment: Payment, output: Output, console: Console) -> None:
    if output is Output.JSON:
        print_json(payment)
        return
    sums = [
        f"{name.replace('_', ' ')} {format_money(getattr(payment, name))}"
        for name in SUMS
        if getattr(payment, name).minor_units
    ]
    expires = payment.HasField("expire_time")
    lines = {
        "payment": f"{payment.payment_id}  of order {payment.order_id}, store {payment.store_id}",
        "state": _payment_state(payment.state),
        "amount": ", ".join([format_money(payment.amount), *sums]),
        "gateway": f"{payment.gateway}  {payment.provider_reference}".rstrip(),
        "declined": payment.decline_code,
        "expires": time_of(payment.expire_time) if expires else "",
        "dispute": "\n         ".join(
            f"{format_money(dispute.amount)}  {dispute.reason}  {dispute.provider_reference}"
            for dispute in payment.disputes
        ),
        "waits": _waits(payment),
    }
    print_records(console, [lines, *map(_operation_record, payment.operations)])
    open_ones = any(_state(each) in ASKED for each in payment.operations)
    settles = [f"payments settle {payment.payment_id}"] if open_ones else []
    print_next(console, *settles, f"trace {payment.order_id}")


def _operation_record(one: PaymentOperation) -> dict[str, str]:
    return {
        one.kind: f"{format_money(one.amount)}  {_state(one)}, asked {counted(one.attempts, 'time')}",
        "id": one.operation_id,
        **_words(one),
        "provider": one.provider_reference,
        "begun": time_of(one.create_time),
        "settled": time_of(one.settle_time) if one.HasField("settle_time") else "",
        "trace": one.trace_id,
    }


def _unsettled_record(each: rpc.UnsettledOperation) -> dict[str, str]:
    one = each.operation
    return {
        "payment": f"{each.payment_id}  {_payment_state(each.state)}",
        one.kind: f"{format_money(one.amount)}  {_state(one)}, asked {counted(one.attempts, 'time')} of {each.gateway}",
        **_words(one),
        "since": time_of(one.create_time),
        "asked": "" if _state(one) == "FAILED" else f"next {_due(one)}",
        "order": each.order_id,
        "trace": one.trace_id,
    }


def _words(one: PaymentOperation) -> dict[str, str]:
    """What the provider said when it refused or did not answer as it should."""
    return {
        "failed": ", ".join(filter(None, (one.failure_code, one.provider_message))),
        "request": one.provider_request_id,
    }


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
    return time_of(one.due_time) if one.HasField("due_time") else "when its turn comes"


def _state(one: PaymentOperation) -> str:
    return PaymentOperationState.Name(one.state).removeprefix("PAYMENT_OPERATION_STATE_")


def _payment_state(state: PaymentState.ValueType) -> str:
    return PaymentState.Name(state).removeprefix("PAYMENT_STATE_")
