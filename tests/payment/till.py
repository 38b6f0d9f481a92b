"""The till of a shop: orders that ask for money as the order service does, and the provider's book beside ours."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from signal import SIGCONT, SIGSTOP
from typing import Any

import aiohttp
from commerce.common.v1.money_pb2 import LineAmount, Money
from commerce.order.v1.order_events_pb2 import (
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderReference,
    OrderReturned,
    OrderShipped,
)
from commerce.order.v1.order_pb2 import OrderReturn, Shipment
from commerce.payment.v1.payment_pb2 import CaptureMode, PaymentOperationState, PaymentState
from commerce.payment.v1.payment_service_pb2 import (
    AuthorizePaymentRequest,
    CapturePaymentRequest,
    ConfirmPaymentRequest,
    GetPaymentRequest,
    RefundPaymentRequest,
    VoidPaymentRequest,
)
from commerce.payment.v1.settings_service_pb2 import PaymentSettings, SetPaymentSettingsRequest
from google.protobuf.duration_pb2 import Duration
from nats.js import JetStreamContext

from tests.shop import Shop, eventually, new_id

AMOUNT = 1999


@dataclass
class Till:
    """Asks the payment service in the name of the order service, and of the store's administrator."""

    shop: Shop
    events: JetStreamContext | None = None

    def __post_init__(self) -> None:
        self.service = self.shop.as_service

    def asking(self, method: str = "ok", minor_units: int = AMOUNT, **given: Any) -> AuthorizePaymentRequest:
        """What the order service asks for a new order; `order_id` and the like make it another one."""
        values: dict[str, Any] = {
            "order_id": new_id(),
            "store_id": self.shop.store_id,
            "customer_id": new_id(),
            "amount": Money(currency_code="EUR", minor_units=minor_units),
            "payment_method": f"pm_sandbox_{method}",
            "request_id": new_id(),
        }
        return AuthorizePaymentRequest(**(values | given))

    async def ask(self, request: AuthorizePaymentRequest) -> Any:
        return (await self.service.payments.AuthorizePayment(request)).payment

    async def authorize(self, method: str = "ok", minor_units: int = AMOUNT, **given: Any) -> Any:
        """The payment of an order after the provider was asked."""
        return await self.ask(self.asking(method, minor_units, **given))

    async def capture(
        self,
        payment: Any,
        request_id: str = "",
        minor_units: int | None = None,
        currency: str = "EUR",
        **given: Any,
    ) -> Any:
        """Take so much, or all that is left; `given` are `final` and `lines`."""
        request = CapturePaymentRequest(
            payment_id=payment.payment_id,
            request_id=request_id or new_id(),
            amount=_money(minor_units, currency),
            **given,
        )
        return (await self.shop.payments.CapturePayment(request)).payment

    async def confirm(self, payment: Any) -> Any:
        request = ConfirmPaymentRequest(payment_id=payment.payment_id, request_id=new_id())
        return (await self.shop.payments.ConfirmPayment(request)).payment

    async def void(self, payment: Any, request_id: str = "") -> Any:
        request = VoidPaymentRequest(payment_id=payment.payment_id, request_id=request_id or new_id())
        return (await self.shop.payments.VoidPayment(request)).payment

    async def refund(
        self,
        payment: Any,
        request_id: str = "",
        minor_units: int | None = None,
        currency: str = "EUR",
        **given: Any,
    ) -> Any:
        """Give back so much, or all that is left; `given` are `reason` and `lines`."""
        request = RefundPaymentRequest(
            payment_id=payment.payment_id,
            request_id=request_id or new_id(),
            amount=_money(minor_units, currency),
            **given,
        )
        return (await self.shop.payments.RefundPayment(request)).payment

    async def sets(self, mode: str = "", action_wait: float = 0) -> None:
        """The store's settings from here on: the capture mode, how long customers may take to confirm."""
        wait = Duration()
        wait.FromMilliseconds(int(action_wait * 1_000))
        settings = PaymentSettings(
            capture_mode=CaptureMode.Value(f"CAPTURE_MODE_{mode or 'UNSPECIFIED'}"), action_wait=wait
        )
        request = SetPaymentSettingsRequest(
            store_id=self.shop.store_id, settings=settings, request_id=new_id()
        )
        await self.shop.payment_settings.SetPaymentSettings(request)

    async def get(self, payment: Any) -> Any:
        request = GetPaymentRequest(payment_id=payment.payment_id)
        return (await self.shop.payments.GetPayment(request)).payment

    async def until(self, payment: Any, state: str) -> Any:
        """The payment once it has come to a state and nothing is open any more."""

        async def there() -> Any:
            found = await self.settled(payment)
            return found if found and said(found) == state else None

        return await eventually(there)

    async def settled(self, payment: Any) -> Any:
        """The payment, unless something is open or waits."""
        found = await self.get(payment)
        return None if {"PENDING", "UNKNOWN", "WAITING"} & {word for _, word in done(found)} else found

    async def until_asked(self, payment: Any, kind: str) -> None:
        """Return when an operation of this kind is on record."""

        async def asked() -> bool:
            return any(one.kind == kind for one in (await self.get(payment)).operations)

        await eventually(asked)

    async def has(self, payment: Any, *wanted: tuple[int, str]) -> bool:
        """Whether these refunds are on record, and no others."""
        return refunds(await self.get(payment)) == list(wanted)

    # The order service's events.

    async def accepted(self, payment: Any) -> str:
        return await self.publish(OrderAccepted(order=self.reference(payment)))

    async def shipped(self, payment: Any, *amounts: LineAmount, shipment_id: str = "") -> str:
        """A parcel with units worth so much is on its way."""
        shipment = Shipment(shipment_id=shipment_id or new_id())
        event = OrderShipped(order=self.reference(payment), shipment=shipment, amounts=amounts)
        return await self.publish(event)

    async def cancelled(self, payment: Any) -> str:
        """`payment` may also be what is going to be asked for: it names the order as well."""
        return await self.publish(OrderCancelled(order=self.reference(payment), reason="changed my mind"))

    async def expired(self, payment: Any) -> str:
        return await self.publish(OrderExpired(order=self.reference(payment), reason="not paid in time"))

    async def returned(
        self,
        payment: Any,
        minor_units: int,
        return_id: str = "",
        currency: str = "EUR",
        amounts: Sequence[LineAmount] = (),
        reason: str = "",
    ) -> str:
        """Units worth so much came back."""
        refund = Money(currency_code=currency, minor_units=minor_units)
        returned = OrderReturn(return_id=return_id or new_id(), refund=refund, reason=reason)
        event = OrderReturned(order=self.reference(payment), returned=returned, amounts=amounts)
        return await self.publish(event)

    def reference(self, payment: Any) -> OrderReference:
        return OrderReference(
            order_id=payment.order_id,
            store_id=payment.store_id,
            customer_id=payment.customer_id,
            sequence=5,
            total=payment.amount,
        )

    async def publish(self, event: Any) -> str:
        event_id, kind = new_id(), event.DESCRIPTOR.full_name
        headers = {"Nats-Msg-Id": event_id, "ce-id": event_id, "ce-type": kind}
        assert self.events is not None
        await self.events.publish(kind, event.SerializeToString(), headers=headers)
        return event_id

    async def applied(self, event_id: str) -> None:
        """Return when an event has taken effect."""
        await eventually(
            lambda: self.shop.clients.rows(
                "SELECT FROM payment.inbox WHERE event_id = $1", uuid.UUID(event_id)
            )
        )

    async def buried(self, event_id: str) -> str:
        """Why an event is among the dead letters, once it is."""
        sql = "SELECT reason FROM payment.dead_letters WHERE event_id = $1"
        rows = await eventually(lambda: self.shop.clients.rows(sql, uuid.UUID(event_id)))
        return str(rows[0]["reason"])

    # The provider.

    async def provider(self, verb: str, path: str, body: Any = None, key: str = "") -> Any:
        """Ask the sandbox directly, with our API key."""
        cluster = self.shop.clients.cluster
        headers = {"Authorization": f"Bearer {cluster.home.secret('sandbox_api_key')}"}
        if verb == "POST":
            headers["Idempotency-Key"] = key or new_id()
        url = f"http://{cluster.address('sandbox')}{path}"
        async with aiohttp.request(verb, url, json=body, headers=headers) as reply:
            return await reply.json()

    async def book(self, payment: Any) -> list[Any]:
        """The provider's charges for an order."""
        charges = (await self.provider("GET", "/v1/book"))["charges"]
        return [charge for charge in charges if charge["reference"] == payment.order_id]

    async def charge(self, payment: Any) -> Any:
        """The charge that we know of, as the provider has it now."""
        return await self.provider("GET", f"/v1/charges/{payment.provider_reference}")

    async def disputes(self, payment: Any, minor_units: int, reason: str = "fraudulent") -> str:
        """The customer's bank takes so much back: the provider's id of the dispute; "" when it may not."""
        body = {
            "charge_id": payment.provider_reference,
            "amount_minor_units": minor_units,
            "reason": reason,
        }
        return str((await self.provider("POST", "/v1/disputes", body)).get("id", ""))

    async def decides(self, dispute_id: str, outcome: str) -> None:
        """The bank decides: won or lost."""
        decided = await self.provider("POST", f"/v1/disputes/{dispute_id}", {"outcome": outcome})
        assert decided["status"] == outcome, decided

    async def misbehaves(self, path: str, kind: str, times: int = 1) -> None:
        """The provider's next answers on a path go wrong."""
        await self.provider("POST", "/v1/misbehave", {"path": path, "kind": kind, "times": times})

    async def answer_challenge(self, payment: Any, outcome: str) -> int:
        """What the customer does at the next_action_url: the status of the provider's reply."""
        async with aiohttp.request("POST", payment.next_action_url, json={"outcome": outcome}) as reply:
            return reply.status

    @asynccontextmanager
    async def frozen(self):
        """The provider takes requests in this block and deals with them after it."""
        cluster = self.shop.clients.cluster
        cluster.kill("sandbox", SIGSTOP)
        try:
            yield
        finally:
            cluster.kill("sandbox", SIGCONT)

    @asynccontextmanager
    async def unheard(self):
        """The provider's webhooks come after this block only."""
        cluster = self.shop.clients.cluster
        cluster.kill("envoy", SIGSTOP)
        try:
            yield
        finally:
            cluster.kill("envoy", SIGCONT)

    async def kill(self) -> None:
        """SIGKILL to the payment service; returns when it is back."""
        cluster = self.shop.clients.cluster
        cluster.kill("payment")
        await cluster.wait_ready("payment")

    async def agrees(self, payment: Any) -> None:
        """The provider has one charge for the order, of the same sums and state as ours."""
        ours = await self.get(payment)
        (theirs,) = await self.book(payment)
        assert theirs["id"] == ours.provider_reference
        assert theirs["currency_code"] == ours.amount.currency_code
        sums = {name: getattr(ours, name).minor_units for name in OURS}
        assert disagreement(said(ours), sums, theirs) == ""


