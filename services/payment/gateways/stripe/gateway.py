"""Stripe's gateway: a payment is a payment intent, authorized by card and captured by hand.

https://docs.stripe.com/payments/paymentintents/lifecycle, https://docs.stripe.com/payments/multicapture
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import stripe
from commerce.payment.v1.settlement_service_pb2 import SettlementLine

from services.payment.gateways.gateway import Abilities, Unfetched, token_of
from services.payment.gateways.stripe import answers, settlement, webhooks
from services.payment.gateways.stripe.amounts import Inexact, to_stripe
from services.payment.gateways.stripe.answers import Intent, Malformed
from services.payment.gateways.stripe.client import StripeClient
from services.payment.gateways.stripe.failures import asked_in_vain, cause, declined, failure
from services.payment.rules.outcomes import Method, NeverSeen, Notice, NotSent, Outcome, Refused, Unknown
from services.payment.rules.payment import Kind, Operation, Payment
from services.payment.settings import PaymentSettings
from services.runtime import times
from services.runtime.ids import new_id

INTENTS = "/v1/payment_intents"
CHARGE = ["latest_charge"]
PAGE_LINES = 100
# Stripe keeps a key for 24 hours: within them, asking again does nothing twice.
REPLAYED = timedelta(hours=23)
# So long a new intent may be missing from searches.
SEARCHABLE = timedelta(minutes=5)
# A customer's own method may be used again only with the customer it is attached to: cus_…_pm_…
TOKEN = re.compile(r"(?:(cus_[A-Za-z0-9]{1,100})_)?((?:pm|card|src)_[A-Za-z0-9_]{1,150})", re.ASCII)


class StripeGateway:
    """Speaks to Stripe over one pool of connections."""

    code = "stripe"
    abilities = Abilities(
        partial_capture=True,
        multiple_capture=True,
        partial_refund=True,
        customer_action=True,
        saved_methods=True,
        disputes=True,
        settlements=True,
        method_pattern=f"pm_stripe_{TOKEN.pattern}",
    )

    def __init__(self, settings: PaymentSettings) -> None:
        self._client = StripeClient(settings)
        self._webhook_secret = settings.stripe_webhook_secret.get_secret_value()
        self._return_url = settings.return_url

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """POST the operation under its key."""
        try:
            match operation.kind:
                case Kind.AUTHORIZE:
                    return await self._authorize(operation, payment)
                case Kind.CAPTURE:
                    return await self._capture(operation, payment)
                case Kind.REFUND:
                    return await self._refund(operation, payment)
                case _:
                    return await self._give_up(operation, payment)
        except Inexact:
            return Refused("amount_unsupported")
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")
        except stripe.StripeError as error:
            return await self._refused(error, operation, payment)

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """Work out from the intent, or find it, what became of an operation: Stripe cannot be asked by key."""
        try:
            if not payment.provider_reference:
                return await self._find(operation)
            read = await self._intent(payment.provider_reference)
            match operation.kind:
                case Kind.AUTHORIZE:
                    return await self._go_on(read, operation)
                case Kind.CAPTURE:
                    return answers.captured_before(read, operation, payment)
                case Kind.REFUND:
                    return await self._refunded_before(read, operation)
            return answers.given_up(read, operation, payment) or NeverSeen()
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")
        except stripe.StripeError as error:
            return asked_in_vain(error)

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """Check the Stripe-Signature header."""
        webhooks.verify(self._webhook_secret, body, headers.get("stripe-signature"))

    def read(self, body: bytes) -> Notice:
        """Read the event."""
        return webhooks.read(body)

    async def method(self, token: str) -> Method | Refused | Unknown | NotSent:
        """GET the payment method."""
        match = TOKEN.fullmatch(token_of(token, self.code))
        if match is None:
            return Refused("resource_missing")
        try:
            body = await self._client.get(f"/v1/payment_methods/{match[2]}")
            if match[1] and answers.reference(body.get("customer")) != match[1]:
                # Once it was detached nobody can pay with it, though Stripe still shows it.
                return Refused("payment_method_detached")
            return answers.method(body)
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")
        except stripe.StripeError as error:
            return failure(error)

    async def forget(self, token: str) -> Refused | Unknown | NotSent | None:
        """Detach the payment method; one that is attached to nobody is forgotten."""
        match = TOKEN.fullmatch(token_of(token, self.code))
        if match is None:
            return None
        path = f"/v1/payment_methods/{match[2]}"
        try:
            # Done twice it is done once; under a key of its own a 500 would be the answer for a day.
            await self._client.post(f"{path}/detach", str(new_id()))
        except stripe.StripeError as error:
            refused = failure(error)
            return await self._attached(path, refused) if isinstance(refused, Refused) else refused
        return None

    async def settlement(self, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
        """List the balance transactions of a time, page by page, the newest first."""
        created = {"gte": _seconds(begin), "lt": _seconds(end)}
        try:
            async for page in self._pages(
                "/v1/balance_transactions", created=created, expand=["data.source"]
            ):
                for each in page:
                    yield settlement.line(each)
        except Malformed as problem:
            raise Unfetched(f"malformed: {problem}") from None
        except stripe.StripeError as error:
            raise Unfetched(cause(error)) from None

    async def close(self) -> None:
        """Close the pool."""
        await self._client.close()

    async def _authorize(self, operation: Operation, payment: Payment) -> Outcome:
        match = TOKEN.fullmatch(token_of(payment.payment_method, self.code))
        if match is None:
            return Refused("payment_method_unsupported")
        asked = {
            "amount": to_stripe(operation.amount, payment.currency_code),
            "currency": payment.currency_code.lower(),
            "payment_method": match[2],
            "payment_method_types": ["card"],
            "payment_method_options": {"card": {"request_multicapture": "if_available"}},
            "capture_method": "manual",
            "confirm": True,
            "return_url": self._back(payment),
            "metadata": {
                "operation_id": operation.operation_id,
                "order_id": payment.order_id,
                "store_id": payment.store_id,
            },
            "expand": CHARGE,
        }
        if match[1]:
            asked["customer"] = match[1]
        body = await self._client.post(INTENTS, operation.operation_id, **asked)
        return answers.authorization(answers.intent(body))

    async def _capture(self, operation: Operation, payment: Payment) -> Outcome:
        asked: dict[str, Any] = {"amount_to_capture": to_stripe(operation.amount, payment.currency_code)}
        if operation.amount < payment.capturable and not payment.captures_once:
            # Without it, Stripe would give up the rest.
            asked["final_capture"] = False
        return answers.capture(await self._step("capture", operation, payment, **asked))

    async def _give_up(self, operation: Operation, payment: Payment) -> Outcome:
        """Cancel the intent; of one that was captured in part, release the rest."""
        if payment.captured:
            step = self._step("capture", operation, payment, amount_to_capture=0, final_capture=True)
        elif operation.kind == Kind.EXPIRE:
            step = self._step("cancel", operation, payment, cancellation_reason="abandoned")
        else:
            step = self._step("cancel", operation, payment)
        read = await step
        return answers.given_up(read, operation, payment) or Unknown(f"the intent is {read.status}"[:100])

    async def _refund(self, operation: Operation, payment: Payment) -> Outcome:
        body = await self._client.post(
            "/v1/refunds",
            operation.operation_id,
            payment_intent=payment.provider_reference,
            amount=to_stripe(operation.amount, payment.currency_code),
            metadata={"operation_id": operation.operation_id, "order_id": payment.order_id},
            expand=["payment_intent.latest_charge"],
        )
        return answers.refund(body, answers.intent(body.get("payment_intent")))

    async def _refused(
        self, error: stripe.StripeError, operation: Operation, payment: Payment
    ) -> Outcome | NotSent:
        """Return what an error leaves known of an operation, with the charge's standing where that decides."""
        refused = failure(error)
        if operation.kind == Kind.AUTHORIZE and isinstance(error, stripe.IdempotencyError):
            return await self._asked_otherwise(operation, refused)
        if not isinstance(refused, Refused) or operation.kind == Kind.REFUND:
            return refused
        if operation.kind == Kind.AUTHORIZE:
            return declined(error) or refused
        try:
            read = await self._intent(payment.provider_reference)
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")
        except stripe.StripeError as unanswered:
            return asked_in_vain(unanswered)
        if operation.kind != Kind.CAPTURE and read.status == "succeeded":
            # The rest was released when its time was over.
            return answers.given_up(read, operation, payment) or replace(refused, charge="captured")
        return replace(refused, charge=read.standing or "")

    async def _step(self, verb: str, operation: Operation, payment: Payment, **asked: Any) -> Intent:
        if not payment.provider_reference:
            raise Malformed("there is no intent")
        path = f"{INTENTS}/{payment.provider_reference}/{verb}"
        return answers.intent(await self._client.post(path, operation.operation_id, **asked, expand=CHARGE))

    async def _intent(self, reference: str) -> Intent:
        return answers.intent(await self._client.get(f"{INTENTS}/{reference}", expand=CHARGE))

    async def _asked_otherwise(self, operation: Operation, refused: Outcome | NotSent) -> Outcome | NotSent:
        """Return what became of an authorization that a payment of ours asked for whose history was lost since."""
        try:
            found = await self._search(operation)
        except Malformed as problem:
            return Unknown(f"malformed: {problem}")
        except stripe.StripeError as error:
            return asked_in_vain(error)
        return refused if isinstance(found, NeverSeen) else found

    async def _find(self, operation: Operation) -> Outcome | NeverSeen | NotSent:
        """Search the intent of an authorization whose answer was lost."""
        age = times.now() - operation.create_time
        if age < SEARCHABLE:
            return NeverSeen()
        try:
            return await self._search(operation)
        except stripe.StripeError as error:
            # While Stripe keeps the key, asking again is as good.
            return NeverSeen() if age < REPLAYED else asked_in_vain(error)

    async def _search(self, operation: Operation) -> Outcome | NeverSeen | NotSent:
        page = await self._client.get(
            f"{INTENTS}/search",
            query=f"metadata['operation_id']:'{operation.operation_id}'",
            expand=["data.latest_charge"],
        )
        found = answers.items(answers.kind(page, "search_result").get("data"))
        ours = [each for each in found if answers.operation_id(each) == operation.operation_id]
        if len(ours) > 1:
            raise Malformed("several intents of one operation")
        return await self._go_on(answers.intent(ours[0]), operation) if ours else NeverSeen()

    async def _go_on(self, read: Intent, operation: Operation) -> Outcome:
        """Return what became of an authorization; confirm it where its customer's step was the last but one."""
        if read.status == "requires_confirmation":
            path, key = f"{INTENTS}/{read.reference}/confirm", f"{operation.operation_id}:confirm"
            try:
                read = answers.intent(await self._client.post(path, key, expand=CHARGE))
            except stripe.CardError as error:
                return declined(error) or Unknown("a malformed decline")
        return answers.authorization(read)

    async def _refunded_before(self, read: Intent, operation: Operation) -> Outcome | NeverSeen:
        async for page in self._pages("/v1/refunds", payment_intent=read.reference):
            for each in page:
                if answers.operation_id(each) == operation.operation_id:
                    return answers.refund(each, read)
        return NeverSeen()

    async def _pages(self, path: str, **query: Any) -> AsyncIterator[list[dict[str, Any]]]:
        more = True
        while more:
            page = answers.kind(await self._client.get(path, limit=PAGE_LINES, **query), "list")
            found = answers.items(page.get("data"))
            yield found
            more = page.get("has_more") is True and bool(found)
            if more:
                last = answers.reference(found[-1])
                if last == query.get("starting_after"):
                    raise Malformed("the same page again")
                query["starting_after"] = last

    async def _attached(self, path: str, refused: Refused) -> Refused | Unknown | NotSent | None:
        """Return the refusal to detach a method if it is attached to somebody."""
        try:
            return refused if (await self._client.get(path)).get("customer") else None
        except stripe.StripeError as error:
            reason = failure(error)
            return None if isinstance(reason, Refused) else reason

    def _back(self, payment: Payment) -> str:
        joint = "&" if "?" in self._return_url else "?"
        return self._return_url + joint + urlencode({"payment_id": payment.payment_id})


def _seconds(time: datetime) -> int:
    """Return the first whole Unix second that is not before a time."""
    return -int(-time.timestamp() // 1)
