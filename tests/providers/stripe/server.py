"""Stripe on 127.0.0.1: the protocol as Stripe documents it, with a book of its own and hooks for tests.

async with StripeServer(webhook_url=..., webhook_secret="whsec_x", api_key="sk_test_x") as server:
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": server.url}, ...)
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

from aiohttp import web

from . import charging, disputes, payouts, refunds
from .api import Api, Seen
from .bank import bank_page, bank_told
from .book import Book, Event
from .errors import Json
from .faults import Kind
from .webhooks import Delivery, Webhooks


@dataclass(frozen=True)
class Totals:
    """A charge in the provider's own book; amounts in minor units."""

    payment_intent: str
    currency: str
    authorized: int
    # Still on hold: neither captured nor released.
    held: int
    captured: int
    refunded: int
    # Taken back by the customer's bank in disputes that are open or lost.
    disputed: int
    metadata: dict[str, str]


class StripeServer:
    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_test",
        api_key: str = "sk_test_local",
        automatic_webhooks: bool = True,
        search_delay_seconds: float = 0.0,
    ) -> None:
        self.stripe = Book()
        self.api_key = api_key
        self.webhooks = Webhooks(self.stripe.clock, webhook_url, webhook_secret, automatic_webhooks)
        self.stripe.listeners.append(self.webhooks.happened)
        self._api = Api(self.stripe, api_key)
        self._api.search_delay_seconds = search_delay_seconds
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.on_response_prepare.append(_named)
        app.add_routes(self._api.routes())
        app.router.add_get("/redirect/authenticate/{id}", self._page)
        app.router.add_post("/redirect/authenticate/{id}", self._told)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = self.stripe.url = f"http://{host}:{port}"
        await self.webhooks.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._api.closing.set()
        await self.webhooks.close()
        if self._runner:
            await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return bank_page(self.stripe, request)

    async def _told(self, request: web.Request) -> web.StreamResponse:
        return await bank_told(self.stripe, request)

    # What the customer, the bank and time do.

    def answer_challenge(self, payment_intent: str, *, passed: bool) -> Json:
        intent = self.stripe.payment_intents.get(payment_intent)
        assert intent["status"] == "requires_action", intent["status"]
        charging.answered(self.stripe, intent, passed=passed)
        self.stripe.catch_up()
        return intent

    def open_dispute(self, wanted: str, amount: int | None = None, reason: str = "fraudulent") -> Json:
        """On a charge, or on a payment intent's charge; the whole captured amount unless told otherwise."""
        charge = self._charge(wanted)
        return disputes.opened(self.stripe, charge, amount or charge["amount_captured"], reason)

    def close_dispute(self, dispute: str, *, won: bool) -> Json:
        found = self.stripe.disputes.get(dispute)
        disputes.closed(self.stripe, found, won=won)
        return found

    def expire_authorization(self, payment_intent: str, reason: str = "expired") -> Json:
        """The hold lapses; API versions before 2025-03-31 said `automatic` for the reason `expired`."""
        intent = self.stripe.payment_intents.get(payment_intent)
        charging.expire(self.stripe, intent, reason)
        return intent

    def complete_refund(self, refund: str) -> Json:
        """A pending refund (pm_card_pendingRefund) is taken by the bank."""
        found = self.stripe.refunds.get(refund)
        refunds.completed(self.stripe, found)
        return found

    def fail_refund(self, refund: str, reason: str = "lost_or_stolen_card") -> Json:
        """The bank sends the money of a refund back, pending or succeeded."""
        found = self.stripe.refunds.get(refund)
        refunds.failed(self.stripe, found, reason)
        return found

    def refund_from_dashboard(self, wanted: str, amount: int | None = None) -> Json:
        """A refund that the merchant's staff made in Stripe's own pages: we learn of it by webhook."""
        charge = self._charge(wanted)
        left = charge["amount_captured"] - charge["amount_refunded"]
        made = refunds.made(self.stripe, charge, left if amount is None else amount, None, {})
        self.stripe.catch_up()
        return made

    def pay_out(self, currency: str) -> Json:
        """Everything in the balance of that currency goes to the bank in one payout."""
        return payouts.made(self.stripe, currency)

    def advance(self, seconds: float) -> None:
        """Move the provider's clock: `created`, signatures' timestamps, the age of keys, search's delay."""
        self.stripe.clock.ahead_seconds += seconds

    def prune_keys(self) -> int:
        """Forget idempotency keys that are 24 hours old by the provider's clock; how many there were."""
        return self._api.keys.prune()

    def delay_search(self, seconds: float) -> None:
        self._api.search_delay_seconds = seconds

    # How the server misbehaves.

    def misbehave(
        self, kind: Kind, *, path: str = "*", method: str | None = None, times: int = 1, seconds: float = 1.0
    ) -> None:
        """The next `times` requests whose path matches the pattern; faults are used in the order planned."""
        self._api.faults.plan(kind, path, method, times, seconds)

    def behave(self) -> None:
        self._api.faults.clear()

    # What it has seen, and what its book says.

    @property
    def requests(self) -> list[Seen]:
        return self._api.seen

    def count(self, path: str = "*", method: str | None = None) -> int:
        return sum(fnmatchcase(seen.path, path) and method in (None, seen.method) for seen in self._api.seen)

    def count_by_key(self) -> Counter[str]:
        return Counter(seen.idempotency_key for seen in self._api.seen if seen.idempotency_key)

    def book(self) -> dict[str, Totals]:
        """Every charge that was authorized, by its id."""
        return {
            charge["id"]: self._totals(charge)
            for charge in self.stripe.charges.rows.values()
            if charge["paid"]
        }

    def _totals(self, charge: Json) -> Totals:
        intent = self.stripe.payment_intents.rows[charge["payment_intent"]]
        of_charge = self.stripe.disputes.of("charge", charge["id"])
        return Totals(
            payment_intent=intent["id"],
            currency=charge["currency"],
            authorized=charge["amount"],
            held=intent["amount_capturable"],
            captured=charge["amount_captured"],
            refunded=charge["amount_refunded"],
            disputed=sum(dispute["amount"] for dispute in of_charge if disputes.holds_funds(dispute)),
            metadata=dict(intent["metadata"]),
        )

    def _charge(self, wanted: str) -> Json:
        if wanted.startswith("pi_"):
            wanted = self.stripe.payment_intents.get(wanted)["latest_charge"]
        return self.stripe.charges.get(wanted)

    # Webhooks.

    @property
    def events(self) -> list[Event]:
        return self.stripe.events

    def events_of(self, kind: str = "*", object_id: str | None = None) -> list[Event]:
        """By type (a pattern) and, when given, by the id of the object or of its payment intent."""
        return [
            event
            for event in self.stripe.events
            if fnmatchcase(event.type, kind) and (object_id is None or object_id in event.subject)
        ]

    def signed(self, event: Event, *, timestamp: int | None = None, secret: str | None = None) -> Delivery:
        """Body and headers for a test that delivers by itself; by default signed now with the right secret."""
        return self.webhooks.signed(event, timestamp=timestamp, secret=secret)

    def hold_webhooks(self) -> None:
        """From now on events are only recorded; `deliver` sends them."""
        self.webhooks.automatic = False

    async def deliver(
        self,
        events: Iterable[Event] | None = None,
        *,
        copies: int = 1,
        order: random.Random | None = None,
        at_once: bool = False,
        timestamp: int | None = None,
        secret: str | None = None,
    ) -> list[int]:
        """Send events now: those given, or all that no receiver has taken yet. The statuses, in sending order.

        `copies` sends duplicates, `order` shuffles, `timestamp` backdates the signature, `secret` forges it.
        """
        waiting = [
            event for event in self.events if not any(200 <= status < 300 for status in event.attempts)
        ]
        chosen = [event for event in (waiting if events is None else events) for _ in range(copies)]
        if order:
            order.shuffle(chosen)
        sending = [
            self.webhooks.send(event, self.signed(event, timestamp=timestamp, secret=secret))
            for event in chosen
        ]
        if at_once:
            return await asyncio.gather(*sending)
        return [await one for one in sending]

    async def webhooks_idle(self) -> None:
        """Until no automatic delivery is under way."""
        await self.webhooks.idle()


async def _named(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Request-Id", f"req_{secrets.token_hex(7)}")
