"""Clients as anybody could write them: REST and server-sent events by aiohttp, gRPC by the typed stubs, all at the
gateway's one port; and the payment provider's own book."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

import services.runtime  # noqa: F401  It sets what gRPC reads when it is imported.

# isort: split
import aiohttp
import grpc.aio
from commerce.order.v1.order_pb2 import OrderState
from commerce.order.v1.order_service_pb2 import WatchOrderRequest
from commerce.order.v1.order_service_pb2_grpc import OrderServiceStub
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.cluster.story.teller import ClaimFailed, Step

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

    async def rest(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """A call by REST; one with a body gets a requestId unless it has one. Raises Refused, ClaimFailed."""
        if body is not None:
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

    async def updates_by_sse(self, order_id: str, after: int) -> AsyncIterator[tuple[int, str]]:
        """WatchOrder as a browser's EventSource reads it: each transition's number and state."""
        path = f"/v1/orders/{order_id}:watch?afterSequence={after}"
        headers = self._headers | {"accept": "text/event-stream"}
        async with self._http.get(path, headers=headers) as answer:
            if answer.status != 200:
                raise Refused(answer.status, "", (await answer.text())[:200])
            async for line in answer.content:
                if line.startswith(b"data:"):
                    update = json.loads(line[5:])
                    if not update["bookmark"]:
                        yield int(update["sequence"]), short(update["state"])

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


class Watch:
    """What one watcher of an order has seen. It reads on by itself, until the order has come to its end."""

    def __init__(self, updates: AsyncIterator[tuple[int, str]]) -> None:
        self.seen: list[tuple[int, str]] = []
        self._moved = asyncio.Event()
        self._task = asyncio.create_task(self._read(updates))

    def __str__(self) -> str:
        return " → ".join(state for _, state in self.seen) or "nothing"

    async def to(self, state: str, step: Step) -> None:
        """Returns when that state has been seen. Raises ClaimFailed when the order ends elsewhere."""
        step.waits = lambda: f"the watch has seen {self}, not {state}"
        while state not in (seen for _, seen in self.seen):
            if self._task.done():
                self._task.result()
                raise ClaimFailed(f"the order ended without {state}: {self}")
            self._moved.clear()
            await self._moved.wait()
        step.waits = None

    async def ended(self, step: Step) -> None:
        """Returns when the server has closed the stream, as it does once the order has ended."""
        step.waits = lambda: f"the stream is still open after {self}"
        await self._task
        step.waits = None

    def stop(self) -> None:
        self._task.cancel()

    async def _read(self, updates: AsyncIterator[tuple[int, str]]) -> None:
        try:
            async for update in updates:
                self.seen.append(update)
                self._moved.set()
        finally:
            self._moved.set()


class Provider:
    """The sandbox payment provider, seen from outside: its own book of charges, and what a customer does there."""

    def __init__(self, address: str, api_key: str) -> None:
        headers = {"authorization": f"Bearer {api_key}"}
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        self._http = aiohttp.ClientSession(f"http://{address}", headers=headers, timeout=timeout)

    async def close(self) -> None:
        await self._http.close()

    async def charges(self, order_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Every charge in the book that was made for one of these orders."""
        wanted, found = set(order_ids), []
        after: int | None = 0
        while after is not None:
            async with self._http.get("/v1/book", params={"after": after}) as answer:
                answer.raise_for_status()
                page = await answer.json()
            found += [charge for charge in page["charges"] if charge["reference"] in wanted]
            after = page["next_after"]
        return found

    async def confirm(self, next_action_url: str) -> None:
        """What a customer does at the page of a 3-D Secure challenge."""
        async with self._http.post(next_action_url, json={"outcome": "pass"}) as answer:
            answer.raise_for_status()


def new_id() -> str:
    return str(uuid.uuid4())


def short(name: str) -> str:
    """An enum's name without its prefix: ORDER_STATE_CONFIRMED is CONFIRMED."""
    return name.partition("_STATE_")[2] or name


def _reason(body: dict[str, Any]) -> str:
    return next((str(detail["reason"]) for detail in body.get("details", []) if "reason" in detail), "")
