"""Stripe's server of the tests, with its test cards."""

import time
from collections.abc import Mapping

from pydantic import SecretStr

from services.payment.gateways.gateway import Gateway
from services.payment.gateways.stripe.gateway import StripeGateway
from services.payment.rules.outcomes import Method
from services.payment.settings import PaymentSettings
from tests.payment.gateway_kit import PATIENCE_SECONDS, Behaviour, Sent, Sums, World
from tests.providers.stripe import customers, shapes
from tests.providers.stripe.cards import CARDS
from tests.providers.stripe.faults import Kind
from tests.providers.stripe.server import StripeServer

SECRET_KEY = "sk_test_of_the_kit"
WEBHOOK_SECRET = "whsec_of_the_kit"
CARD_NAMES = {
    "ok": "visa",
    "declined": "chargeDeclined",
    "insufficient_funds": "chargeDeclinedInsufficientFunds",
    "challenge": "threeDSecure2Required",
}
PATHS = {
    "authorize": ("POST", "/v1/payment_intents"),
    "capture": ("POST", "/v1/payment_intents/*/capture"),
    "void": ("POST", "/v1/payment_intents/*/cancel"),
    "refund": ("POST", "/v1/refunds"),
    "look_up": ("GET", "*"),
    "method": (None, "/v1/payment_methods/*"),
}
FAULTS: Mapping[str, Kind] = {
    "silent_before": "silent_before",
    "silent_after": "silent_after",
    "hang_up": "hang_up_after",
    "malformed": "malformed",
    "huge": "huge",
    "error_500": "error_before",
    "error_429": "rate_limited",
}


class StripeWorld(World):
    """A charge is a payment intent."""

    currencies = ("EUR", "JPY", "KWD")
    declines: Mapping[str, str] = {
        "declined": "generic_decline",
        "insufficient_funds": "insufficient_funds",
    }
    finds_authorizations = False
    keeps_errors = True
    unknown_token = "pm_stripe_pm_nobodys"
    secrets = (SECRET_KEY, WEBHOOK_SECRET)

    async def open(self) -> None:
        server = StripeServer(api_key=SECRET_KEY, webhook_secret=WEBHOOK_SECRET)
        self._server = await self.stack.enter_async_context(server)

    def connect(
        self, *, timeout_seconds: float = PATIENCE_SECONDS, url: str = "", connections: int = 8
    ) -> Gateway:
        settings = PaymentSettings.model_construct(
            stripe_url=url or self._server.url,
            stripe_secret_key=SecretStr(SECRET_KEY),
            stripe_webhook_secret=SecretStr(WEBHOOK_SECRET),
            provider_timeout_seconds=timeout_seconds,
            provider_connections=connections,
        )
        return StripeGateway(settings)

    def token(self, behaviour: Behaviour) -> str:
        return f"pm_stripe_pm_card_{CARD_NAMES[behaviour]}"

    async def answer_challenge(self, reference: str, *, passed: bool) -> None:
        self._server.answer_challenge(reference, passed=passed)

    async def misbehave(self, fault: str, question: str) -> None:
        method, path = PATHS[question]
        self._server.misbehave(FAULTS[fault], path=path, method=method)

    async def book(self) -> Mapping[str, Sums]:
        return {
            charge.payment_intent: Sums(
                charge.authorized,
                charge.captured,
                charge.refunded,
                charge.authorized - charge.captured - charge.held,
                charge.disputed,
            )
            for charge in self._server.book().values()
        }

    async def webhooks(self, reference: str) -> list[Sent]:
        events = self._server.events_of(object_id=reference)
        return [self._sent(event.id) for event in events]

    def signed(self, sent: Sent, *, age_seconds: float = 0, by_stranger: bool = False) -> Sent:
        event_id = next(event.id for event in self._server.events if event.body == sent.body)
        secret = "whsec_of_somebody_else" if by_stranger else None
        return self._sent(event_id, int(time.time() - age_seconds), secret)

    def _sent(self, event_id: str, timestamp: int | None = None, secret: str | None = None) -> Sent:
        event = next(event for event in self._server.events if event.id == event_id)
        delivery = self._server.signed(event, timestamp=timestamp, secret=secret)
        return Sent(delivery.body, {name.lower(): value for name, value in delivery.headers.items()})

    async def open_dispute(self, reference: str, amount: int) -> str:
        return str(self._server.open_dispute(reference, amount)["id"])

    async def close_dispute(self, dispute: str, *, won: bool) -> None:
        self._server.close_dispute(dispute, won=won)

    async def expire(self, reference: str) -> None:
        self._server.expire_authorization(reference)

    async def saved(self) -> tuple[str, Method]:
        book = self._server.stripe
        customer = book.customers.add(shapes.customer(book.new_id("cus"), book.clock.seconds()))
        method = customers.attached(book, customers.method_made(book, CARDS["mastercard"]), customer["id"])
        shown = Method(brand="mastercard", last_four="4444", expiry_month=8, expiry_year=2034)
        return f"pm_stripe_{customer['id']}_{method['id']}", shown
