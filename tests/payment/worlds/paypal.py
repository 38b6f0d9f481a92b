"""PayPal's server of the tests: vaulted methods pay at once, other customers approve at PayPal's own page."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from services.payment.gateways.gateway import Gateway
from services.payment.gateways.paypal.gateway import PayPalGateway
from services.payment.rules.outcomes import Method
from services.payment.settings import PaymentSettings
from tests.payment.gateway_kit import PATIENCE_SECONDS, Behaviour, Sent, Sums, World
from tests.providers.paypal.faults import Fault
from tests.providers.paypal.server import PaypalServer
from tests.providers.paypal.webhooks import Event

CLIENT_ID, CLIENT_SECRET = "client-id-of-the-kit", "client-secret-of-the-kit"
WEBHOOK_ID = "WEBHOOK-ID-OF-THE-KIT"
DECLINES = {"declined": "INSTRUMENT_DECLINED", "insufficient_funds": "INSUFFICIENT_FUNDS"}
PATHS = {
    "authorize": ("POST", r"^/v2/checkout/orders$"),
    "capture": ("POST", r"/capture$"),
    "void": ("POST", r"/void$"),
    "refund": ("POST", r"/refund$"),
    "look_up": ("GET", r"^/v2/checkout/orders/"),
    "method": (None, r"^/v3/vault/"),
}
FAULTS = {
    "silent_before": Fault.SILENT_BEFORE,
    "silent_after": Fault.SILENT_AFTER,
    "hang_up": Fault.HANG_UP_AFTER,
    "malformed": Fault.MALFORMED,
    "huge": Fault.HUGE,
    "error_500": Fault.SERVER_ERROR,
    "error_429": Fault.RATE_LIMITED,
}


class PayPalWorld(World):
    """A charge is an order. A customer who does not approve may still change their mind."""

    currencies = ("EUR", "JPY")
    declines: Mapping[str, str] = {
        "declined": "instrument_declined",
        "insufficient_funds": "insufficient_funds",
    }
    failed_challenge = "requires_action"
    finds_authorizations = False
    unknown_token = "pm_paypal_nobodys"
    secrets = (CLIENT_SECRET, WEBHOOK_ID)

    async def open(self) -> None:
        server = PaypalServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, webhook_id=WEBHOOK_ID)
        self._server = await self.stack.enter_async_context(server)

    def connect(
        self, *, timeout_seconds: float = PATIENCE_SECONDS, url: str = "", connections: int = 8
    ) -> Gateway:
        settings = PaymentSettings.model_construct(
            paypal_url=url or self._server.url,
            paypal_client_id=SecretStr(CLIENT_ID),
            paypal_client_secret=SecretStr(CLIENT_SECRET),
            paypal_webhook_id=SecretStr(WEBHOOK_ID),
            provider_timeout_seconds=timeout_seconds,
            provider_connections=connections,
        )
        return PayPalGateway(settings)

    def token(self, behaviour: Behaviour) -> str:
        if behaviour == "challenge":
            return "pm_paypal_redirect"
        token = self._server.add_payment_token("customer")
        if behaviour in DECLINES:
            self._server.decline(DECLINES[behaviour])
        return f"pm_paypal_{token}"

    async def answer_challenge(self, reference: str, *, passed: bool) -> None:
        if passed:
            self._server.approve(reference)
        else:
            self._server.cancel_approval(reference)

    async def misbehave(self, fault: str, question: str) -> None:
        method, path = PATHS[question]
        self._server.misbehave(FAULTS[fault], path, method=method)

    async def book(self) -> Mapping[str, Sums]:
        return {
            order: Sums(sums.authorized, sums.captured, sums.refunded, sums.voided, sums.disputed)
            for order, sums in self._server.book().items()
            if sums.authorized
        }

    async def webhooks(self, reference: str) -> list[Sent]:
        ids = [reference.encode(), *(one.encode() for one in self._parts(reference))]
        return [sent_of(event) for event in self._server.events if any(one in event.body for one in ids)]

    def signed(self, sent: Sent, *, age_seconds: float = 0, by_stranger: bool = False) -> Sent:
        event = next(event for event in self._server.events if event.body == sent.body)
        if by_stranger:
            return sent_of(self._server.forged(event))
        return sent_of(self._server.resigned(event, at=datetime.now(UTC) - timedelta(seconds=age_seconds)))

    async def open_dispute(self, reference: str, amount: int) -> str:
        state = self._server.state
        capture = next(one for one in state.captures.values() if one.order.id == reference)
        return self._server.open_dispute(capture.id, amount)

    async def close_dispute(self, dispute: str, *, won: bool) -> None:
        self._server.resolve_dispute(dispute, for_seller=won)

    async def expire(self, reference: str) -> None:
        state = self._server.state
        found = [one.id for one in state.authorizations.values() if one.order.id == reference]
        self._server.expire_authorization(found[-1])

    async def saved(self) -> tuple[str, Method]:
        card = {"brand": "VISA", "last_digits": "1111", "expiry": "2031-05"}
        token = self._server.add_payment_token("customer", {"card": card})
        shown = Method(brand="visa", last_four="1111", expiry_month=5, expiry_year=2031)
        return f"pm_paypal_{token}", shown

    def _parts(self, reference: str) -> list[str]:
        """What belongs to an order, by id."""
        state = self._server.state
        captures = [one for one in state.captures.values() if one.order.id == reference]
        return [
            *(one.id for one in state.authorizations.values() if one.order.id == reference),
            *(one.id for one in captures),
            *(refund.id for one in captures for refund in one.refunds),
        ]


def sent_of(event: Event) -> Sent:
    return Sent(event.body, {name.lower(): value for name, value in event.headers.items()})
