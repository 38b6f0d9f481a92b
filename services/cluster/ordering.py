"""`commerce orders`: orders that do not move, through the gateway's gRPC, as an operator's own program would ask."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from commerce.order.v1 import operations_service_pb2 as rpc
from commerce.order.v1.operations_service_pb2_grpc import OperationsServiceStub
from rich.console import Console

from services.cluster.follow import CALL_SECONDS, gateway, state_name
from services.cluster.home import Home, HomeError
from services.cluster.output import (
    Output,
    checked_id,
    print_json,
    print_lines,
    print_next,
    print_records,
    time_of,
)

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


async def stuck(home: Home, output: Output, console: Console) -> None:
    """Prints the orders that do not move, and what to type about one of them."""
    async with _operations(home) as (operations, options):
        reply = await operations.ListStuckOrders(rpc.ListStuckOrdersRequest(page_size=LISTED), **options)
    if output is Output.JSON:
        print_json(reply)
    elif not reply.orders:
        console.print("no order is stuck")
    else:
        print_records(console, map(_record, reply.orders))
        print_next(console, "orders retry ORDER_ID", "orders explain ORDER_ID", "trace ORDER_ID")


async def explain(home: Home, order_id: str, output: Output, console: Console) -> None:
    """Prints what an order waits for, and what to type next."""
    request = rpc.ExplainOrderRequest(order_id=_checked(order_id))
    async with _operations(home) as (operations, options):
        reply = await operations.ExplainOrder(request, **options)
    if output is Output.JSON:
        print_json(reply)
        return
    print_lines(console, _record(reply.situation))
    retry = [f"orders retry {order_id}"] if state_name(reply.situation.state) in DRIVEN else []
    print_next(console, *retry, f"trace {order_id}")


async def retry(home: Home, wanted: str, output: Output, console: Console) -> None:
    """Has one order, or "all" that are stuck, tried again, and prints what each waits for now."""
    situations = []
    async with _operations(home) as (operations, options):
        order_ids = [wanted if wanted == "all" else _checked(wanted)]
        if wanted == "all":
            request = rpc.ListStuckOrdersRequest(page_size=LISTED)
            reply = await operations.ListStuckOrders(request, **options)
            order_ids = [order.order_id for order in reply.orders]
        for order_id in order_ids:
            again = rpc.RetryOrderRequest(order_id=order_id, request_id=str(uuid.uuid4()))
            situations.append((await operations.RetryOrder(again, **options)).situation)
            if output is Output.TEXT:
                said = f"tried again: {order_id}  {situations[-1].waits_for}"
                console.print(said, markup=False, highlight=False, soft_wrap=True)
    if output is Output.JSON:
        print_json(rpc.ListStuckOrdersResponse(orders=situations))
    elif order_ids:
        print_next(console, f"orders explain {order_ids[0]}", f"watch {order_ids[0]}")
    else:
        console.print("no order is stuck")


def _record(order: rpc.OrderSituation) -> dict[str, str]:
    expires = order.HasField("expire_time")
    return {
        "order": f"{order.order_id}  of store {order.store_id}",
        "state": state_name(order.state) + (", parked" if order.parked else ""),
        "since": time_of(order.update_time),
        "waits": order.waits_for,
        "failed": f"{order.attempts} times, last with {order.last_error}" if order.last_error else "",
        "trace": order.trace_id,
        "expires": f"{time_of(order.expire_time)}, unless it is paid for" if expires else "",
    }


def _checked(order_id: str) -> str:
    return checked_id(order_id, "an order's id")
