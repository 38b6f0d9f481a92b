"""The sandbox provider's gateway; its protocol is in the provider's own README (sandbox/README.md)."""

import hashlib
import hmac
import math
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.settlement_service_pb2 import SettlementLine, SettlementLineKind

from services.payment.gateways.gateway import HOSTED, Abilities, Unfetched
from services.payment.gateways.http import PAGE_BYTES, Answer, Http, is_whole, read_json
from services.payment.rules.outcomes import (
    DISPUTED,
    NO_WORDS,
    DisputeTold,
    Method,
    NeverSeen,
    Notice,
    NotSent,
    Outcome,
    Refused,
    Status,
    Told,
    Unknown,
    Words,
)
from services.payment.rules.payment import (
    DISPUTE_LOST,
    DISPUTE_OPEN,
    DISPUTE_WON,
    VOIDS,
    Kind,
    Operation,
    Payment,
)
from services.payment.settings import PaymentSettings
from services.runtime import times
from services.runtime.ids import is_uuid
from services.runtime.refusals import Refusal

TOLERANCE_SECONDS = 300
SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")
PATHS: Mapping[Kind, str] = {
    Kind.AUTHORIZE: "/v1/charges",
    Kind.CAPTURE: "/v1/charges/{charge_id}/capture",
    Kind.VOID: "/v1/charges/{charge_id}/void",
    Kind.EXPIRE: "/v1/charges/{charge_id}/void",
    Kind.REFUND: "/v1/charges/{charge_id}/refund",
}
LOOKUP = "/v1/operations/{key}"
METHOD = "/v1/payment_methods/{token}"
# It was not done, and asking again would not do it. Any other error leaves open what happened.
FINAL_ERRORS = {
    "invalid_request",
    "charge_unknown",
    "step_not_allowed",
    "authorization_expired",
    "amount_exceeds_authorized",
    "amount_exceeds_captured",
    "amount_disputed",
}
METHOD_UNKNOWN = "payment_method_unknown"
# What it takes, and those of customers' own, which have a suffix.
TOKENS = (
    "ok",
    "declined",
    "insufficient_funds",
    "requires_action",
    "hosted",
    "slow",
    "silent_before",
    "silent_after",
    "duplicate_webhook",
    "late_webhook",
    "wrong_amount",
    "unknown_webhook",
    "expiring",
    "challenge_expiring",
    "dispute_won",
    "dispute_lost",
    "mixed",
)
STATUSES = frozenset(get_args(Status))
# A void after a capture gives up the rest, and leaves the charge's own status as it was.
VOIDED: Mapping[str, Status] = {"captured": "voided", "refunded": "voided"}
DISPUTES = {
    "dispute.opened": DISPUTE_OPEN,
    "dispute.won": DISPUTE_WON,
    "dispute.lost": DISPUTE_LOST,
}
LINES = {
    "capture": SettlementLineKind.SETTLEMENT_LINE_KIND_CAPTURE,
    "refund": SettlementLineKind.SETTLEMENT_LINE_KIND_REFUND,
    "dispute": SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE,
    "dispute_won": SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE_WON,
}
PAGE_LINES = 5000