# The sums of a payment, without which there is no saying whether the provider's are the same.
OURS = ("amount", "captured", "refunded", "voided", "disputed", "charged_back")
# The charge's last step, which may be one of several, in each state of ours.
LAST_STEPS = {
    "PENDING": {"processing"},
    "REQUIRES_ACTION": {"requires_action"},
    "AUTHORIZED": {"authorized"},
    "PARTIALLY_CAPTURED": {"captured"},
    "CAPTURED": {"captured"},
    "PARTIALLY_REFUNDED": {"captured", "refunded"},
    "REFUNDED": {"refunded"},
    "DISPUTED": {"captured", "refunded"},
    "VOIDED": {"voided"},
    "EXPIRED": {"voided", "expired"},
    "FAILED": {"declined"},
}
HOLDING = ("AUTHORIZED", "PARTIALLY_CAPTURED", "PARTIALLY_REFUNDED", "DISPUTED")


def disagreement(state: str, ours: Mapping[str, int], theirs: Mapping[str, Any]) -> str:
    """In what the provider's charge is another one than our payment in this state, of these sums; "" in nothing."""
    if theirs["status"] not in LAST_STEPS.get(state, ()):
        return f"{state} here and {theirs['status']} there"
    held = {name: theirs[f"{name}_minor_units"] for name in ("authorized", "captured", "voided")}
    over = theirs["status"] == "expired" or (
        theirs["expires"] is not None and theirs["expires"] <= time.time()
    )
    pairs = {
        "amount": (ours["amount"], theirs["amount_minor_units"]),
        "captured": (ours["captured"], held["captured"]),
        "refunded": (ours["refunded"], theirs["refunded_minor_units"]),
        "disputed": (ours["disputed"] + ours["charged_back"], theirs["disputed_minor_units"]),
        "held": (
            ours["amount"] - ours["captured"] - ours["voided"] if state in HOLDING else 0,
            0 if over else held["authorized"] - held["captured"] - held["voided"],
        ),
    }
    return "; ".join(
        f"{name} {here} here and {there} there" for name, (here, there) in pairs.items() if here != there
    )


