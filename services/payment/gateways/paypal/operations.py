"""Operations on PayPal's orders: what is asked for, and with which ids.

PayPal-Request-Id is the operation's id. Where an operation is several requests, those have ids of their own, made of
the operation's so that they are the same each time.
"""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID, uuid5

from services.payment.gateways.gateway import HOSTED, token_of
from services.payment.gateways.http import Answer
from services.payment.gateways.paypal.amounts import said
from services.payment.gateways.paypal.calls import Calls, answered, issue_of, refused
from services.payment.gateways.paypal.declines import ISSUES
from services.payment.gateways.paypal.orders import (
    Malformed,
    Order,
    action_url,
    capture_of,
    invoice_of,
    order_of,
    refund_of,
    spread,
)
from services.payment.gateways.paypal.outcomes import authorized, captured, refunded, refunds, voided, waiting
from services.payment.rules.outcomes import NeverSeen, NotSent, Outcome, Refused, Told, Unknown
from services.payment.rules.payment import Operation, Payment
from services.runtime import times

CODE = "paypal"
ORDERS = "/v2/checkout/orders"
ORDER = "/v2/checkout/orders/{order_id}"
AUTHORIZE = "/v2/checkout/orders/{order_id}/authorize"
CAPTURE = "/v2/payments/authorizations/{authorization_id}/capture"
VOID = "/v2/payments/authorizations/{authorization_id}/void"
REFUND = "/v2/payments/captures/{capture_id}/refund"
DONE = (200, 201, 204)
# PayPal keeps the request ids of orders for 6 hours: after that the same request would make another order.
KEY_TIME = timedelta(hours=5, minutes=30)
VAULTED = re.compile(r"[0-9A-Za-z_-]{1,100}")