class SandboxGateway:
    """Speaks to the sandbox provider."""

    code = "sandbox"
    abilities = Abilities(
        partial_capture=True,
        multiple_capture=True,
        partial_refund=True,
        customer_action=True,
        hosted=True,
        saved_methods=True,
        disputes=True,
        settlements=True,
        method_pattern=f"pm_sandbox_({'|'.join(TOKENS)})(_[a-z0-9]{{1,40}})?",
    )

    def __init__(self, settings: PaymentSettings) -> None:
        self._authorization = {"Authorization": f"Bearer {settings.sandbox_api_key.get_secret_value()}"}
        self._webhook_secret = settings.sandbox_webhook_secret.get_secret_value().encode()
        self._http = Http(
            self.code,
            settings.sandbox_url,
            settings.provider_timeout_seconds,
            settings.provider_connections,
        )

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """POST the operation; the same key is done once."""
        answer = await self._http.ask(
            "POST",
            PATHS[operation.kind],
            parts={"charge_id": payment.provider_reference},
            headers=self._authorization | {"Idempotency-Key": operation.operation_id},
            body=_body(operation, payment),
        )
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 200:
            return _told(answer.body, operation.kind)
        return _error(answer)

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """GET the operation by its key."""
        answer = await self._get(LOOKUP, key=operation.operation_id)
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 404 and _code(answer.body) == "operation_unknown":
            return NeverSeen()
        if answer.status != 200:
            return Unknown(f"the lookup was answered {answer.status}")
        charge_status = answer.body.get("charge_status")
        if answer.body.get("status") == "refused":
            return _refused(_code(answer.body), charge_status, answer.words)
        told = _told(answer.body, operation.kind)
        if operation.kind == Kind.AUTHORIZE and charge_status == "expired" and isinstance(told, Told):
            return _told(answer.body | {"status": "expired"}, operation.kind)
        return told

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """Verify the Sandbox-Signature header."""
        header = headers.get("sandbox-signature")
        if not isinstance(header, str):
            raise _unsigned("missing")
        match = SIGNATURE.fullmatch(header)
        if match is None:
            raise _unsigned("malformed")
        time_sent, given = match.groups()
        expected = hmac.new(self._webhook_secret, time_sent.encode() + b"." + body, hashlib.sha256)
        if not hmac.compare_digest(given, expected.hexdigest()):
            raise _unsigned("wrong")
        if abs(times.signed_now() - int(time_sent)) > TOLERANCE_SECONDS:
            raise _unsigned("too old")

    def read(self, body: bytes) -> Notice:
        """Read an event: charge.<status>, with the key of the request that caused it, or dispute.<status>."""
        try:
            event = read_json(body)
            event_id, name, data = event["id"], event["type"], event["data"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _malformed(type(error).__name__) from None
        if not (_is_text(event_id) and _is_text(name) and isinstance(data, dict)):
            raise _malformed("id, type or data")
        if name in DISPUTES:
            return _of_dispute(event_id, name, data)
        if name.startswith("charge."):
            return _of_charge(event_id, name, data)
        return Notice(event_id=event_id, type=name[:100])

    async def method(self, token: str) -> Method | Refused | Unknown | NotSent:
        """GET the payment method."""
        answer = await self._get(METHOD, token=token)
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 404 and _code(answer.body) == METHOD_UNKNOWN:
            return Refused(METHOD_UNKNOWN)
        shown = [answer.body.get(name) for name in ("brand", "last_four", "expiry_month", "expiry_year")]
        brand, last_four, month, year = shown
        if answer.status != 200 or not (_is_text(brand) and _is_text(last_four)):
            return Unknown(f"answered {answer.status}")
        if type(month) is not int or type(year) is not int:
            return Unknown("a malformed payment method")
        return Method(brand=str(brand), last_four=str(last_four), expiry_month=month, expiry_year=year)

    async def forget(self, token: str) -> Refused | Unknown | NotSent | None:
        """DELETE the payment method."""
        answer = await self._http.ask("DELETE", METHOD, parts={"token": token}, headers=self._authorization)
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 200 or (answer.status == 404 and _code(answer.body) == METHOD_UNKNOWN):
            return None
        return Unknown(f"answered {answer.status}")

    async def settlement(self, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
        """GET the report page by page. The provider counts in whole seconds."""
        period = {"from": str(math.ceil(begin.timestamp())), "to": str(math.ceil(end.timestamp()))}
        after: Any = 0
        while type(after) is int:
            answer = await self._http.ask(
                "GET",
                "/v1/settlement",
                query=period | {"after": str(after), "limit": str(PAGE_LINES)},
                headers=self._authorization,
                most_bytes=PAGE_BYTES,
            )
            if not isinstance(answer, Answer) or answer.status != 200:
                raise Unfetched(answer.cause if not isinstance(answer, Answer) else f"{answer.status}")
            lines, after = answer.body.get("lines"), answer.body.get("next_after")
            if not isinstance(lines, list) or not (lines or after is None):
                raise Unfetched("a malformed page")
            for line in lines:
                yield _line(line)

    async def close(self) -> None:
        """Close the pool."""
        await self._http.close()

    async def _get(self, route: str, **parts: str) -> Answer | Unknown | NotSent:
        return await self._http.ask("GET", route, parts=parts, headers=self._authorization)


def _body(operation: Operation, payment: Payment) -> dict[str, Any]:
    match operation.kind:
        case Kind.AUTHORIZE:
            hosted = payment.payment_method == HOSTED
            return {
                "amount_minor_units": operation.amount,
                "currency_code": payment.currency_code,
                "payment_method": "pm_sandbox_hosted" if hosted else payment.payment_method,
                "reference": payment.order_id,
            }
        case Kind.VOID | Kind.EXPIRE:
            return {}
    return {"amount_minor_units": operation.amount}


def _told(charge: dict[str, Any], kind: Kind | None) -> Told | Unknown:
    """Return what a charge tells; a field that is missing or of another type makes it no answer."""
    numbers = [charge.get(f"{name}_minor_units") for name in ("amount", "captured", "refunded")]
    status, reference, currency = charge.get("status"), charge.get("id"), charge.get("currency_code")
    if not all(type(number) is int for number in numbers):
        return Unknown("a malformed charge")
    if not all(map(_is_text, (reference, currency, status))) or status not in STATUSES:
        return Unknown("a malformed charge")
    amount, captured, refunded = numbers
    return Told(
        status=VOIDED.get(status, status) if kind in VOIDS else status,  # type: ignore[arg-type]
        reference=str(reference),
        amount=amount,  # type: ignore[arg-type]
        currency_code=str(currency),
        captured=captured,  # type: ignore[arg-type]
        refunded=refunded,  # type: ignore[arg-type]
        decline_code=str(charge.get("decline_code") or "")[:100],
        next_action_url=str(charge.get("next_action_url") or "")[:2000],
        operation_reference=str(charge.get("operation_reference") or "")[:200],
        expire_time=_time(charge.get("expires")),
    )


def _error(answer: Answer) -> Refused | Unknown:
    code, error = _code(answer.body), answer.body.get("error")
    if not isinstance(error, dict) or code not in FINAL_ERRORS:
        return Unknown(f"answered {answer.status} {code}"[:100], answer.words)
    field = f"_{error['field']}" if code == "invalid_request" and "field" in error else ""
    return _refused(f"{code}{field}", error.get("charge_status"), answer.words)


def _refused(code: str, charge: Any, words: Words = NO_WORDS) -> Refused:
    # What is left of a charge that was captured in part expires without a status of its own.
    status = "expired" if code == "authorization_expired" else charge
    code = DISPUTED if code == "amount_disputed" else code
    return Refused(code[:100], status if _is_text(status) and status in STATUSES else "", words)


def _code(body: dict[str, Any]) -> str:
    error = body.get("error")
    return str(error.get("code", "")) if isinstance(error, dict) else ""


def _of_charge(event_id: str, name: str, data: dict[str, Any]) -> Notice:
    reference = str(data.get("operation_reference") or "")
    told = _told(data, Kind.VOID if reference.startswith("void_") else None)
    true = isinstance(told, Told) and name == f"charge.{data['status']}"
    return Notice(
        event_id=event_id,
        type=name[:100],
        operation_id=_key(data.get("idempotency_key")),
        charge_reference=str(data.get("id") or "")[:200],
        told=told if isinstance(told, Told) and true else None,
        alarm="" if true else f"{name[:100]} tells of no operation",
    )


def _of_dispute(event_id: str, name: str, data: dict[str, Any]) -> Notice:
    amount, fee = data.get("amount_minor_units"), data.get("fee_minor_units")
    texts = [data.get("id"), data.get("charge_id"), data.get("currency_code")]
    if type(amount) is not int or type(fee) is not int or not all(map(_is_text, texts)):
        raise _malformed("dispute")
    return Notice(
        event_id=event_id,
        type=name,
        operation_id=_key(data.get("charge_idempotency_key")),
        charge_reference=data["charge_id"],
        dispute=DisputeTold(
            reference=data["id"],
            status=DISPUTES[name],
            amount=amount,
            currency_code=data["currency_code"],
            fee=fee,
            reason=str(data.get("reason") or "")[:100],
        ),
    )


def _line(line: Any) -> SettlementLine:
    """Read a line of the report. Raises Unfetched."""
    try:
        currency, created = line["currency_code"], SettlementLine().time
        created.FromSeconds(line["created"])
        return SettlementLine(
            line_id=line["id"],
            kind=LINES[line["type"]],
            charge_reference=line["charge_id"],
            operation_reference=line["operation_reference"],
            gross=Money(currency_code=currency, minor_units=line["gross_minor_units"]),
            fee=Money(currency_code=currency, minor_units=line["fee_minor_units"]),
            time=created,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unfetched(f"a malformed line: {type(error).__name__}") from None


def _time(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _key(key: Any) -> str:
    return key if isinstance(key, str) and is_uuid(key) else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and is_whole(value)


def _unsigned(cause: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, f"The signature is {cause}", cause=cause
    )


def _malformed(cause: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED, "The body is no event", cause=cause)
