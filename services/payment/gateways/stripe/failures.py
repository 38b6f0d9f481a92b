"""What Stripe's errors leave known: whether nothing was done, ever, or whether nobody can tell. Pure.

https://docs.stripe.com/error-codes
"""

from dataclasses import replace
from typing import Any

import stripe

from services.payment.gateways.http import unkeyed
from services.payment.gateways.stripe import answers
from services.payment.gateways.stripe.client import Unanswered
from services.payment.rules.outcomes import DISPUTED, NotSent, Refused, Told, Unknown, Words

# Nothing was done, but it may be another time.
PASSING = frozenset({"idempotency_key_in_use", "lock_timeout"})


def failure(error: stripe.StripeError) -> Refused | Unknown | NotSent:
    """Return what an error says of the request."""
    told = _told(error)
    code = str(told.get("decline_code") or told.get("code") or "")[:100]
    said = words(error)
    match error:
        case Unanswered():
            return error.outcome
        case stripe.AuthenticationError() | stripe.PermissionError():
            return NotSent("unauthorized", said)
        case stripe.IdempotencyError():
            return Unknown("the idempotency key was used for another request", said)
        case stripe.CardError() if code:
            return Refused(code, words=said)
        case stripe.InvalidRequestError() if told.get("type") == "invalid_request_error":
            if code not in PASSING:
                code = code or f"invalid_request_{told.get('param') or ''}"[:100].rstrip("_")
                return Refused(DISPUTED if code == "charge_disputed" else code, words=said)
    return Unknown(f"answered {error.http_status} {code}".rstrip(), said)


def asked_in_vain(error: stripe.StripeError) -> Unknown | NotSent:
    """Return what an error leaves known when it answers a question: Stripe should know what we ask about."""
    outcome = failure(error)
    return Unknown(f"asked, {outcome.code}", outcome.words) if isinstance(outcome, Refused) else outcome


def declined(error: stripe.StripeError) -> Told | None:
    """Return the decline that an error is about, if the intent in it says so."""
    try:
        read = answers.intent(_told(error).get("payment_intent"))
    except answers.Malformed:
        return None
    return replace(read.told("declined"), words=words(error)) if read.standing == "declined" else None


def words(error: stripe.StripeError) -> Words:
    """Return what Stripe says of an error to people, and its id of the request."""
    message = _told(error).get("message")
    return Words(unkeyed(message) if isinstance(message, str) else "", error.request_id or "")


def cause(error: stripe.StripeError) -> str:
    """Return what went wrong, for people."""
    outcome = failure(error)
    return outcome.code if isinstance(outcome, Refused) else outcome.cause


def _told(error: stripe.StripeError) -> dict[str, Any]:
    """Return the error object that Stripe sent; empty where it sent none."""
    body = error.json_body
    told = body.get("error") if isinstance(body, dict) else None
    return told if isinstance(told, dict) else {}
