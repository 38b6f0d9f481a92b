"""`commerce orders`: orders that do not move, through the gateway's gRPC, as an operator's own program would ask."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import grpc.aio
from commerce.order.v1 import operations_service_pb2 as rpc
from commerce.order.v1.operations_service_pb2_grpc import OperationsServiceStub
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.cluster.follow import CALL_SECONDS, gateway, state_name
from services.cluster.home import Home, HomeError

LISTED = 500
# Where the driver has something to do, and may be told to.
DRIVEN = ("PENDING", "RESERVED", "AWAITING_CUSTOMER", "PAYMENT_UNKNOWN")


@asynccontextmanager
async def _operations(home: Home) -> AsyncIterator[tuple[OperationsServiceStub, dict[str, Any]]]:
    """A stub, and what each call of it is given. A refusal becomes a HomeError."""
    async with gateway(home) as (channel, metadata):
        try:
            yield OperationsServiceStub(channel), {"metadata": metadata, "timeout": CALL_SECONDS}
        except grpc.aio.AioRpcError as error:
            raise HomeError(f"{error.code().name}: {error.details()}") from None


async def stuck(home: Home, console: Console) -> None:
    """Prints a table of the orders that do not move, and what to type about one of them."""
    async with _operations(home) as (operations, options):
        reply = await operations.ListStuckOrders(rpc.ListStuckOrdersRequest(page_size=LISTED), **options)
    if not reply.orders:
        console.print("no order is stuck")
        return
    table = Table("order, trace, last error", "state, since (UTC)", show_lines=True)
    for order in reply.orders:
        tries = "[red]parked[/]" if order.parked else f"failed {order.attempts} times"
        table.add_row(
            f"[bold]{order.order_id}[/]\n{order.trace_id}\n{escape(order.last_error)}",
            f"{state_name(order.state)}\n{tries}\n{_time(order.update_time):%Y-%m-%d %H:%M:%S}",
        )
    console.print(table)
    _next(console, "ORDER_ID", "retry", "explain", "trace")


async def explain(home: Home, order_id: str, console: Console) -> None:
    """Prints what an order waits for, and what to type next."""
    request = rpc.ExplainOrderRequest(order_id=_checked(order_id))
    async with _operations(home) as (operations, options):
        reply = await operations.ExplainOrder(request, **options)
    _show(reply.situation, console)
    _next(console, order_id, *(["retry"] if state_name(reply.situation.state) in DRIVEN else []), "trace")


async def retry(home: Home, wanted: str, console: Console) -> None:
    """Has one order, or "all" that are stuck, tried again, and prints what each waits for now."""
    async with _operations(home) as (operations, options):
        order_ids = [wanted if wanted == "all" else _checked(wanted)]
        if wanted == "all":
            request = rpc.ListStuckOrdersRequest(page_size=LISTED)
            reply = await operations.ListStuckOrders(request, **options)
            order_ids = [order.order_id for order in reply.orders]
        for order_id in order_ids:
            again = rpc.RetryOrderRequest(order_id=order_id, request_id=str(uuid.uuid4()))
            situation = (await operations.RetryOrder(again, **options)).situation
            console.print(f"tried again: {order_id}  {situation.waits_for}", highlight=False, soft_wrap=True)
    if order_ids:
        _next(console, order_ids[0], "explain", "watch")
    else:
        console.print("no order is stuck")


def _show(order: rpc.OrderSituation, console: Console) -> None:
    failed = f"{order.attempts} times, last with {order.last_error}" if order.last_error else "not"
    lines = {
        "order": f"[bold]{order.order_id}[/]  of store {order.store_id}",
        "state": state_name(order.state) + (", [red]parked[/]" if order.parked else ""),
        "since": f"{_time(order.update_time):%Y-%m-%d %H:%M:%S} UTC",
        "waits": escape(order.waits_for),
        "failed": escape(failed),
        "trace": order.trace_id,
    }
    if order.HasField("expire_time"):
        lines["expires"] = f"{_time(order.expire_time):%Y-%m-%d %H:%M:%S} UTC, unless it is paid for"
    for name, text in lines.items():
        console.print(f"{name:<8} {text}", highlight=False, soft_wrap=True)


COMMANDS = {
    "retry": "commerce orders retry",
    "explain": "commerce orders explain",
    "trace": "commerce trace",
    "watch": "commerce watch",
}


def _next(console: Console, order_id: str, *commands: str) -> None:
    for number, command in enumerate(commands):
        mark = "next" if number == 0 else ""
        console.print(f"{mark:<8} {COMMANDS[command]} {order_id}", highlight=False, soft_wrap=True)


def _checked(order_id: str) -> str:
    try:
        return str(uuid.UUID(order_id))
    except ValueError:
        raise HomeError(f"an order's id is a UUID, not {order_id}") from None


def _time(time: Any) -> Any:
    return time.ToDatetime(UTC)