class Operations:
    """Asks for operations. What is not what PayPal documents raises Malformed."""

    def __init__(self, calls: Calls, return_url: str) -> None:
        self._calls, self._return_url = calls, return_url

    async def order(self, payment: Payment) -> Order | NeverSeen | Unknown | NotSent:
        """Return the payment's order; NeverSeen when there is none (any more)."""
        if not payment.provider_reference:
            return Unknown("no order")
        answer = await self._calls.ask("GET", ORDER, parts={"order_id": payment.provider_reference})
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 404 and issue_of(answer):
            return NeverSeen()
        if answer.status != 200:
            problem = refused(answer)
            return Unknown(problem.code) if isinstance(problem, Refused) else problem
        order = order_of(answer.body)
        if order.id != payment.provider_reference:
            raise Malformed("another order")
        return order

    async def create(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """Create the order: with a vaulted method it is authorized at once, else the customer has to approve it."""
        amount, source = said(payment.amount, payment.currency_code), self._source(payment)
        if amount is None or source is None:
            return Refused("amount_not_payable" if amount is None else "payment_method_unknown")
        unit = {
            "reference_id": payment.order_id,
            "custom_id": operation.operation_id,
            "invoice_id": payment.order_id,
            "amount": amount,
        }
        body = {"intent": "AUTHORIZE", "payment_source": {"paypal": source}, "purchase_units": [unit]}
        answer = await self._calls.ask("POST", ORDERS, key=operation.operation_id, body=body)
        if not isinstance(answer, Answer):
            return answer
        if answer.status not in DONE:
            declined = Told(
                status="declined",
                reference="",
                amount=payment.amount,
                currency_code=payment.currency_code,
                decline_code=issue_of(answer).lower(),
                words=answer.words,
            )
            return declined if issue_of(answer) in ISSUES else refused(answer, "declined")
        return await self.authorize(operation, payment, order_of(answer.body))

    async def create_again(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """Repeat what was lost: orders cannot be searched for, but the same request id brings the same order.

        When PayPal has forgotten the id, a new order for the customer to approve charges nobody twice, because nobody
        knows the address of the lost one. An order that is paid at once might.
        """
        if times.now() - operation.create_time > KEY_TIME and not is_redirect(payment.payment_method):
            return Unknown("too old to be asked again")
        return await self.create(operation, payment)

    async def authorize(self, operation: Operation, payment: Payment, order: Order) -> Outcome | NotSent:
        """Return what became of an order; authorize one that the customer has approved."""
        url = order.action_url or payment.next_action_url
        if order.status != "APPROVED" or order.authorization is not None:
            return authorized(order) or waiting(order, url)
        key = key_of_part(operation, "authorize")
        answer = await self._calls.ask("POST", AUTHORIZE, parts={"order_id": order.id}, key=key, body={})
        if not isinstance(answer, Answer):
            return answer
        if answer.status in DONE:
            return authorized(order_of(answer.body)) or Unknown("approved and not authorized")
        issue = issue_of(answer)
        if issue in ("PAYER_ACTION_REQUIRED", "ORDER_NOT_APPROVED"):
            return waiting(order, action_url(answer.body) or url)
        if issue in ISSUES:
            return replace(order.told("declined", decline_code=issue.lower()), words=answer.words)
        return refused(answer, order.charge)

    async def capture(self, operation: Operation, payment: Payment, order: Order) -> Outcome | NotSent:
        """Take what the operation says, unless it was taken."""
        found = captured(operation, order)
        if found is not None:
            return found
        amount, authorization = said(operation.amount, order.currency_code), order.authorization
        if amount is None or authorization is None:
            return Refused("amount_not_payable" if amount is None else "not_authorized", order.charge)
        if operation.amount > order.amount - order.captured:
            # PayPal would take up to 15 % more than the customer has promised.
            return Refused("max_capture_amount_exceeded", order.charge)
        answer = await self._calls.ask(
            "POST",
            CAPTURE,
            parts={"authorization_id": authorization.id},
            key=operation.operation_id,
            body={
                "amount": amount,
                "invoice_id": invoice_of(operation.operation_id, order.id),
                "final_capture": operation.amount >= payment.capturable,
            },
        )
        if not isinstance(answer, Answer):
            return answer
        if answer.status not in DONE:
            return refused(answer, order.charge)
        capture = capture_of(answer.body, order.currency_code)
        order = order.with_capture(replace(capture, key=operation.operation_id))
        return answered(captured(operation, order) or Unknown("not captured"), answer)

    async def void(self, operation: Operation, order: Order) -> Outcome | NotSent:
        """Give up what is authorized and not captured, also after a capture.

        Of an order that was never authorized there is nothing to give up, and PayPal has no call for it. It is safe to
        say that it is void: nothing is set aside before we ask for its authorization, which we do only while that
        operation is open, so never after this one. PayPal drops the order some hours later.
        """
        found, authorization = voided(order), order.authorization
        if found is not None or authorization is None:
            return found or Unknown("completed without an authorization")
        parts = {"authorization_id": authorization.id}
        answer = await self._calls.ask("POST", VOID, parts=parts, key=operation.operation_id, body={})
        if not isinstance(answer, Answer):
            return answer
        if answer.status in DONE or issue_of(answer) == "PREVIOUSLY_VOIDED":
            return order.told("voided", authorization.id)
        return refused(answer, order.charge)

    async def refund(self, operation: Operation, order: Order) -> Outcome | NotSent:
        """Give back what the operation says and has not given back yet, one capture after the other."""
        found = refunded(operation, order)
        if found is not None:
            return found
        left = operation.amount - sum(one.amount for one in refunds(operation, order))
        parts = spread(left, order.rests())
        if not parts:
            return _stopped(operation, order, Refused("refund_amount_exceeded", order.charge))
        for capture_id, part in parts:
            amount = said(part, order.currency_code)
            if amount is None:
                return _stopped(operation, order, Refused("amount_not_payable", order.charge))
            answer = await self._calls.ask(
                "POST",
                REFUND,
                parts={"capture_id": capture_id},
                key=key_of_part(operation, capture_id),
                body={
                    "amount": amount,
                    "invoice_id": invoice_of(operation.operation_id, order.id, capture_id),
                    "custom_id": operation.operation_id,
                },
            )
            if not isinstance(answer, Answer):
                return _stopped(operation, order, answer)
            if answer.status not in DONE:
                return _stopped(operation, order, refused(answer, order.charge))
            refund = refund_of(answer.body, order.currency_code, capture_id)
            order = order.with_refund(replace(refund, key=operation.operation_id))
        return refunded(operation, order) or Unknown("refunded in part")

    def _source(self, payment: Payment) -> dict[str, Any] | None:
        """Return how the customer pays; None for a method that cannot be PayPal's."""
        parts = urlsplit(self._return_url)
        query = "&".join(filter(None, [parts.query, urlencode({"payment_id": payment.payment_id})]))
        url = urlunsplit(parts._replace(query=query))
        context = {"return_url": url, "cancel_url": url, "user_action": "PAY_NOW"}
        if is_redirect(payment.payment_method):
            return {"experience_context": context}
        token = vaulted(payment.payment_method)
        return {"vault_id": token, "experience_context": context} if token else None


def is_redirect(payment_method: str) -> bool:
    """Tell whether the customer says at PayPal how they pay."""
    return payment_method == HOSTED or token_of(payment_method, CODE) == "redirect"


def vaulted(payment_method: str) -> str:
    """Return the vault's token of a payment method; "" where it can have none."""
    token = token_of(payment_method, CODE)
    return token if VAULTED.fullmatch(token) and not is_redirect(payment_method) else ""


def key_of_part(operation: Operation, part: str) -> str:
    """Return the request id of one of the requests that an operation is."""
    return str(uuid5(UUID(operation.operation_id), part))


def _stopped(operation: Operation, order: Order, problem: Outcome | NotSent) -> Outcome | NotSent:
    """Return what a refund came to that could not go on: after a part of it, it is looked up and goes on later."""
    return Unknown("refunded in part") if refunds(operation, order) else problem
