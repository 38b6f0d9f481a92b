"""`commerce watch` and `commerce trace`: an order through the gateway's gRPC, as a client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import grpc.aio
from commerce.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from commerce.payment.v1.payment_service_pb2 import ListGatewaysRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.markup import escape

from services.cluster import tokens, waterfall
from services.cluster.home import Home, HomeError
from services.cluster.output import Output, checked_id
from services.cluster.processes import backoff_seconds
from services.cluster.spans import Span, Spans

TRIES = 10
CALL_SECONDS = 10.0
SETTLE_TRIES = 6
SETTLE_SECONDS = 0.7


@asynccontextmanager
async def gateway(home: Home) -> AsyncIterator[tuple[grpc.aio.Channel, Any]]:
    """A channel to the running cluster's gateway, and the metadata of a platform administrator."""
    status = home.state()
    tokens.require_development(status["environment"])
    metadata = (("authorization", f"Bearer {tokens.mint(home, 'platform_admin')}"),)
    async with grpc.aio.insecure_channel(status["gateway"].removeprefix("http://")) as channel:
        yield channel, metadata


async def check_gateway(channel: grpc.aio.Channel, metadata: Any, code: str) -> None:
    """Raises ValueError, with the gateways that there are, when this is none of them."""
    reply = await PaymentServiceStub(channel).ListGateways(
        ListGatewaysRequest(), metadata=metadata, timeout=CALL_SECONDS
    )
    codes = [gateway.code for gateway in reply.gateways]
    if code not in codes:
        raise ValueError(f"no gateway is called {code}; there are {', '.join(codes)}")


@asynccontextmanager
async def _orders(home: Home) -> AsyncIterator[tuple[order_service_pb2_grpc.OrderServiceStub, Any]]:
    async with gateway(home) as (channel, metadata):
        yield order_service_pb2_grpc.OrderServiceStub(channel), metadata


async def watch(home: Home, order_id: str, after_sequence: int, output: Output, console: Console) -> None:
    """Prints a line for each transition until the order's last one, across restarts of what it talks to.

    Raises HomeError when it is refused.
    """
    order_id = checked_id(order_id, "an order's id")
    async with _orders(home) as (orders, metadata):
        tries = 0
        while tries < TRIES:
            request = order_service_pb2.WatchOrderRequest(order_id=order_id, after_sequence=after_sequence)
            call = orders.WatchOrder(request, metadata=metadata)
            try:
                async for update in call:
                    tries = 0
                    if not update.bookmark:
                        after_sequence = update.sequence
                        if output is Output.JSON:
                            print(json.dumps(MessageToDict(update)), flush=True)
                        else:
                            console.print(_line(update), highlight=False, soft_wrap=True)
                return
            except grpc.aio.AioRpcError as error:
                tries += 1
                if error.code() is not grpc.StatusCode.UNAVAILABLE or tries == TRIES:
                    raise HomeError(f"{error.code().name}: {error.details()}") from None
                await asyncio.sleep(backoff_seconds(tries))
            finally:
                call.cancel()


async def traces(home: Home, order_id: str) -> dict[str, list[str]]:
    """The traces of an order's transitions in order: the steps of each by its id. Raises HomeError when refused."""
    async with _orders(home) as (orders, metadata):
        request = order_service_pb2.ListOrderEventsRequest(order_id=order_id)
        try:
            reply = await orders.ListOrderEvents(request, metadata=metadata, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise HomeError(f"{error.code().name}: {error.details()}") from None
    return by_trace((event.trace_id, event.step) for event in reply.events)


def by_trace(timeline: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The steps of a timeline, given with their traces, by trace; the first one first."""
    steps: dict[str, list[str]] = {}
    for trace_id, step in timeline:
        if trace_id:
            steps.setdefault(trace_id, []).append(step)
    return steps


async def show_traces(home: Home, order_id: str, console: Console) -> None:
    """Prints the waterfall of each of an order's traces. Raises HomeError when its spans are collected elsewhere."""
    status = home.state()
    if not status["spans"]:
        raise HomeError(f"this cluster sends its traces to {status['otlp']}: look there")
    for trace_id, steps in (await traces(home, order_id)).items():
        console.print(
            f"[bold]{escape(', '.join(steps))}[/]   trace {trace_id}", highlight=False, soft_wrap=True
        )
        waterfall.render(await _settled(Spans(Path(status["spans"])), trace_id), console)


async def _settled(store: Spans, trace_id: str) -> list[Span]:
    """A trace's spans, once no more of them arrive: processes send theirs every half second."""
    spans = store.trace(trace_id)
    for _ in range(SETTLE_TRIES):
        await asyncio.sleep(SETTLE_SECONDS)
        before, spans = spans, store.trace(trace_id)
        if spans and len(spans) == len(before):
            break
    return spans


def state_name(state: order_pb2.OrderState.ValueType) -> str:
    """A state's name as people say it: CONFIRMED."""
    return order_pb2.OrderState.Name(state).removeprefix("ORDER_STATE_")


def _line(update: order_pb2.OrderUpdate) -> str:
    time = update.time.ToDatetime(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    reason = f"  {update.reason}" if update.reason else ""
    return f"{update.sequence:>4}  {time}  [bold]{state_name(update.state):<18}[/] trace {update.trace_id}{reason}"
