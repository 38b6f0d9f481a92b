"""The server: PayPal's addresses on a port of their own, and the hooks by which a test plays payer, bank and fate.

    async with PaypalServer(webhook_url=..., webhook_id="WH1", client_id="id", client_secret="secret") as server:
        server.url

Written from PayPal's REST reference (Orders v2, Payments v2, Disputes v1, Transaction Search v1, Payment Method
Tokens v3, Webhooks v1), not from the adapter that is tested against it.
"""

import asyncio
import json
import re
from datetime import datetime, timedelta
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.providers.paypal import calls
from tests.providers.paypal.book import Book, Json, Totals, Transaction, new_id
from tests.providers.paypal.calls import Answer, Call
from tests.providers.paypal.declines import Declines
from tests.providers.paypal.disputes import Disputes
from tests.providers.paypal.endpoints import Endpoints, Operation, Seen
from tests.providers.paypal.errors import Problem, invalid
from tests.providers.paypal.faults import Fault, Rule
from tests.providers.paypal.oauth import Tokens
from tests.providers.paypal.orders import Orders
from tests.providers.paypal.payments import Payments
from tests.providers.paypal.reports import Reports
from tests.providers.paypal.vault import Vault
from tests.providers.paypal.webhooks import Event, Signer, Webhooks

# Where misbehaviour applies unless told otherwise: not to tokens, certificates and verification.
API = r"^/v[123]/(?!oauth2|notifications)"
SIGNED = ("auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time", "webhook_id")


