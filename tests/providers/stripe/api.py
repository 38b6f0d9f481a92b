"""HTTP in, HTTP out: keys, forms, replies, and the misbehaviour that a test has planned."""

import asyncio
import base64
import json
import secrets
import urllib.parse
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from aiohttp import web

from . import errors, reading, searching
from .book import Book, Caller
from .errors import Json, StripeError
from .faults import Fault, Faults
from .forms import Form, parsed
from .idempotency import Keys, Reply
from .routes import ENDPOINTS, INTENTS, Endpoint
from .shapes import API_VERSION

HUGE_BYTES = 32 * 1024 * 1024
PIECE = b" " * (1024 * 1024)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """A request that reached the server, whatever became of it."""

    method: str
    path: str
    form: Json
    idempotency_key: str | None


class Api:
    def __init__(self, book: Book, api_key: str) -> None:
        self.book, self.keys, self.faults = book, Keys(book.clock), Faults()
        self.seen: list[Seen] = []
        self.search_delay_seconds = 0.0
        self.closing = asyncio.Event()
        self._api_key = api_key

    def routes(self) -> list[web.RouteDef]:
        search = Endpoint("GET", f"{INTENTS}/search", "payment_intent", self._search, of_list=True)
        known = [
            web.route(endpoint.method, endpoint.path, partial(self._handle, endpoint))
            for endpoint in (search, *ENDPOINTS)
        ]
        return [*known, web.route("*", "/v1/{rest:.*}", partial(self._handle, None))]

    def _search(self, book: Book, form: Form) -> Json:
        return searching.search(book, form, self.search_delay_seconds)

    async def _handle(self, endpoint: Endpoint | None, request: web.Request) -> web.StreamResponse:
        text = (await request.read()).decode() if request.method == "POST" else request.query_string
        pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        self.seen.append(Seen(request.method, request.path, dict(pairs), key))
        fault = self.faults.next(request.method, request.path)
        kind = fault.kind if fault else None
        if kind in ("silent_before", "hang_up_before"):
            return await self._no_answer(request, kind)
        reply = await self._reply(endpoint, request, pairs, key, fault)
        if kind in ("silent_after", "hang_up_after"):
            return await self._no_answer(request, kind)
        if kind == "malformed":
            reply = replace(reply, body=reply.body[: len(reply.body) // 2])
        return await self._send(request, reply, key, huge=kind == "huge")

    async def _reply(
        self,
        endpoint: Endpoint | None,
        request: web.Request,
        pairs: list[tuple[str, str]],
        key: str | None,
        fault: Fault | None,
    ) -> Reply:
        request_id = f"req_{secrets.token_hex(7)}"
        try:
            self._authorize(request)
            if fault and fault.kind == "rate_limited":
                raise errors.rate_limited()
            if fault and fault.kind == "conflict":
                raise errors.lock_timeout()
            if endpoint is None:
                raise errors.unrecognized(request.method, request.path)
            if "json" in request.content_type:
                raise errors.invalid("Invalid request: this API takes form-encoded bodies, not JSON.")
            caller = Caller(request_id, key)
            ids = tuple(request.match_info.values())
            carry_out = partial(self._carry_out, endpoint, ids, Form(parsed(pairs)), caller, fault)
            if key is None:
                return await carry_out()
            return await self.keys.once(key, request.path, json.dumps(sorted(pairs)), carry_out)
        except StripeError as error:
            return _refusal(error, request_id)

    async def _carry_out(
        self, endpoint: Endpoint, ids: tuple[str, ...], form: Form, caller: Caller, fault: Fault | None
    ) -> Reply:
        kind = fault.kind if fault else None
        if fault and kind == "slow":
            await self._wait(fault.seconds)
        book, book.caller = self.book, caller
        request_id = caller.request_id or ""
        try:
            if kind == "error_before":
                raise errors.api_error()
            paths = reading.expansions(form, endpoint.kind, of_list=endpoint.of_list)
            answer = endpoint.run(book, form, *ids)
            if endpoint.of_list:
                rows = [reading.expanded(book, row, paths) for row in answer["data"]]
                shown = answer | {"data": rows}
            else:
                shown = reading.expanded(book, answer, paths)
            if kind == "error_after":
                raise errors.api_error()
            return Reply(200, json.dumps(shown).encode(), request_id)
        except StripeError as error:
            return _refusal(error, request_id)
        finally:
            book.caller = Caller()
            book.catch_up()

    def _authorize(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with suppress(ValueError):
                given = base64.b64decode(given).decode().partition(":")[0]
        if not secrets.compare_digest(given.encode(), self._api_key.encode()):
            raise errors.unauthorized(given or None)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)

    async def _no_answer(self, request: web.Request, kind: str) -> web.StreamResponse:
        if kind.startswith("silent"):
            await self.closing.wait()
        if request.transport:
            request.transport.abort()
        return web.Response()

    async def _send(
        self, request: web.Request, reply: Reply, key: str | None, *, huge: bool
    ) -> web.StreamResponse:
        headers = {
            "Content-Type": "application/json",
            "Request-Id": reply.request_id,
            "Stripe-Version": request.headers.get("Stripe-Version", API_VERSION),
        }
        if key is not None:
            headers["Idempotency-Key"] = key
        headers |= reply.headers
        if not huge:
            return web.Response(status=reply.status, body=reply.body, headers=headers)
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        with suppress(ConnectionError):  # Whoever stops reading such a reply is right.
            for _ in range(HUGE_BYTES // len(PIECE)):
                await response.write(PIECE)
            await response.write(reply.body)
            await response.write_eof()
        return response


def _refusal(error: StripeError, request_id: str) -> Reply:
    log = {"request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}"}
    body = json.dumps({"error": error.error | log}).encode()
    return Reply(error.status, body, request_id, error.headers, error.executed)
