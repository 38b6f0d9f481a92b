"""PayPal's gateway: Orders v2, Payments v2, vault v3 and the report of transactions.

An order is what we call a charge, and its id is all that is kept between calls: what was authorized, captured and
refunded of it is read from the order each time.
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta

from commerce.payment.v1.settlement_service_pb2 import SettlementLine

from services.payment.gateways.gateway import Abilities
from services.payment.gateways.http import Answer, Http
from services.payment.gateways.paypal import events, settlement
from services.payment.gateways.paypal.amounts import CURRENCY_CODES
from services.payment.gateways.paypal.calls import Calls, issue_of, refused
from services.payment.gateways.paypal.operations import CODE, DONE, VAULTED, Operations, vaulted
from services.payment.gateways.paypal.orders import Malformed, Order, mapping
from services.payment.gateways.paypal.outcomes import captured, gone, refunds, voided
from services.payment.gateways.paypal.signature import Signatures
from services.payment.rules.outcomes import Method, NeverSeen, Notice, NotSent, Outcome, Refused, Unknown
from services.payment.rules.payment import Kind, Operation, Payment
from services.payment.settings import PaymentSettings
from services.runtime import times

TOKEN = "/v3/vault/payment-tokens/{token}"
EXPIRY = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
LAST_FOUR = re.compile(r"[0-9]{2,4}")


class PayPalGateway:
    """Speaks to PayPal over one pool of connections."""

    code = CODE
    abilities = Abilities(
        partial_capture=True,
        multiple_capture=True,
        partial_refund=True,
        customer_action=True,
        hosted=True,
        saved_methods=True,
        disputes=True,
        settlements=True,
        currency_codes=CURRENCY_CODES,
        method_pattern=f"pm_paypal_{VAULTED.pattern}",
    )

    def __init__(self, settings: PaymentSettings) -> None:
        self._http = Http(
            CODE, settings.paypal_url, settings.provider_timeout_seconds, settings.provider_connections
        )
        self._calls = Calls(settings, self._http)
        self._operations = Operations(self._calls, settings.return_url)
        # For so long after it was given up, an authorization may still be on its way: two questions, and a little.
        self._on_its_way = timedelta(seconds=2 * settings.provider_timeout_seconds + 2)
        webhook_id = settings.paypal_webhook_id.get_secret_value()
        self._signatures = Signatures(self._http, settings.paypal_url, webhook_id)

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """Do it, unless the order shows that it was done."""
        try:
            if operation.kind == Kind.AUTHORIZE and not payment.provider_reference:
                return await self._operations.create(operation, payment)
            order = await self._operations.order(payment)
            if not isinstance(order, Order):
                return gone(operation, payment) if isinstance(order, NeverSeen) else order
            return await self._go_on(operation, payment, order)
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """Find an operation in its order; go on with an authorization, and with a refund that has begun."""
        try:
            if operation.kind == Kind.AUTHORIZE and not payment.provider_reference:
                return await self._operations.create_again(operation, payment)
            order = await self._operations.order(payment)
            if not isinstance(order, Order):
                return gone(operation, payment) if isinstance(order, NeverSeen) else order
            match operation.kind:
                case Kind.CAPTURE:
                    return captured(operation, order) or NeverSeen()
                case Kind.VOID | Kind.EXPIRE if self._may_be_authorized_yet(payment, order):
                    return Unknown("it may be authorized yet")
                case Kind.VOID | Kind.EXPIRE:
                    return voided(order) or NeverSeen()
                case Kind.REFUND if not refunds(operation, order):
                    return NeverSeen()
            return await self._go_on(operation, payment, order)
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")

    async def _go_on(self, operation: Operation, payment: Payment, order: Order) -> Outcome | NotSent:
        match operation.kind:
            case Kind.AUTHORIZE:
                return await self._operations.authorize(operation, payment, order)
            case Kind.CAPTURE:
                return await self._operations.capture(operation, payment, order)
            case Kind.REFUND:
                return await self._operations.refund(operation, order)
        if self._may_be_authorized_yet(payment, order):
            return Unknown("it may be authorized yet")
        return await self._operations.void(operation, order)

    def _may_be_authorized_yet(self, payment: Payment, order: Order) -> bool:
        """Whether somebody who found an order approved may be asking for its authorization, given up meanwhile."""
        ended = next((one.settle_time for one in payment.operations if one.kind == Kind.AUTHORIZE), None)
        if order.status != "APPROVED" or order.authorization is not None or ended is None:
            return False
        return times.now() - ended < self._on_its_way

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """Check the signature with the certificate that the webhook names."""
        await self._signatures.verify(body, headers)

    def read(self, body: bytes) -> Notice:
        """Read a webhook that was verified."""
        return events.read(body)

    async def method(self, token: str) -> Method | Refused | Unknown | NotSent:
        """Ask the vault what a token is."""
        if not vaulted(token):
            return Refused("payment_method_unknown")
        answer = await self._calls.ask("GET", TOKEN, parts={"token": vaulted(token)})
        if not isinstance(answer, Answer):
            return answer
        if answer.status != 200:
            return refused(answer)
        try:
            return _method(answer)
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")

    async def forget(self, token: str) -> Refused | Unknown | NotSent | None:
        """Delete a token from the vault."""
        if not vaulted(token):
            return None
        answer = await self._calls.ask("DELETE", TOKEN, parts={"token": vaulted(token)})
        if not isinstance(answer, Answer):
            return answer
        unknown = answer.status == 404 and issue_of(answer)
        return None if answer.status in DONE or unknown else refused(answer)

    def settlement(self, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
        """Fetch the balance-affecting transactions of a time."""
        return settlement.lines(self._calls, begin, end)

    async def close(self) -> None:
        """Close the pool."""
        await self._calls.close()
        await self._http.close()


def _method(answer: Answer) -> Method:
    """Read what the vault keeps. Of a PayPal account that is only that it is one: its owner's address stays there."""
    source = mapping(answer.body.get("payment_source"))
    kind = next(iter(source), "")
    card = source.get("card")
    if not isinstance(card, dict):
        return Method(brand=str(kind)[:40] or "paypal")
    expiry = EXPIRY.fullmatch(str(card.get("expiry")))
    last_four = LAST_FOUR.fullmatch(str(card.get("last_digits")))
    return Method(
        brand=str(card.get("brand") or "card")[:40].lower(),
        last_four=last_four[0] if last_four else "",
        expiry_month=int(expiry[2]) if expiry else 0,
        expiry_year=int(expiry[1]) if expiry else 0,
    )