class PaypalServer:
    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        webhook_id: str = "8PT597110X687430LKGECATA",
        client_id: str = "paypal-client",
        client_secret: str = "paypal-secret",
        port: int = 0,
    ) -> None:
        self.webhook_id, self.client_id, self.client_secret = webhook_id, client_id, client_secret
        self.port = port
        self.state = Book()
        self.declines = Declines()
        self.tokens = Tokens(self.state, client_id, client_secret)
        self.vault = Vault(self.state)
        self.payments = Payments(self.state, self.declines)
        self.orders = Orders(self.state, self.payments, self.vault)
        self.disputes = Disputes(self.state, self.payments)
        self.reports = Reports(self.state)
        self.webhooks = Webhooks(self.state, webhook_url, webhook_id)
        self.state.announce = self.webhooks.announce
        self.endpoints = Endpoints(self.state, self.tokens)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4 * 2**20)
        self.route(app)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.state.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        self.webhooks.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(self, *failure: object) -> None:
        self.endpoints.faults.ended.set()
        tasks = list(self.webhooks.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.webhooks.session is not None:
            await self.webhooks.session.close()
        await self.runner.cleanup()

    def route(self, app: web.Application) -> None:
        orders, payments, vault = "/v2/checkout/orders", "/v2/payments", "/v3/vault/payment-tokens"
        authorization, capture = f"{payments}/authorizations/{{id}}", f"{payments}/captures/{{id}}"
        table: list[tuple[str, str, Operation, timedelta | None]] = [
            ("POST", orders, self.orders.create, calls.ORDERS_KEEP),
            ("GET", f"{orders}/{{id}}", self.orders.get, None),
            ("PATCH", f"{orders}/{{id}}", self.orders.patch, None),
            ("POST", f"{orders}/{{id}}/authorize", self.orders.authorize, calls.ORDERS_KEEP),
            ("POST", f"{orders}/{{id}}/capture", self.orders.capture, calls.ORDERS_KEEP),
            ("GET", authorization, self.payments.get_authorization, None),
            ("POST", f"{authorization}/capture", self.payments.capture, calls.PAYMENTS_KEEP),
            ("POST", f"{authorization}/void", self.payments.void, calls.PAYMENTS_KEEP),
            ("POST", f"{authorization}/reauthorize", self.payments.reauthorize, calls.PAYMENTS_KEEP),
            ("GET", capture, self.payments.get_capture, None),
            ("POST", f"{capture}/refund", self.payments.refund, calls.PAYMENTS_KEEP),
            ("GET", f"{payments}/refunds/{{id}}", self.payments.get_refund, None),
            ("GET", "/v1/customer/disputes", self.disputes.list, None),
            ("GET", "/v1/customer/disputes/{id}", self.disputes.get, None),
            ("GET", "/v1/reporting/transactions", self.reports.transactions, None),
            ("GET", vault, self.vault.list, None),
            ("GET", f"{vault}/{{id}}", self.vault.get, None),
            ("DELETE", f"{vault}/{{id}}", self.vault.delete, None),
            ("POST", "/v1/notifications/verify-webhook-signature", self.verify, None),
            ("*", "/{rest:.*}", nowhere, None),
        ]
        app.router.add_post("/v1/oauth2/token", self.endpoints.open(self.tokens.grant))
        app.router.add_get("/v1/notifications/certs/{id}", self.endpoints.open(self.certificate))
        app.router.add_get("/checkoutnow", self.checkout)
        for method, path, operation, keep in table:
            app.router.add_route(method, path, self.endpoints.api(operation, keep))

    def verify(self, call: Call) -> Answer:
        for name in (*SIGNED, "webhook_event"):
            if not call.body.get(name):
                raise invalid("MISSING_REQUIRED_PARAMETER", f"/{name}")
        status = "SUCCESS" if self.webhooks.verified(call.body) else "FAILURE"
        return Answer(200, lambda whole: {"verification_status": status})

    async def certificate(self, request: web.Request) -> web.Response:
        signer = self.webhooks.signers.get(request.match_info["id"])
        return (
            web.Response(status=404)
            if signer is None
            else web.Response(body=signer.pem, content_type="text/plain")
        )

    async def checkout(self, request: web.Request) -> web.Response:
        """The page a payer-action link leads to; `answer=cancel` is the payer who turns back."""
        order_id = request.query.get("token", "")
        try:
            no = request.query.get("answer") == "cancel"
            address = self.orders.cancel(order_id) if no else self.orders.approve(order_id)
        except Problem as problem:
            return web.Response(status=problem.status, text=str(problem))
        return (
            web.Response(status=302, headers={"Location": address})
            if address
            else web.Response(text="Thank you.")
        )

    # What happened.

    @property
    def url(self) -> str:
        return self.state.url

    @property
    def events(self) -> list[Event]:
        """Every webhook so far, in order, whether it was delivered or not."""
        return self.webhooks.events

    @property
    def requests(self) -> list[Seen]:
        return self.endpoints.requests

    @property
    def transactions(self) -> list[Transaction]:
        """The report's lines; alter, add or remove one to plant a difference."""
        return self.state.transactions

    def seen(self, path: str = "", *, method: str | None = None, request_id: str | None = None) -> int:
        """How many requests arrived whose path matches the regular expression."""
        return sum(
            re.search(path, one.path) is not None
            and method in (None, one.method)
            and request_id in (None, one.request_id)
            for one in self.requests
        )

    def book(self) -> dict[str, Totals]:
        """By order id, its sums in minor units."""
        return {order.id: self.state.totals(order) for order in self.state.orders.values()}

    def order_ids(self, reference: str) -> list[str]:
        """The orders that carry this reference_id, custom_id or invoice_id."""
        return [
            order.id
            for order in self.state.orders.values()
            if any(reference in (unit.reference_id, unit.custom_id, unit.invoice_id) for unit in order.units)
        ]

    # The payer and the payer's bank.

    def approve(self, order_id: str) -> str:
        return self.orders.approve(order_id)

    def cancel_approval(self, order_id: str) -> str:
        return self.orders.cancel(order_id)

    def decline(self, kind: str, at: str = "authorize", *, target: str | None = None, times: int = 1) -> None:
        """`kind`: of errors.DECLINES (422), of declines.PROCESSOR (201, denied), or PENDING.

        `at`: authorize, capture or refund. `target`: an order, authorization, capture or custom id; None is any.
        """
        self.declines.add(kind, at, target, times)

    def add_payment_token(self, customer_id: str, source: Json | None = None) -> str:
        """A saved method that was there before, e.g. {"card": {"brand": "VISA", "last_digits": "1111", ...}}."""
        wallet = {"email_address": "payer@example.com", "account_id": "PAYERID123456"}
        return self.vault.add(source or {"paypal": wallet}, customer_id).id

    def open_dispute(
        self,
        capture_id: str,
        amount_minor_units: int | None = None,
        *,
        reason: str = "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
        stage: str = "CHARGEBACK",
    ) -> str:
        """`stage`: CHARGEBACK (T1201, back as T1202) or INQUIRY (held as T1110, back as T1111, reversed as T1106)."""
        return self.disputes.open(capture_id, amount_minor_units, reason, stage).id

    def resolve_dispute(self, dispute_id: str, *, for_seller: bool) -> None:
        self.disputes.resolve(dispute_id, "RESOLVED_SELLER_FAVOUR" if for_seller else "RESOLVED_BUYER_FAVOUR")

    # Time and review.

    def advance(self, time: timedelta) -> None:
        """Tokens, request ids and authorizations age with the clock."""
        self.state.offset += time
        self.payments.expire_due()

    def expire_tokens(self) -> None:
        self.tokens.valid.clear()

    def expire_order(self, order_id: str) -> None:
        self.orders.expire(order_id)

    def expire_authorization(self, authorization_id: str) -> None:
        self.payments.release(self.state.authorization(authorization_id), expired=True)

    def forget_request_ids(self) -> None:
        self.endpoints.keys.kept.clear()

    def settle_authorization(self, authorization_id: str, *, granted: bool) -> None:
        """The end of a PENDING authorization's review."""
        found = self.state.authorization(authorization_id)
        assert found.status == "PENDING", found.status
        found.status, found.reason, found.updated = "CREATED" if granted else "DENIED", "", self.state.now()

    def settle_capture(self, capture_id: str, *, completed: bool) -> None:
        """The end of a PENDING capture's review: PAYMENT.CAPTURE.COMPLETED or DENIED."""
        found = self.state.capture(capture_id)
        assert found.status == "PENDING", found.status
        if completed:
            self.payments.credit(found)
        else:
            found.status, found.reason, found.updated = "DECLINED", "OTHER", self.state.now()
            self.payments.tell_capture("DENIED", found)

    def settle_refund(self, refund_id: str, *, completed: bool) -> None:
        found = self.state.refund(refund_id)
        assert found.status == "PENDING", found.status
        if completed:
            self.payments.pay_back(found)
        else:
            self.payments.fail_refund(found)

    # Fate.

    def misbehave(
        self,
        fault: Fault,
        path: str = API,
        *,
        times: int = 1,
        method: str | None = None,
        seconds: float = 1.0,
        megabytes: int = 32,
    ) -> Rule:
        """For the next `times` requests whose path matches. `await rule.reached.wait()` waits for the first."""
        rule = Rule(fault, re.compile(path), method, times, seconds, megabytes)
        self.endpoints.faults.rules.append(rule)
        return rule

    def behave(self) -> None:
        self.endpoints.faults.rules.clear()
        self.declines.declines.clear()

    # Webhooks.

    def hold_webhooks(self, held: bool = True) -> None:
        """From now on events are only recorded; deliver them by hand, in any order, as often as wanted."""
        self.webhooks.held = held

    async def deliver(self, event: Event, times: int = 1) -> list[int | None]:
        return [await self.webhooks.deliver(event) for _ in range(times)]

    def event(self, event_type: str, resource: Json, **named: Any) -> Event:
        """A well-signed event of one's own. Named: resource_type, summary, event_id, created."""
        return self.webhooks.event(event_type, resource, **named)

    def altered(self, event: Event, *, event_id: str | None = None, **resource: Any) -> Event:
        """A copy with other content (amount=..., custom_id=...), well signed, under an id of its own."""
        body = json.loads(event.body)
        body["id"] = event_id or f"WH-{new_id()}-{new_id()}"
        body["resource"] |= resource
        return self.webhooks.signed(body["id"], event.event_type, json.dumps(body).encode(), self.state.now())

    def resigned(self, event: Event, *, at: datetime | None = None, webhook_id: str | None = None) -> Event:
        """The same body in a transmission of another time, or meant for another webhook."""
        moment = at or self.state.now()
        return self.webhooks.signed(event.id, event.event_type, event.body, moment, webhook_id=webhook_id)

    def forged(self, event: Event) -> Event:
        """The same body, signed by a key that is not PayPal's, under PayPal's certificate address."""
        stranger = Signer(self.state.now())
        stranger.cert_id = self.webhooks.signer.cert_id
        return self.webhooks.signed(event.id, event.event_type, event.body, self.state.now(), stranger)

    def rotate_certificate(self) -> None:
        self.webhooks.signer = Signer(self.state.now())
        self.webhooks.signers[self.webhooks.signer.cert_id] = self.webhooks.signer


def nowhere(call: Call) -> Answer:
    raise Problem(404)
