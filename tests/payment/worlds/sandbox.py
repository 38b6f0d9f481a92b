"""The sandbox provider in this process, with its book on disk as always."""

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.payment.gateways.gateway import Gateway
from services.payment.gateways.sandbox import SandboxGateway
from services.payment.rules.outcomes import Method
from services.payment.settings import PaymentSettings
from services.runtime.ids import new_id
from services.sandbox import webhooks
from services.sandbox.alarm import Alarm
from services.sandbox.book import Book
from services.sandbox.disputes import Disputes
from services.sandbox.events import Events
from services.sandbox.provider import Provider
from services.sandbox.requests import DisputeRequest
from services.sandbox.rules import card
from services.sandbox.server import Server
from services.sandbox.settings import Settings
from services.sandbox.settlement import Settlement
from tests.payment.gateway_kit import PATIENCE_SECONDS, Behaviour, Sent, Sums, World, eventually
from tests.payment.worlds.receiver import Receiver, serving
from tests.ports import free_port

API_KEY = "sandbox-api-key-of-the-kit"
WEBHOOK_SECRET = "sandbox-webhook-secret-of-the-kit"
TOKENS = {"challenge": "requires_action"}
# The path of each question begins so.
PATHS = {
    "authorize": "/v1/charges",
    "capture": "/v1/charges/",
    "void": "/v1/charges/",
    "refund": "/v1/charges/",
    "look_up": "/v1/operations/",
    "method": "/v1/payment_methods/",
}


class SandboxWorld(World):
    """It tells by webhook whatever happens."""

    currencies = ("EUR", "JPY", "KWD")
    declines: Mapping[str, str] = {
        "declined": "card_declined",
        "insufficient_funds": "insufficient_funds",
    }
    unknown_token = "pm_sandbox_nobodys"
    secrets = (API_KEY, WEBHOOK_SECRET)

    async def open(self) -> None:
        home = Path(tempfile.mkdtemp(prefix="sandbox-world-"))
        self.stack.callback(shutil.rmtree, home)
        self._receiver = await self.stack.enter_async_context(Receiver())
        settings = Settings(
            listen=f"127.0.0.1:{free_port()}",
            book=home / "book.db",
            api_key=API_KEY,
            webhook_url=self._receiver.url,
            webhook_secret=WEBHOOK_SECRET,
            webhooks="all",
        )
        self._url = f"http://{settings.listen}"
        self._open(settings)
        await self.stack.enter_async_context(serving(self._server.app(), settings.port))
        sender = asyncio.create_task(webhooks.Sender(self._book, settings, self._events.bell).run())
        self.stack.callback(sender.cancel)

    def _open(self, settings: Settings) -> None:
        alarm, self._book = Alarm(), Book(settings.book)
        self.stack.callback(self._book.close)
        self._events, settlement = Events(self._book, settings), Settlement(self._book)
        self._disputes = Disputes(self._book, settings, self._events, settlement, alarm)
        self._provider = Provider(self._book, settings, self._events, settlement, self._disputes, alarm)
        self._server = Server(settings, self._provider, self._disputes, settlement, self._events)

    def connect(
        self, *, timeout_seconds: float = PATIENCE_SECONDS, url: str = "", connections: int = 8
    ) -> Gateway:
        settings = PaymentSettings.model_construct(
            sandbox_url=url or self._url,
            sandbox_api_key=SecretStr(API_KEY),
            sandbox_webhook_secret=SecretStr(WEBHOOK_SECRET),
            provider_timeout_seconds=timeout_seconds,
            provider_connections=connections,
        )
        return SandboxGateway(settings)

    def token(self, behaviour: Behaviour) -> str:
        return f"pm_sandbox_{TOKENS.get(behaviour, behaviour)}"

    async def answer_challenge(self, reference: str, *, passed: bool) -> None:
        step = "authorize" if passed else "decline"
        self._provider.challenge(str(new_id()), "", step, reference)

    async def misbehave(self, fault: str, question: str) -> None:
        self._server._misbehaviour.plan(PATHS[question], fault, 1)

    async def book(self) -> Mapping[str, Sums]:
        return {
            charge.id: Sums(
                charge.authorized_minor_units,
                charge.captured_minor_units,
                charge.refunded_minor_units,
                charge.voided_minor_units,
                charge.disputed_minor_units,
            )
            for _, charge in self._book.charges_after(0, 10_000)
            if charge.authorized_minor_units
        }

    async def webhooks(self, reference: str) -> list[Sent]:
        await eventually(lambda: self._book.next_webhook() is None)
        return [sent for sent in self._receiver.received if _is_about(json.loads(sent.body), reference)]

    def signed(self, sent: Sent, *, age_seconds: float = 0, by_stranger: bool = False) -> Sent:
        secret = "somebody else's" if by_stranger else WEBHOOK_SECRET
        signature = webhooks.signature(secret, int(time.time() - age_seconds), sent.body)
        return Sent(sent.body, {**sent.headers, "sandbox-signature": signature})

    async def open_dispute(self, reference: str, amount: int) -> str:
        wanted = DisputeRequest(reference, amount, "fraudulent")
        return str(json.loads(self._disputes.open(str(new_id()), "", wanted).body)["id"])

    async def close_dispute(self, dispute: str, *, won: bool) -> None:
        self._disputes.decide(str(new_id()), "", dispute, "won" if won else "lost")

    async def expire(self, reference: str) -> None:
        charge, now = self._book.charge(reference), time.time()
        assert charge is not None
        self._book.change_charge(charge._replace(expires=int(now) - 1), now)
        self._provider.move_due(now)

    async def saved(self) -> tuple[str, Method]:
        token = f"pm_sandbox_ok_{new_id().hex}"
        shown: dict[str, Any] = card(token)
        del shown["token"]
        return token, Method(**shown)


def _is_about(event: dict[str, Any], reference: str) -> bool:
    return reference in (event["data"]["id"], event["data"].get("charge_id"))
