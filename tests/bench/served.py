"""The servers that a benchmark compares, each a process of its own: `python -m tests.bench.served KIND ADDRESS`.

bare      a grpc.aio server as it comes, whose GetOrder answers from memory
runtime   the same GetOrder behind the whole runtime: identity, access, validation, tracing
sink      takes spans and forgets them
order     the order service, but nobody drives the orders that are placed
"""

# mypy: disable-error-code="abstract, override"

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import Any, cast

from services.runtime import logs, telemetry  # First: it sets what gRPC must find before it is imported.

# isort: split
import grpc
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_pb2 import Order, OrderLine, OrderState
from commerce.order.v1.order_service_pb2 import GetOrderRequest, GetOrderResponse
from commerce.order.v1.order_service_pb2_grpc import OrderServiceServicer, add_OrderServiceServicer_to_server

from services.runtime.admission import Admission
from services.runtime.database import Database, Searches
from services.runtime.pipeline import Environment
from services.runtime.server import Server
from services.runtime.service import quieten, run, runner
from services.runtime.sessions import Sessions
from services.runtime.settings import Settings
from services.runtime.shares import Shares
from services.runtime.tokens import Tokens

ID = "0192f0c1-2345-7abc-8def-0123456789ab"
SERVICE = "commerce.order.v1.OrderService"


def some_order() -> Order:
    """An order of three lines."""
    lines = [
        OrderLine(
            product_id=ID,
            sku=f"SKU-{number}",
            name="Analytical engine",
            quantity=1,
            unit_price=Money(currency_code="EUR", minor_units=1999),
        )
        for number in range(3)
    ]
    order = Order(
        order_id=ID, store_id=ID, customer_id=ID, state=OrderState.ORDER_STATE_CONFIRMED, lines=lines
    )
    order.total.CopyFrom(Money(currency_code="EUR", minor_units=3 * 1999))
    order.sequence = 3
    order.payment_method = "pm_sandbox_ok"
    order.create_time.GetCurrentTime()
    order.update_time.GetCurrentTime()
    return order


class FromMemory(OrderServiceServicer):
    """Answers with an order that it has at hand."""

    def __init__(self) -> None:
        self._order = some_order()

    async def GetOrder(self, request: GetOrderRequest, context: Any) -> GetOrderResponse:
        return GetOrderResponse(order=self._order)


async def bare(address: str) -> object:
    """Serve GetOrder as grpc.aio does by itself."""
    server = grpc.aio.server()
    add_OrderServiceServicer_to_server(FromMemory(), server)
    server.add_insecure_port(address)
    await server.start()
    return server


async def runtime(address: str) -> object:
    """Serve GetOrder as our services do, without a database to ask."""
    settings = Settings.load().model_copy(update={"listen": address})
    at = Environment(
        database=cast(Database, None),
        sessions=Sessions(Tokens(settings.jwks_file)),
        calls=Admission(settings.calls_in_flight, "calls"),
        streams=Admission(settings.open_streams, "streams"),
        shares=Shares(settings),
        searches=cast(Searches, None),
        default_seconds=settings.call_seconds,
        committed=lambda _: None,
        constraints={},
    )
    server = Server(settings, [SERVICE], [FromMemory()], at)
    await server.start()
    return server


async def sink(address: str) -> object:
    """Acknowledge every export of spans."""

    async def swallow(_: bytes, __: Any) -> bytes:
        return b""

    class Everything(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
            return grpc.unary_unary_rpc_method_handler(cast(Any, swallow))

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Everything(),))
    server.add_insecure_port(address)
    await server.start()
    return server


def order(address: str) -> None:
    """Serve what the order service serves, until told to stop."""
    from services.order.__main__ import build
    from services.order.definition import DEFINITION

    os.environ["COMMERCE_LISTEN"] = address
    # Nobody is refused, either, because nobody drives those before.
    run(DEFINITION, lambda runtime: replace(build(runtime), workers=[_Tell()], gates={}))


class _Tell:
    """Says that the service is up, and rests."""

    async def run(self) -> None:
        await asyncio.sleep(1)  # The server listens as soon as its workers have begun.
        print("ready", flush=True)
        await asyncio.Event().wait()


async def _main(kind: str, address: str) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    server = await {"bare": bare, "runtime": runtime, "sink": sink}[kind](address)
    if kind == "runtime":
        quieten()
    print("ready", flush=True)
    await stop.wait()
    del server


if __name__ == "__main__":
    if sys.argv[1] == "order":
        order(sys.argv[2])
        sys.exit()
    logs.configure("bench", "warning")
    if sys.argv[1] == "runtime":
        telemetry.start("bench", "0")
    with runner() if sys.argv[1] == "runtime" else asyncio.Runner() as loop:
        loop.run(_main(sys.argv[1], sys.argv[2]))
    telemetry.stop()
