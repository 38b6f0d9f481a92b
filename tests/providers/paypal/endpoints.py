"""One request: seen, perhaps spoilt, authenticated, done once for its PayPal-Request-Id, answered."""

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from aiohttp import web

from tests.providers.paypal.book import Book
from tests.providers.paypal.calls import Answer, Call, Keys
from tests.providers.paypal.errors import Problem, invalid
from tests.providers.paypal.faults import BEFORE, Fault, Faults, Rule, halved, hang_up, huge
from tests.providers.paypal.oauth import Tokens

Operation = Callable[[Call], Answer]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """A request that has arrived, whatever became of it."""

    method: str
    path: str
    request_id: str | None
    body: bytes


class Endpoints:
    def __init__(self, book: Book, tokens: Tokens) -> None:
        self.book, self.tokens = book, tokens
        self.keys, self.faults = Keys(), Faults()
        self.requests: list[Seen] = []

    def api(self, operation: Operation, keep: timedelta | None = None) -> Handler:
        """An endpoint that takes a bearer token; `keep` is how long it remembers request ids."""

        async def handle(request: web.Request, rule: Rule | None) -> web.Response:
            refused = self.tokens.refused(request)
            if refused is not None:
                return refused
            call = await read(request)
            key = self.keys.begin(operation.__qualname__, call) if keep else None
            try:
                await self.delay(rule)
                return self.answer(operation, call, keep)
            finally:
                self.keys.under_way.discard(key or ("", ""))

        return self.spoilt(handle)

    def open(self, handler: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
        """An endpoint without a bearer token."""

        async def handle(request: web.Request, rule: Rule | None) -> web.Response:
            await self.delay(rule)
            return await handler(request)

        return self.spoilt(handle)

    def spoilt(self, handle: Callable[[web.Request, Rule | None], Awaitable[web.Response]]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            request_id = request.headers.get("PayPal-Request-Id")
            self.requests.append(Seen(request.method, request.path, request_id, body))
            rule = self.faults.take(request.method, request.path)
            if rule is not None and rule.fault in BEFORE:
                return await self.before(rule, request)
            try:
                response = await handle(request, rule)
            except Problem as problem:
                response = web.json_response(problem.json(), status=problem.status)
            response.headers["Paypal-Debug-Id"] = secrets.token_hex(7)[:13]
            return await self.after(rule, request, response)

        return handler

    def answer(self, operation: Operation, call: Call, keep: timedelta | None) -> web.Response:
        now, name = self.book.now(), operation.__qualname__
        answer = self.keys.recall(name, call, now) if keep and call.request_id else None
        if answer is None:
            answer = operation(call)
            if keep:
                self.keys.keep(name, call, answer, now + keep)
        body = answer.show(call.whole)
        return web.Response(status=204) if body is None else web.json_response(body, status=answer.status)

    async def delay(self, rule: Rule | None) -> None:
        if rule is not None and rule.fault is Fault.SLOW:
            rule.reached.set()
            await self.faults.wait(rule.seconds)

    async def before(self, rule: Rule, request: web.Request) -> web.StreamResponse:
        rule.reached.set()
        if rule.fault is Fault.SILENT_BEFORE:
            return await self.faults.silence(request)
        if rule.fault is Fault.HANG_UP_BEFORE:
            return hang_up(request)
        problem = Problem(429 if rule.fault is Fault.RATE_LIMITED else 500)
        return web.json_response(problem.json(), status=problem.status)

    async def after(
        self, rule: Rule | None, request: web.Request, response: web.Response
    ) -> web.StreamResponse:
        if rule is None:
            return response
        rule.reached.set()
        match rule.fault:
            case Fault.SILENT_AFTER:
                return await self.faults.silence(request)
            case Fault.HANG_UP_AFTER:
                return hang_up(request)
            case Fault.SERVER_ERROR_AFTER:
                return web.json_response(Problem(500).json(), status=500)
            case Fault.MALFORMED:
                return halved(response)
            case Fault.HUGE:
                return await huge(request, response.status, rule.megabytes)
            case _:
                return response


async def read(request: web.Request) -> Call:
    """The call; an empty body is an empty object, a patch's list goes by the name `patches`."""
    call = Call(
        path=request.path,
        body={},
        params=dict(request.match_info),
        query=dict(request.query),
        request_id=request.headers.get("PayPal-Request-Id"),
        whole="return=representation" in request.headers.get("Prefer", ""),
    )
    if request.method not in {"POST", "PATCH"}:
        return call
    raw = await request.read()
    if request.content_type != "application/json" and not (request.path.endswith("/void") and not raw):
        raise Problem(415)
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise invalid("MALFORMED_REQUEST_JSON") from None
    if isinstance(body, list) and request.method == "PATCH":
        body = {"patches": body}
    if not isinstance(body, dict):
        raise invalid("MALFORMED_REQUEST_JSON")
    return replace(call, body=body)
