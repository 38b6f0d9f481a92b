"""The world in which Acme's gateway passes the kit."""

import time
from collections.abc import Mapping

from pydantic import SecretStr

from services.payment.gateways.gateway import Gateway
from tests.payment.acme.gateway import AcmeGateway, AcmeSettings
from tests.payment.acme.server import Acme
from tests.payment.gateway_kit import PATIENCE_SECONDS, Behaviour, Sent, Sums, World
from tests.payment.worlds.receiver import serving

CARDS = {"ok": "card_ok", "declined": "card_no", "insufficient_funds": "card_poor"}
KEY, WEBHOOK_KEY = "acme-key-of-the-kit", "acme-webhook-key-of-the-kit"


class AcmeWorld(World):
    """Acme's server, its book and its webhooks; it has no disputes, challenges, saved methods or reports."""

    declines: Mapping[str, str] = {"declined": "no_reason", "insufficient_funds": "no_money"}
    says_why = False
    unknown_token = "pm_acme_card_nobodys"
    secrets = (KEY, WEBHOOK_KEY)

    async def open(self) -> None:
        self._acme = Acme(KEY, WEBHOOK_KEY)
        self._url = await self.stack.enter_async_context(serving(self._acme.app()))

    def connect(
        self, *, timeout_seconds: float = PATIENCE_SECONDS, url: str = "", connections: int = 8
    ) -> Gateway:
        settings = AcmeSettings.model_construct(
            acme_url=url or self._url,
            acme_key=SecretStr(KEY),
            acme_webhook_key=SecretStr(WEBHOOK_KEY),
            provider_timeout_seconds=timeout_seconds,
            provider_connections=connections,
        )
        return AcmeGateway(settings)

    def token(self, behaviour: Behaviour) -> str:
        return f"pm_acme_{CARDS[behaviour]}"

    async def misbehave(self, fault: str, question: str) -> None:
        self._acme.fault = fault, question

    async def book(self) -> Mapping[str, Sums]:
        charges = [one for one in self._acme.charges.values() if one.state != "declined"]
        return {one.id: Sums(one.amount, one.taken, one.returned, one.lost) for one in charges}

    async def webhooks(self, reference: str) -> list[Sent]:
        return [self.signed(Sent(body, {})) for charge, body in self._acme.events if charge == reference]

    def signed(self, sent: Sent, *, age_seconds: float = 0, by_stranger: bool = False) -> Sent:
        at = int(time.time() - age_seconds)
        signature = self._acme.signature(at, sent.body, b"a stranger's" if by_stranger else b"")
        return Sent(sent.body, {"acme-time": str(at), "acme-signature": signature})

    async def expire(self, reference: str) -> None:
        self._acme.lapse(reference)
