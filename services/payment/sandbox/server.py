"""The routes: HTTP in, HTTP out. README.md describes the protocol."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from . import requests
from .provider import Answer, Provider, as_json
from .rules import METHODS, Refused
from .settings import Settings

SILENCE_SECONDS = 30.0
MAX_BODY_BYTES = 16_384

log = logging.getLogger("sandbox")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHALLENGE_PAGE = """<!doctype html><title>Sandbox bank</title><h1>Is it you who pays?</h1>
<button onclick="say('pass')">Yes</button> <button onclick="say('fail')">No</button><p id="told"></p>
<script>
const say = async outcome => {
  const reply = await fetch("", {method: "POST", body: JSON.stringify({outcome})});
  const body = await reply.json();
  document.getElementById("told").textContent = body.status ?? body.error.message;
};
</script>"""


class Server:
    def __init__(self, provider: Provider, settings: Settings) -> None:
        self._provider = provider
        self._authorization = f"Bearer {settings.api_key}".encode()
        self._closing = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_shutdown.append(self._close)
        app.add_routes(
            [
                web.post("/v1/charges", self._answered(self.charge)),
                web.post("/v1/charges/{charge_id}/capture", self._answered(self.capture)),
                web.post("/v1/charges/{charge_id}/void", self._answered(self.void)),
                web.post("/v1/charges/{charge_id}/refund", self._answered(self.refund)),
                web.get("/v1/operations/{idempotency_key}", self._answered(self.operation)),
                web.get("/v1/book", self._answered(self.book)),
                web.get("/v1/challenges/{charge_id}", self._answered(self.challenge_page, public=True)),
                web.post("/v1/challenges/{charge_id}", self._answered(self.challenge, public=True)),
                web.get("/healthz", self._answered(self.healthz, public=True)),
            ]
        )
        return app

    async def charge(self, request: web.Request) -> web.StreamResponse:
        key, raw = await keyed(request)
        wanted = requests.charge_request(raw)
        method, text = METHODS[wanted.payment_method], repr(wanted)
        if answer := self._provider.replay(key, text):
            return reply(answer)
        if method.silent == "before" and self._provider.silence(key):
            return await self._say_nothing(request)
        answer = self._provider.charge(key, text, wanted)
        if method.silent == "after":
            return await self._say_nothing(request)
        if method.delay_seconds:
            await asyncio.sleep(method.delay_seconds)
        return reply(answer)

    async def capture(self, request: web.Request) -> web.StreamResponse:
        return await self._change(request, "capture", requests.AMOUNT_FIELDS)

    async def void(self, request: web.Request) -> web.StreamResponse:
        return await self._change(request, "void", requests.NO_FIELDS)

    async def refund(self, request: web.Request) -> web.StreamResponse:
        return await self._change(request, "refund", requests.AMOUNT_FIELDS)

    async def challenge(self, request: web.Request) -> web.StreamResponse:
        """The customer has no key: then the answer itself is the key, and saying it twice is saying it once."""
        charge_id, step = request.match_info["charge_id"], requests.challenge_step(await request.read())
        given = request.headers.get("Idempotency-Key", f"challenge:{charge_id}:{step}"[:200])
        key, text = requests.idempotency_key(given), f"challenge {charge_id} {step}"
        answer = self._provider.replay(key, text)
        return reply(answer or self._provider.challenge(key, text, step, charge_id))

    async def challenge_page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=CHALLENGE_PAGE, content_type="text/html")

    async def operation(self, request: web.Request) -> web.StreamResponse:
        return json_response(200, as_json(self._provider.lookup(request.match_info["idempotency_key"])))

    async def book(self, request: web.Request) -> web.StreamResponse:
        after, limit = requests.page(dict(request.query))
        return json_response(200, as_json(self._provider.page(after, limit)))

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        return json_response(200, b'{"status":"ok"}')

    async def _change(self, request: web.Request, name: str, fields: frozenset[str]) -> web.StreamResponse:
        key, raw = await keyed(request)
        body = requests.parse(raw, fields)
        amount = requests.amount(body) if fields else 0
        charge_id = request.match_info["charge_id"]
        text = f"{name} {charge_id} {amount}"
        answer = self._provider.replay(key, text)
        return reply(answer or self._provider.change(key, text, name, charge_id, amount))

    def _answered(self, handler: Handler, *, public: bool = False) -> Handler:
        """Checks the bearer token, and turns each refusal into its answer."""

        async def answered(request: web.Request) -> web.StreamResponse:
            try:
                if not public:
                    self._authorize(request)
                return await handler(request)
            except Refused as refused:
                return json_response(refused.http_status, as_json({"error": refused.error}))
            except web.HTTPException:
                raise
            except Exception:
                log.exception("%s %s failed", request.method, request.path)
                error = {"code": "internal", "message": "the sandbox failed; the request may be repeated"}
                return json_response(500, as_json({"error": error}))

        return answered

    def _authorize(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, self._authorization):
            raise Refused(401, "unauthorized", "the Authorization header must be Bearer and the API key")

    async def _say_nothing(self, request: web.Request) -> web.StreamResponse:
        """Holds the connection, then drops it. A client that leaves cancels this at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._closing.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _close(self, app: web.Application) -> None:
        self._closing.set()


async def keyed(request: web.Request) -> tuple[str, bytes]:
    return requests.idempotency_key(request.headers.get("Idempotency-Key")), await request.read()


def reply(answer: Answer) -> web.Response:
    response = json_response(answer.http_status, answer.body)
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def json_response(http_status: int, body: bytes) -> web.Response:
    return web.Response(status=http_status, body=body, content_type="application/json")
