"""The routes: HTTP in, HTTP out. README.md describes the protocol."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from . import requests
from .answers import Answer, as_json, random_id
from .disputes import Disputes
from .events import Events
from .misbehaviour import WITHOUT_EFFECT, Misbehaviour
from .provider import Provider
from .rules import Refused
from .settings import Settings
from .settlement import Settlement

SILENCE_SECONDS = 30.0
MAX_BODY_BYTES = 16_384
HUGE_BYTES = 1 << 20

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
    def __init__(
        self,
        settings: Settings,
        provider: Provider,
        disputes: Disputes,
        settlement: Settlement,
        events: Events,
    ) -> None:
        self._provider = provider
        self._disputes = disputes
        self._settlement = settlement
        self._events = events
        self._misbehaviour = Misbehaviour()
        self._authorization = f"Bearer {settings.api_key}".encode()
        self._closing = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_shutdown.append(self._close)
        app.on_response_prepare.append(name_request)
        app.add_routes(
            [
                web.post("/v1/charges", self._answered(self.charge)),
                web.get("/v1/charges/{charge_id}", self._answered(self.found)),
                web.post("/v1/charges/{charge_id}/capture", self._answered(self.capture)),
                web.post("/v1/charges/{charge_id}/void", self._answered(self.void)),
                web.post("/v1/charges/{charge_id}/refund", self._answered(self.refund)),
                web.get("/v1/operations/{idempotency_key}", self._answered(self.operation)),
                web.get("/v1/book", self._answered(self.book)),
                web.post("/v1/disputes", self._answered(self.dispute)),
                web.get("/v1/disputes/{dispute_id}", self._answered(self.dispute_found)),
                web.post("/v1/disputes/{dispute_id}", self._answered(self.dispute_decided)),
                web.get("/v1/settlement", self._answered(self.settlement)),
                web.get("/v1/settlement.csv", self._answered(self.settlement_csv)),
                web.post("/v1/settlement/plant", self._answered(self.plant)),
                web.get("/v1/payment_methods/{token}", self._answered(self.payment_method)),
                web.delete("/v1/payment_methods/{token}", self._answered(self.detach)),
                web.post("/v1/webhooks/redeliver", self._answered(self.redeliver)),
                web.post("/v1/misbehave", self._answered(self.misbehave, behaves=True)),
                web.get("/v1/challenges/{charge_id}", self._answered(self.challenge_page, public=True)),
                web.post("/v1/challenges/{charge_id}", self._answered(self.challenge, public=True)),
                web.get("/healthz", self._answered(self.healthz, public=True, behaves=True)),
            ]
        )
        return app

    async def charge(self, request: web.Request) -> web.StreamResponse:
        key, raw = await keyed(request)
        wanted = requests.charge_request(raw)
        text = repr(wanted)
        if answer := self._provider.replay(key, text):
            return reply(answer)
        method = self._provider.method(wanted.payment_method, key)
        if method.silent == "before" and self._provider.silence(key):
            return await self._say_nothing(request)
        answer = self._provider.charge(key, text, wanted, method)
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

    async def found(self, request: web.Request) -> web.StreamResponse:
        return json_response(200, as_json(self._provider.found(request.match_info["charge_id"])))

    async def dispute(self, request: web.Request) -> web.StreamResponse:
        key, raw = await keyed(request)
        wanted = requests.dispute_request(raw)
        text = repr(wanted)
        return reply(self._provider.replay(key, text) or self._disputes.open(key, text, wanted))

    async def dispute_found(self, request: web.Request) -> web.StreamResponse:
        return json_response(200, as_json(self._disputes.shown(request.match_info["dispute_id"])))

    async def dispute_decided(self, request: web.Request) -> web.StreamResponse:
        key, raw = await keyed(request)
        dispute_id, outcome = request.match_info["dispute_id"], requests.dispute_outcome(raw)
        text = f"decide {dispute_id} {outcome}"
        answer = self._provider.replay(key, text)
        return reply(answer or self._disputes.decide(key, text, dispute_id, outcome))

    async def settlement(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        return json_response(
            200, as_json(self._settlement.page(*requests.period(query), *requests.page(query)))
        )

    async def settlement_csv(self, request: web.Request) -> web.StreamResponse:
        pieces = self._settlement.csv(*requests.period(dict(request.query)))
        response = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    async def plant(self, request: web.Request) -> web.StreamResponse:
        return json_response(200, as_json(self._settlement.plant(*requests.plant(await request.read()))))

    async def payment_method(self, request: web.Request) -> web.StreamResponse:
        return json_response(200, as_json(self._provider.card(request.match_info["token"])))

    async def detach(self, request: web.Request) -> web.StreamResponse:
        return json_response(200, as_json(self._provider.detach(request.match_info["token"])))

    async def redeliver(self, request: web.Request) -> web.StreamResponse:
        charge_id = requests.redelivered(await request.read())
        self._provider.found(charge_id)
        events = self._events.redeliver(charge_id)
        return json_response(200, as_json({"charge_id": charge_id, "events": events}))

    async def misbehave(self, request: web.Request) -> web.StreamResponse:
        wanted = requests.misbehave(await request.read())
        self._misbehaviour.plan(*wanted)
        return json_response(200, as_json(wanted._asdict()))

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

    def _answered(self, handler: Handler, *, public: bool = False, behaves: bool = False) -> Handler:
        """Checks the bearer token, turns each refusal into its answer, and misbehaves when that is planned."""

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

        async def misbehaved(request: web.Request) -> web.StreamResponse:
            kind = self._misbehaviour.next(request.path)
            if kind in WITHOUT_EFFECT:
                return await self._without_effect(kind, request)
            answer = await answered(request)
            return answer if kind is None else await self._spoiled(kind, request, answer)

        return answered if behaves else misbehaved

    async def _without_effect(self, kind: str, request: web.Request) -> web.StreamResponse:
        match kind:
            case "error_500":
                error = {"code": "internal", "message": "the sandbox was asked to fail"}
                return json_response(500, as_json({"error": error}))
            case "error_429":
                error = {"code": "rate_limited", "message": "the sandbox was asked to be busy"}
                response = json_response(429, as_json({"error": error}))
                response.headers["Retry-After"] = "1"
                return response
        return await self._say_nothing(request)

    async def _spoiled(
        self, kind: str, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        """The effect stays; the answer does not arrive, or not as it was."""
        body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
        match kind:
            case "silent_after":
                return await self._say_nothing(request)
            case "malformed":
                return json_response(200, body[: len(body) // 2])
            case "huge":
                return json_response(200, b" " * HUGE_BYTES + body)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

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


async def name_request(request: web.Request, response: web.StreamResponse) -> None:
    """Each request has a name, by which the merchant may ask what became of it."""
    response.headers["Request-Id"] = random_id("req")


async def keyed(request: web.Request) -> tuple[str, bytes]:
    return requests.idempotency_key(request.headers.get("Idempotency-Key")), await request.read()


def reply(answer: Answer) -> web.Response:
    response = json_response(answer.http_status, answer.body)
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def json_response(http_status: int, body: bytes) -> web.Response:
    return web.Response(status=http_status, body=body, content_type="application/json")