def euros(minor_units: int, currency: str = "EUR") -> Money:
    return Money(currency_code=currency, minor_units=minor_units)


def _money(minor_units: int | None, currency: str) -> Money | None:
    return None if minor_units is None else euros(minor_units, currency)


def line_amount(product_id: str, minor_units: int, currency: str = "EUR") -> LineAmount:
    """What a line of the order has of an amount; shipping has no product."""
    return LineAmount(product_id=product_id, amount=euros(minor_units, currency))


def said(payment: Any) -> str:
    return PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")


def done(payment: Any) -> list[tuple[str, str]]:
    """The operations in words."""
    prefix = "PAYMENT_OPERATION_STATE_"
    return [
        (operation.kind, PaymentOperationState.Name(operation.state).removeprefix(prefix))
        for operation in payment.operations
    ]


def refunds(payment: Any) -> list[tuple[int, str]]:
    """The refunds in words, each with its sum."""
    return [
        (operation.amount.minor_units, word)
        for operation, (kind, word) in zip(payment.operations, done(payment), strict=True)
        if kind == "refund"
    ]


async def at_once(*calls: Any) -> list[Any]:
    """The answers, or the errors, of calls made at once."""
    return list(await asyncio.gather(*calls))


def log_lines(shop: Shop, text: str) -> list[dict[str, Any]]:
    """What the payment service has logged with a text in it."""
    log = shop.clients.cluster.process("payment").spec.log.read_text()
    return [json.loads(line) for line in log.splitlines() if text in line]
