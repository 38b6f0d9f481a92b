"""Stripe's webhooks: whether one is Stripe's, and what it tells."""

import re
from dataclasses import replace
from typing import Any

import stripe
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.payment.gateways.http import read_json
from services.payment.gateways.stripe import answers
from services.payment.gateways.stripe.answers import Malformed
from services.payment.rules.outcomes import Notice, Told
from services.runtime import times
from services.runtime.refusals import Refusal

TOLERANCE_SECONDS = 300
# One time, and first: of two, somebody could have signed the other.
HEADER = re.compile(r"t=([0-9]{1,12})(?:,(?!t=)[a-z]\w{0,9}=[0-9a-f]{1,128}){1,19}", re.ASCII)
# Of these an intent tells what became of its authorization; of anything later it does not say which operation did it.
TELLING = {
    "payment_intent.requires_action": ("requires_action",),
    "payment_intent.processing": ("processing",),
    "payment_intent.payment_failed": ("declined",),
    "payment_intent.canceled": ("voided", "expired"),
}
# These tell that something was done, but not by which operation, or not all: not the sums, or not until when and how
# often an authorization may be captured.
ASKING = {
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "charge.captured",
    "charge.expired",
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
}

NEWS = ASKING | TELLING.keys()


def verify(secret: str, body: bytes, header: str | bytes | None) -> None:
    """Refuse what was not signed with the secret within the last five minutes."""
    if not isinstance(header, str) or not header:
        raise _unsigned("missing")
    sent = HEADER.fullmatch(header)
    if sent is None:
        raise _unsigned("malformed")
    try:
        stripe.WebhookSignature.verify_header(body, header, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        raise _unsigned("wrong") from None
    if abs(times.signed_now() - int(sent[1])) > TOLERANCE_SECONDS:
        raise _unsigned("too old")


def read(body: bytes) -> Notice:
    """Read an event."""
    try:
        event = answers.kind(read_json(body), "event")
        name = answers.text(event, "type")[:100]
        data = event.get("data")
        subject = data.get("object") if isinstance(data, dict) else None
        if not isinstance(subject, dict):
            raise Malformed("data")
        return _notice(answers.text(event, "id"), name, subject)
    except (ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, Malformed) else type(error).__name__
        raise Refusal(
            ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED, "The body is no event", cause=cause
        ) from None


def _notice(event_id: str, name: str, subject: dict[str, Any]) -> Notice:
    notice = Notice(event_id=event_id, type=name, ask=name in ASKING)
    match subject.get("object"):
        case "payment_intent":
            key, told = answers.operation_id(subject), _told(name, subject)
            notice = replace(notice, charge_reference=answers.reference(subject), operation_id=key)
            return replace(notice, told=told) if told and key else replace(notice, ask=name in NEWS)
        case "refund":
            charge = answers.reference(subject.get("payment_intent"))
            failed = "the refund failed there" if subject.get("status") in ("failed", "canceled") else ""
            key = answers.operation_id(subject)
            return replace(notice, charge_reference=charge, operation_id=key, alarm=failed)
        case "charge":
            # Its metadata are the authorization's: they do not say who captured or refunded it.
            return replace(notice, charge_reference=answers.reference(subject.get("payment_intent")))
        case "dispute":
            charge = answers.reference(subject.get("payment_intent"))
            return replace(notice, charge_reference=charge, dispute=answers.dispute(subject))
    return notice


def _told(name: str, subject: dict[str, Any]) -> Told | None:
    read = answers.intent(subject)
    standing = read.standing
    return read.told(standing) if standing and standing in TELLING.get(name, ()) else None


def _unsigned(cause: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, f"The signature is {cause}", cause=cause
    )
