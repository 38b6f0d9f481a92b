"""Acme's gateway: all or nothing, no parts, no 3-D Secure."""

import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.settlement_service_pb2 import SettlementLine
from pydantic import Field, SecretStr

from services.payment.gateways.gateway import Abilities, Unfetched, token_of
from services.payment.gateways.http import Answer, Http, is_whole, read_json
from services.payment.rules.outcomes import (
    Method,
    NeverSeen,
    Notice,
    NotSent,
    Outcome,
    Refused,
    Told,
    Unknown,
)
from services.payment.rules.payment import Kind, Operation, Payment
from services.payment.settings import PaymentSettings
from services.runtime.refusals import Refusal

TOLERANCE_SECONDS = 300
STEPS = {Kind.CAPTURE: "take", Kind.REFUND: "return", Kind.VOID: "cancel", Kind.EXPIRE: "cancel"}
# Acme's words, and ours.
STATES: Mapping[str, Any] = {
    "promised": "authorized",
    "declined": "declined",
    "taken": "captured",
    "cancelled": "voided",
    "returned": "refunded",
    "lapsed": "expired",
}


class AcmeSettings(PaymentSettings):
    """In the service these stand in PaymentSettings."""

    acme_url: str = Field(default="https://api.acme.example", description="base URL of Acme")
    acme_key: SecretStr = Field(default=SecretStr(""), description="what we show to Acme")
    acme_webhook_key: SecretStr = Field(
        default=SecretStr(""), description="what Acme signs its webhooks with"
    )


class AcmeGateway:
    """Speaks to Acme."""

    code = "acme"
    abilities = Abilities(currency_codes=("EUR",))

    def __init__(self, settings: AcmeSettings) -> None:
        self._headers = {"X-Acme-Key": settings.acme_key.get_secret_value()}
        self._webhook_key = settings.acme_webhook_key.get_secret_value().encode()
        seconds, connections = settings.provider_timeout_seconds, settings.provider_connections
        self._http = Http(self.code, settings.acme_url, seconds, connections)

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """POST it under its key; Acme does what it is asked under one key once."""
        asked = {"key": operation.operation_id, "amount": operation.amount}
        if operation.kind == Kind.AUTHORIZE:
            card = token_of(payment.payment_method, self.code)
            asked |= {"currency": payment.currency_code, "card": card}
            return _outcome(await self._ask("POST", "/payments", asked))
        parts = {"id": payment.provider_reference, "step": STEPS[operation.kind]}
        return _outcome(await self._ask("POST", "/payments/{id}/{step}", asked, **parts))

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """GET what became of a key."""
        answer = await self._ask("GET", "/keys/{key}", key=operation.operation_id)
        if isinstance(answer, Answer) and answer.body.get("error") == "unknown_key":
            return NeverSeen()
        return _outcome(answer)

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """Check the signature, which covers the time."""
        signature, sent = headers.get("acme-signature"), headers.get("acme-time")
        if not signature or not sent:
            raise _unsigned("missing")
        if not isinstance(signature, str) or not isinstance(sent, str) or not sent.isdecimal():
            raise _unsigned("malformed")
        expected = hmac.new(self._webhook_key, sent.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
            raise _unsigned("wrong")
        if abs(time.time() - int(sent)) > TOLERANCE_SECONDS:
            raise _unsigned("too old")

    def read(self, body: bytes) -> Notice:
        """Read the event: it names the charge, and we ask what has happened."""
        try:
            event = read_json(body)
            event_id, name, charge = event["id"], event["event"], event["payment"]["id"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _malformed(type(error).__name__) from None
        if not all(map(_is_id, (event_id, name, charge))):
            raise _malformed("a field")
        return Notice(event_id=event_id, type=name, charge_reference=charge, ask=True)

    async def method(self, token: str) -> Method | Refused | Unknown | NotSent:
        """Refuse: Acme keeps no methods."""
        return Refused("saved_methods")

    async def forget(self, token: str) -> Refused | Unknown | NotSent | None:
        """Forget nothing."""

    async def settlement(self, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
        """Fetch nothing."""
        raise Unfetched("settlements")
        yield  # An asynchronous iterator all the same.

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _ask(self, verb: str, route: str, body: Any = None, **parts: str) -> Answer | Unknown | NotSent:
        return await self._http.ask(verb, route, parts=parts, headers=self._headers, body=body)


def _outcome(answer: Answer | Unknown | NotSent) -> Outcome | NotSent:
    """What is neither a charge nor a refusal leaves open what happened."""
    if not isinstance(answer, Answer):
        return answer
    match answer.status, answer.body:
        case 200, {
            "id": str(reference),
            "state": str(state),
            "amount": int(amount),
            "taken": int(taken),
            "returned": int(returned),
            "currency": str(currency),
            "reason": str(reason),
            "step": str(step),
        } if state in STATES:
            return Told(
                status=STATES[state],
                reference=reference,
                amount=amount,
                currency_code=currency,
                captured=taken,
                refunded=returned,
                decline_code=reason,
                operation_reference=step,
            )
        case 409, {"error": str(code), "state": str(state)}:
            return Refused(code[:100], STATES.get(state, ""))
        case 400, {"error": str(code)}:
            return Refused(code[:100])
    return Unknown(f"answered {answer.status}")


def _unsigned(cause: str) -> Refusal:
    reason = ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID
    return Refusal(reason, f"The signature is {cause}", cause=cause)


def _is_id(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 100 and is_whole(text)


def _malformed(cause: str) -> Refusal:
    reason = ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED
    return Refusal(reason, "The body is no event", cause=cause)
