"""What may be asked: the body of each request, read and checked. Raises Refused (400) with the fields."""

import json
import re
from typing import Any, NamedTuple

from .rules import METHODS, Refused

MAX_AMOUNT_MINOR_UNITS = 10**12
MAX_TEXT = 200
CURRENCY_CODE = re.compile(r"[A-Z]{3}")
KEY = re.compile(r"[A-Za-z0-9._:~-]{1,200}")


class ChargeRequest(NamedTuple):
    amount_minor_units: int
    currency_code: str
    payment_method: str
    reference: str


def invalid(field: str, reason: str) -> Refused:
    return Refused(400, "invalid_request", f"{field}: {reason}", field=field, reason=reason)


def parse(raw: bytes, allowed: frozenset[str]) -> dict[str, Any]:
    """The JSON object in the body; an empty body is an empty object."""
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        raise invalid("body", "must be JSON") from None
    if not isinstance(body, dict):
        raise invalid("body", "must be a JSON object")
    for name in body.keys() - allowed:
        raise invalid(name[:MAX_TEXT], "is not known")
    return body


def idempotency_key(value: str | None) -> str:
    if value is None or not KEY.fullmatch(value):
        raise invalid("Idempotency-Key", "this header must have 1 to 200 of A-Z a-z 0-9 . _ : ~ -")
    return value


def amount(body: dict[str, Any]) -> int:
    value = body.get("amount_minor_units")
    if type(value) is not int or not 0 < value <= MAX_AMOUNT_MINOR_UNITS:
        raise invalid("amount_minor_units", f"must be a whole number from 1 to {MAX_AMOUNT_MINOR_UNITS}")
    return value


CHARGE_FIELDS = frozenset({*ChargeRequest._fields, "capture"})
AMOUNT_FIELDS = frozenset({"amount_minor_units"})
CHALLENGE_FIELDS = frozenset({"outcome"})
NO_FIELDS: frozenset[str] = frozenset()


def charge_request(raw: bytes) -> ChargeRequest:
    body = parse(raw, CHARGE_FIELDS)
    currency_code, reference = body.get("currency_code"), body.get("reference")
    if not isinstance(currency_code, str) or not CURRENCY_CODE.fullmatch(currency_code):
        raise invalid("currency_code", "must be three capital letters")
    if not isinstance(reference, str) or not 0 < len(reference) <= MAX_TEXT or not reference.isprintable():
        raise invalid("reference", f"must have 1 to {MAX_TEXT} printable characters")
    if not isinstance(body.get("payment_method"), str) or body["payment_method"] not in METHODS:
        raise invalid("payment_method", f"must be one of {', '.join(METHODS)}")
    if body.get("capture", False) is not False:
        raise invalid(
            "capture", "must be false: a charge is authorized first and captured by its own request"
        )
    return ChargeRequest(amount(body), currency_code, body["payment_method"], reference)


def challenge_step(raw: bytes) -> str:
    """The step of a charge's life that the customer's answer is."""
    outcome = parse(raw, CHALLENGE_FIELDS).get("outcome")
    if outcome not in ("pass", "fail"):
        raise invalid("outcome", 'must be "pass" or "fail"')
    return "authorize" if outcome == "pass" else "decline"


def page(query: dict[str, str]) -> tuple[int, int]:
    """The row to start after, and how many charges."""
    after, limit = query.get("after", "0"), query.get("limit", "10000")
    if not re.fullmatch(r"[0-9]{1,15}", after):
        raise invalid("after", "must be the row of a charge")
    if not re.fullmatch(r"[0-9]{1,5}", limit) or not 0 < int(limit) <= 10_000:
        raise invalid("limit", "must be from 1 to 10000")
    return int(after), int(limit)
