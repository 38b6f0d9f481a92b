"""Acme itself: a server that speaks its protocol, with a book of its own."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from services.runtime.ids import new_id

DECLINES = {"card_no": "no_reason", "card_poor": "no_money"}
# The step, the states that it is taken in, and the one that it leads to.
STEPS = {
    "take": ("promised", "taken"),
    "return": ("taken", "returned"),
    "cancel": ("promised", "cancelled"),
}


@dataclass
class Charge:
    """A payment, as Acme shows it; amounts in cents."""

    id: str
    amount: int
    currency: str
    state: str = "promised"
    reason: str = ""
    taken: int = 0
    returned: int = 0
    lost: int = 0


class Acme:
    """Does what is asked under one key once, and keeps the answer."""

    def __init__(self, key: str, webhook_key: str) -> None:
        self._key, self._webhook_key = key, webhook_key.encode()
        self.charges: dict[str, Charge] = {}
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self.events: list[tuple[str, bytes]] = []
        self.fault: tuple[str, str] | None = None
        self._ended = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/payments", self._served(self._promise, "authorize"))
        app.router.add_post("/payments/{id}/take", self._served(self._step, "capture"))
        app.router.add_post("/payments/{id}/return", self._served(self._step, "refund"))
        app.router.add_post("/payments/{id}/cancel", self._served(self._step, "void"))
        app.router.add_get("/keys/{key}", self._served(self._found, "look_up"))
        app.on_shutdown.append(self._end)
        return app

    def signature(self, sent: int, body: bytes, key: bytes = b"") -> str:
        return hmac.new(key or self._webhook_key, f"{sent}.".encode() + body, hashlib.sha256).hexdigest()

    def lapse(self, charge_id: str) -> None:
        charge = self.charges[charge_id]
        charge.state, charge.lost = "lapsed", charge.amount - charge.taken
        self._tell(charge)

    def _promise(self, request: web.Request, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if asked["card"] not in ("card_ok", *DECLINES):
            return 400, {"error": "unknown_card"}
        charge = Charge(f"acme-{new_id()}", asked["amount"], asked["currency"])
        if reason := DECLINES.get(asked["card"]):
            charge.state, charge.reason = "declined", reason
        self.charges[charge.id] = charge
        return self._done(charge)

    def _step(self, request: web.Request, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        charge, step = self.charges[request.match_info["id"]], request.path.rpartition("/")[2]
        before, after = STEPS[step]
        if charge.state != before:
            return 409, {"error": "wrong_state", "state": charge.state}
        if asked["amount"] != charge.amount:
            return 409, {"error": "wrong_amount", "state": charge.state}
        charge.state = after
        charge.taken = charge.amount if step != "cancel" else 0
        charge.returned = charge.amount if step == "return" else 0
        charge.lost = charge.amount if step == "cancel" else 0
        return self._done(charge)

    def _done(self, charge: Charge) -> tuple[int, dict[str, Any]]:
        self._tell(charge)
        return 200, {**asdict(charge), "step": f"step-{new_id()}"}

    def _found(self, request: web.Request, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, answer = self.answers.get(request.match_info["key"], (404, {"error": "unknown_key"}))
        charge = self.charges.get(answer.get("id", ""))
        if charge and charge.state == "lapsed" and answer["state"] == "promised":
            answer = {**answer, "state": "lapsed"}
        return status, answer

    def _tell(self, charge: Charge) -> None:
        event = {"id": f"event-{new_id()}", "event": charge.state, "payment": asdict(charge)}
        self.events.append((charge.id, json.dumps(event).encode()))

    def _served(self, do: Callable[..., tuple[int, dict[str, Any]]], question: str) -> Any:
        async def served(request: web.Request) -> web.StreamResponse:
            asked = await request.json() if request.method == "POST" else {}
            fault, self.fault = (
                (self.fault, None) if self.fault and self.fault[1] == question else (None, self.fault)
            )
            kind = fault[0] if fault else ""
            if request.headers.get("X-Acme-Key") != self._key:
                return web.json_response({}, status=401)
            if kind.startswith("error_"):
                return web.json_response({}, status=int(kind[-3:]))
            if kind == "silent_before":
                await self._ended.wait()
            key = asked.get("key", "")
            answer = self.answers.get(key) or do(request, asked)
            if key:
                self.answers[key] = answer
            return await self._answered(request, kind, *answer)

        return served

    async def _answered(
        self, request: web.Request, kind: str, status: int, body: dict[str, Any]
    ) -> web.StreamResponse:
        text = json.dumps(body)
        if kind == "silent_after":
            await self._ended.wait()
        if kind == "hang_up" and request.transport:
            request.transport.abort()
        if kind == "malformed":
            text = text[: len(text) // 2]
        return web.Response(status=status, text=" " * (2 << 20 if kind == "huge" else 0) + text)

    async def _end(self, app: web.Application) -> None:
        self._ended.set()
