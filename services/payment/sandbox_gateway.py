"""The sandbox provider's gateway; its protocol is in the provider's own README (sandbox/README.md)."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.payment.gateways import Notice
from services.payment.outcomes import NeverSeen, Outcome, Refused, Told, Unknown
from services.payment.payments import Operation, Payment
from services.payment.rules import NEWS
from services.payment.settings import PaymentSettings
from services.runtime import telemetry
from services.runtime.ids import is_uuid
from services.runtime.refusals import Refusal

REPLY_BYTES = 64 << 10
TOLERANCE_SECONDS = 300
SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")
PATHS = {
    "authorize": "/v1/charges",
    "capture": "/v1/charges/{id}/capture",
    "void": "/v1/charges/{id}/void",
    "refund": "/v1/charges/{id}/refund",
}
LOOKUP = "/v1/operations/{key}"
# It was not done, and asking again would not do it. Any other error leaves open what happened.
FINAL_ERRORS = {
    "invalid_request",
    "charge_unknown",
    "step_not_allowed",
    "amount_exceeds_authorized",
    "amount_exceeds_captured",
}


class SandboxGateway:
    """Speaks to the sandbox provider over one pool of connections."""

    def __init__(self, settings: PaymentSettings) -> None:
        self._base = settings.sandbox_url.rstrip("/")
        self._authorization = f"Bearer {settings.sandbox_api_key.get_secret_value()}"
        self._webhook_secret = settings.sandbox_webhook_secret.get_secret_value().encode()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.provider_connections),
            timeout=aiohttp.ClientTimeout(total=settings.provider_timeout_seconds),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def perform(self, operation: Operation, payment: Payment) -> Outcome:
        """POST the operation; the same key is done once."""
        route = PATHS[operation.kind]
        answer = await self._ask(
            "POST",
            route,
            route.replace("{id}", payment.provider_reference),
            {"Idempotency-Key": operation.operation_id},
            _body(operation, payment),
        )
        if isinstance(answer, Unknown):
            return answer
        status, body = answer
        if status == 200:
            return _told(body, body.get("status"))
        return _error(status, body)

    async def look_up(self, operation: Operation) -> Outcome | NeverSeen:
        """GET the operation by its key."""
        answer = await self._ask("GET", LOOKUP, LOOKUP.replace("{key}", operation.operation_id), {}, None)
        if isinstance(answer, Unknown):
            return answer
        status, body = answer
        error = body.get("error")
        if status == 404 and isinstance(error, dict) and error.get("code") == "operation_unknown":
            return NeverSeen()
        if status != 200:
            return Unknown(f"the lookup was answered {status}")
        if body.get("status") == "refused":
            return Refused(str((error or {}).get("code", ""))[:100], str(body.get("charge_status", "")))
        return _told(body, body.get("status"))

    def notice(self, body: bytes, headers: Mapping[str, str | bytes]) -> Notice:
        """Verify the Sandbox-Signature header, then read the event."""
        self._verify(body, headers.get("sandbox-signature"))
        try:
            event = json.loads(body)
            data = event["data"]
            told = _told(data, data["status"]) if event["type"] == f"charge.{data['status']}" else None
            event_id, key = event["id"], data["idempotency_key"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _malformed(type(error).__name__) from None
        if not isinstance(event_id, str) or not 0 < len(event_id) <= 200:
            raise _malformed("id")
        return Notice(
            event_id=event_id,
            type=str(event["type"])[:100],
            operation_id=key if isinstance(key, str) and is_uuid(key) else "",
            told=told if isinstance(told, Told) else None,
        )

    async def close(self) -> None:
        """Close the pool."""
        await self._http.close()

    async def _ask(
        self, verb: str, route: str, path: str, headers: dict[str, str], body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]] | Unknown:
        """Return the status and the JSON object of an answer. Whatever is no answer is Unknown."""
        with telemetry.span(f"{verb} sandbox {route}", kind="client") as span:
            span.set("http.request.method", verb)
            span.set("url.template", route)
            headers |= {"Authorization": self._authorization, "traceparent": span.trace.traceparent}
            try:
                async with self._http.request(
                    verb, self._base + path, headers=headers, json=body, allow_redirects=False
                ) as reply:
                    span.set("http.response.status_code", reply.status)
                    raw = await _bounded(reply)
                answer = json.loads(raw)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
                span.fail(type(error).__name__)
                return Unknown(type(error).__name__)
            if not isinstance(answer, dict) or reply.status >= 500:
                span.fail(f"answered {reply.status}")
                return Unknown(f"answered {reply.status}")
            return reply.status, answer

    def _verify(self, body: bytes, header: str | bytes | None) -> None:
        if not isinstance(header, str):
            raise _unsigned("missing")
        match = SIGNATURE.fullmatch(header)
        if match is None:
            raise _unsigned("malformed")
        time_sent, given = match.groups()
        expected = hmac.new(self._webhook_secret, time_sent.encode() + b"." + body, hashlib.sha256)
        if not hmac.compare_digest(given, expected.hexdigest()):
            raise _unsigned("wrong")
        if abs(time.time() - int(time_sent)) > TOLERANCE_SECONDS:
            raise _unsigned("too old")


async def _bounded(reply: aiohttp.ClientResponse) -> bytes:
    """Read a body, but not without bound. Raises ValueError."""
    raw = b""
    async for chunk in reply.content.iter_any():
        raw += chunk
        if len(raw) > REPLY_BYTES:
            raise ValueError("the reply is too large")
    return raw


def _body(operation: Operation, payment: Payment) -> dict[str, Any]:
    match operation.kind:
        case "authorize":
            return {
                "amount_minor_units": operation.amount,
                "currency_code": payment.currency_code,
                "payment_method": payment.payment_method,
                "reference": payment.order_id,
            }
        case "void":
            return {}
    return {"amount_minor_units": operation.amount}


def _told(charge: dict[str, Any], status: Any) -> Told | Unknown:
    """Return what a charge tells; a field that is missing or of another type makes it no answer."""
    numbers = [charge.get(f"{name}_minor_units") for name in ("amount", "captured", "refunded")]
    texts = [charge.get("id"), charge.get("currency_code")]
    if status not in NEWS or not all(type(number) is int for number in numbers):
        return Unknown("a malformed charge")
    if not all(isinstance(text, str) and 0 < len(text) <= 200 for text in texts):
        return Unknown("a malformed charge")
    amount, captured, refunded = numbers
    return Told(
        status=status,
        reference=charge["id"],
        amount=amount,  # type: ignore[arg-type]
        currency_code=charge["currency_code"],
        captured=captured,  # type: ignore[arg-type]
        refunded=refunded,  # type: ignore[arg-type]
        decline_code=str(charge.get("decline_code") or "")[:100],
        next_action_url=str(charge.get("next_action_url") or "")[:2000],
    )


def _error(status: int, body: dict[str, Any]) -> Outcome:
    error = body.get("error")
    code = str(error.get("code", "")) if isinstance(error, dict) else ""
    if not isinstance(error, dict) or code not in FINAL_ERRORS:
        return Unknown(f"answered {status} {code}"[:100])
    field = f"_{error['field']}" if code == "invalid_request" and "field" in error else ""
    return Refused(f"{code}{field}"[:100], str(error.get("charge_status", "")))


def _unsigned(cause: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, f"The signature is {cause}", cause=cause
    )


def _malformed(cause: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED, "The body is no event", cause=cause)
