"""`commerce watch`: an order through the gateway's gRPC, as a client sees it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC

import grpc.aio
from commerce.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.markup import escape

from services.cluster.commands.gateway import TRIES, gateway
from services.cluster.home import Home
from services.cluster.output import Output, checked_id
from services.cluster.processes import backoff_seconds


async def watch(home: Home, order_id: str, after_sequence: int, output: Output, console: Console) -> None:
    """Prints a line for each transition until the order's last one, across restarts of what it talks to.

    Raises HomeError when it is refused.
    """
    order_id = checked_id(order_id, "an order's id")
    async with gateway(home) as (channel, options):
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        tries = 0
        while tries < TRIES:
            request = order_service_pb2.WatchOrderRequest(order_id=order_id, after_sequence=after_sequence)
            call = orders.WatchOrder(request, metadata=options["metadata"])
            try:
                async for update in call:
                    tries = 0
                    if not update.bookmark:
                        after_sequence = update.sequence
                        if output is Output.JSON:
                            print(json.dumps(MessageToDict(update)), flush=True)
                        else:
                            console.print(_line(update), markup=True, highlight=False, soft_wrap=True)
                return
            except grpc.aio.AioRpcError as error:
                tries += 1
                if error.code() is not grpc.StatusCode.UNAVAILABLE or tries == TRIES:
                    raise
                await asyncio.sleep(backoff_seconds(tries))
            finally:
                call.cancel()


def state_name(state: order_pb2.OrderState.ValueType) -> str:
    """A state's name as people say it: CONFIRMED."""
    return order_pb2.OrderState.Name(state).removeprefix("ORDER_STATE_")


def _line(update: order_pb2.OrderUpdate) -> str:
    time = update.time.ToDatetime(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    reason = f"  {escape(update.reason)}" if update.reason else ""
    return f"{update.sequence:>4}  {time}  [bold]{state_name(update.state):<18}[/] trace {update.trace_id}{reason}"
