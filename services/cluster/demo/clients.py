"""Clients as anybody could write them: REST and server-sent events by aiohttp, gRPC by the typed stubs, all at the
gateway's one port."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NamedTuple

import services.runtime  # noqa: F401  It sets what gRPC reads when it is imported.

# isort: split
import aiohttp
import grpc.aio
from commerce.catalog.v1.catalog_service_pb2_grpc import ImportServiceStub
from commerce.order.v1.order_pb2 import OrderState
from commerce.order.v1.order_service_pb2 import WatchOrderRequest
from commerce.order.v1.order_service_pb2_grpc import OrderServiceStub
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.cluster.demo.teller import ClaimFailed

CALL_SECONDS = 10.0
CHANNEL_OPTIONS = [("grpc.enable_http_proxy", 0)]


class Reply(NamedTuple):
    """An answer by REST: the body read and as it came, and the call's trace."""

    body: dict[str, Any]
    raw: bytes
    trace_id: str


class Refused(ClaimFailed):
    """The gateway answered with an error. `reason` is the one of its ErrorInfo, empty when it has none."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason = status, reason


class Gateway:
    """The gateway's address, with an HTTP session and a gRPC channel to it."""

    def __init__(self, url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_SECONDS)
        self.http = aiohttp.ClientSession(url, timeout=timeout)
        self.channel = grpc.aio.insecure_channel(url.partition("://")[2], options=CHANNEL_OPTIONS)

    async def close(self) -> None:
        await self.http.close()
        await self.channel.close()


class Person:
    """Whoever holds a token, at the gateway. `metadata` goes with each call of a stub."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self._http = gateway.http
        self._headers = {"authorization": f"Bearer {token}"}
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.orders = OrderServiceStub(gateway.channel)
        self.payments = PaymentServiceStub(gateway.channel)
        self.imports = ImportServiceStub(gateway.channel)

    async def rest(
        self, method: str, path: str, body: dict[str, Any] | None = None, changes: bool = True
    ) -> Reply:
        """A call by REST. Raises Refused, ClaimFailed.

        One with a body gets a requestId, unless it has one or changes nothing.
        """
        if body is not None and changes:
            body = {"requestId": new_id()} | body
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        try:
            async with self._http.request(
                method, path, json=body, headers=self._headers, timeout=timeout
            ) as answer:
                raw = await answer.read()
        except TimeoutError:
            raise ClaimFailed(f"{method} {path} was not answered within {CALL_SECONDS:.0f} s") from None
        read = json.loads(raw)
        if answer.status != 200:
            raise Refused(answer.status, _reason(read), str(read.get("message", "")))
        return Reply(read, raw, answer.headers.get("x-trace-id", ""))

    async def refused(self, method: str, path: str, body: dict[str, Any]) -> Refused:
        """The refusal of a call by REST. Raises ClaimFailed when it is not refused."""
        try:
            await self.rest(method, path, body)
        except Refused as refused:
            return refused
        raise ClaimFailed(f"{method} {path} was not refused")

    async def updates_by_sse(self, order_id: str, after: int) -> AsyncIterator[tuple[int, str]]:
        """WatchOrder as a browser's EventSource reads it: each transition's number and state."""
        async for update in self.events(f"/v1/orders/{order_id}:watch?afterSequence={after}"):
            if not update["bookmark"]:
                yield int(update["sequence"]), short(update["state"])

    async def events(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        """The messages of a stream, as server-sent events. Raises Refused."""
        headers = self._headers | {"accept": "text/event-stream"}
        async with self._http.get(path, headers=headers) as answer:
            if answer.status != 200:
                raise Refused(answer.status, "", (await answer.text())[:200])
            async for line in answer.content:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    async def updates_by_grpc(self, order_id: str, after: int) -> AsyncIterator[tuple[int, str]]:
        """The same by the typed stub."""
        request = WatchOrderRequest(order_id=order_id, after_sequence=after)
        call = self.orders.WatchOrder(request, metadata=self.metadata)
        try:
            async for update in call:
                if not update.bookmark:
                    yield update.sequence, short(OrderState.Name(update.state))
        finally:
            call.cancel()


def new_id() -> str:
    return str(uuid.uuid4())


def short(name: str) -> str:
    """An enum's name without its prefix: ORDER_STATE_CONFIRMED is CONFIRMED."""
    return name.partition("_STATE_")[2] or name


def _reason(body: dict[str, Any]) -> str:
    return next((str(detail["reason"]) for detail in body.get("details", []) if "reason" in detail), "")
