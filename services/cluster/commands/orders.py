"""`commerce orders`: orders that do not move, through the gateway's gRPC, as an operator's own program would ask."""

from __future__ import annotations

import uuid

import grpc.aio
from commerce.order.v1 import operations_service_pb2 as rpc
from commerce.order.v1.operations_service_pb2_grpc import OperationsServiceStub
from commerce.order.v1.order_pb2 import OrderEvent
from commerce.order.v1.order_service_pb2 import ListOrderEventsRequest
from commerce.order.v1.order_service_pb2_grpc import OrderServiceStub
from commerce.payment.v1.payment_pb2 import Payment, PaymentOperationState, PaymentState
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from rich.console import Console

from services.cluster.commands.gateway import LISTED, Options, gateway
from services.cluster.commands.watch import state_name
from services.cluster.home import Home
from services.cluster.output import (
    Output,
    checked_id,
    counted,
    print_json,
    print_lines,
    print_list,
    print_next,
    time_of,
    to_dict,
)
from services.runtime.currencies import format_money

# Where the driver has something to do, and may be told to.
DRIVEN = ("PENDING", "RESERVED", "AWAITING_CUSTOMER", "PAYMENT_UNKNOWN")


async def stuck(home: Home, output: Output, console: Console) -> None:
    """Prints the orders that do not move, and what to type about one of them."""
    async with gateway(home) as (channel, options):
        request = rpc.ListStuckOrdersRequest(page_size=LISTED)
        reply = await OperationsServiceStub(channel).ListStuckOrders(request, **options)
    commands = ("orders retry ORDER_ID", "orders explain ORDER_ID", "trace ORDER_ID")
    print_list(console, output, reply, [*map(_record, reply.orders)], "no order is stuck", *commands)


async def explain(home: Home, order_id: str, output: Output, console: Console) -> None:
    """Prints what an order waits for or why it ended, what its provider said, and what to type next."""
    order_id = _checked(order_id)
    async with gateway(home) as (channel, options):
        request = rpc.ExplainOrderRequest(order_id=order_id)
        situation = (await OperationsServiceStub(channel).ExplainOrder(request, **options)).situation
        event = await _last_event(channel, options, order_id)
        payment = await _payment(channel, options, situation.payment_id) if situation.payment_id else None
    if output is Output.JSON:
        parts = {"situation": situation, "lastEvent": event, "payment": payment}
        print_json({name: to_dict(part) for name, part in parts.items() if part is not None})
        return
    print_lines(console, _record(situation) | _moved(event) | (_said(payment) if payment else {}))
    retry = [f"orders retry {order_id}"] if state_name(situation.state) in DRIVEN else []
    shows = [f"payments show {payment.payment_id}"] if payment else []
    print_next(console, *retry, f"trace {order_id}", *shows)


async def _last_event(channel: grpc.aio.Channel, options: Options, order_id: str) -> OrderEvent | None:
    """The order's last transition, unless it cannot be had now: what is known is shown all the same."""
    try:
        events = await OrderServiceStub(channel).ListOrderEvents(
            ListOrderEventsRequest(order_id=order_id), **options
        )
    except grpc.aio.AioRpcError:
        return None
    return events.events[-1] if events.events else None


async def _payment(channel: grpc.aio.Channel, options: Options, payment_id: str) -> Payment | None:
    """The order's payment, unless it cannot be had now."""
    try:
        reply = await PaymentServiceStub(channel).GetPayment(
            GetPaymentRequest(payment_id=payment_id), **options
        )
    except grpc.aio.AioRpcError:
        return None
    return reply.payment


async def retry(home: Home, wanted: str, output: Output, console: Console) -> None:
    """Has one order, or "all" that are stuck, tried again, and prints what each waits for now."""
    situations = []
    async with gateway(home) as (channel, options):
        operations = OperationsServiceStub(channel)
        order_ids = [wanted if wanted == "all" else _checked(wanted)]
        if wanted == "all":
            request = rpc.ListStuckOrdersRequest(page_size=LISTED)
            reply = await operations.ListStuckOrders(request, **options)
            # What is sent and not paid for waits for the store, not for the driver.
            order_ids = [each.order_id for each in reply.orders if each.parked or not each.unpaid_reason]
        for order_id in order_ids:
            again = rpc.RetryOrderRequest(order_id=order_id, request_id=str(uuid.uuid4()))
            situations.append((await operations.RetryOrder(again, **options)).situation)
            if output is Output.TEXT:
                said = f"tried again: {order_id}  waits {situations[-1].waits_for}"
                console.print(said, markup=False, highlight=False, soft_wrap=True)
    if output is Output.JSON:
        print_json(rpc.ListStuckOrdersResponse(orders=situations))
    elif order_ids:
        print_next(console, f"orders explain {order_ids[0]}", f"watch {order_ids[0]}")
    else:
        console.print("no order is stuck")


def _record(order: rpc.OrderSituation) -> dict[str, str]:
    expires, lacks = order.HasField("expire_time"), order.HasField("unrefunded")
    return {
        "order": f"{order.order_id}  of store {order.store_id}",
        "state": state_name(order.state) + (", parked" if order.parked else ""),
        "since": time_of(order.update_time),
        "reason": order.reason,
        "waits": order.waits_for,
        "failed": f"{counted(order.attempts, 'time')}, last with {order.last_error}"
        if order.last_error
        else "",
        "lacks": f"{format_money(order.unrefunded)}, {order.unrefunded_reason}" if lacks else "",
        "trace": order.trace_id,
        "expires": f"{time_of(order.expire_time)}, unless it is paid for" if expires else "",
    }


def _moved(event: OrderEvent | None) -> dict[str, str]:
    return {"moved": f"{event.step} at {time_of(event.time)} by {event.actor}"} if event else {}


def _said(payment: Payment) -> dict[str, str]:
    """What the provider was asked last and what it said."""
    state = PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")
    lines = {"payment": f"{payment.payment_id}  {state} {payment.decline_code}".rstrip()}
    if not payment.operations:
        return lines
    last = payment.operations[-1]
    answer = PaymentOperationState.Name(last.state).removeprefix("PAYMENT_OPERATION_STATE_")
    lines["asked"] = (
        f"{payment.gateway} to {last.kind}, {counted(last.attempts, 'time')} since {time_of(last.create_time)}"
    )
    code = last.failure_code or (payment.decline_code if last.kind == "authorize" else "")
    words = ", ".join(filter(None, (code, last.provider_message)))
    lines["answer"] = f"{answer}: {words}" if words else answer
    if last.HasField("settle_time"):
        lines["answer"] += f", at {time_of(last.settle_time)}"
    if last.provider_request_id:
        lines["request"] = f"{last.provider_request_id}, as {payment.gateway}'s support asks for it"
    if last.HasField("due_time") and not last.HasField("settle_time"):
        lines["then"] = f"it is asked again at {time_of(last.due_time)}"
    return lines


def _checked(order_id: str) -> str:
    return checked_id(order_id, "an order's id")
