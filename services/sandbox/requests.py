"""What may be asked: the body of each request, read and checked. Raises Refused (400) with the fields."""

import json
import re
from typing import Any, NamedTuple

from .misbehaviour import KINDS
from .rules import METHODS, Refused, method_name

MAX_AMOUNT_MINOR_UNITS = 10**12
MAX_TEXT = 200
CURRENCY_CODE = re.compile(r"[A-Z]{3}")
KEY = re.compile(r"[A-Za-z0-9._:~-]{1,200}")


class ChargeRequest(NamedTuple):
    amount_minor_units: int
    currency_code: str
    payment_method: str
    reference: str


class DisputeRequest(NamedTuple):
    charge_id: str
    amount_minor_units: int
    reason: str


class Misbehave(NamedTuple):
    path: str
    kind: str
    times: int


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


def text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise invalid(field, f"must have 1 to {MAX_TEXT} printable characters")
    return value


def choice(body: dict[str, Any], field: str, choices: tuple[str, ...]) -> str:
    value = body.get(field)
    if not isinstance(value, str) or value not in choices:
        raise invalid(field, f"must be one of {', '.join(choices)}")
    return value


CHARGE_FIELDS = frozenset({*ChargeRequest._fields, "capture"})
AMOUNT_FIELDS = frozenset({"amount_minor_units"})
OUTCOME_FIELDS = frozenset({"outcome"})
DISPUTE_FIELDS = frozenset(DisputeRequest._fields)
PLANT_FIELDS = frozenset({"kind", "idempotency_key"})
PLANTS = ("missing", "extra", "amount", "currency")
REDELIVER_FIELDS = frozenset({"charge_id"})
MISBEHAVE_FIELDS = frozenset(Misbehave._fields)
MAX_TIMES = 100_000
NO_FIELDS: frozenset[str] = frozenset()


def charge_request(raw: bytes) -> ChargeRequest:
    body = parse(raw, CHARGE_FIELDS)
    currency_code, method = body.get("currency_code"), body.get("payment_method")
    if not isinstance(currency_code, str) or not CURRENCY_CODE.fullmatch(currency_code):
        raise invalid("currency_code", "must be three capital letters")
    reference = text(body, "reference")
    if not isinstance(method, str) or method_name(method) is None:
        raise invalid("payment_method", f"must be one of {', '.join(METHODS)}, or one with _ and [a-z0-9]")
    if body.get("capture", False) is not False:
        raise invalid(
            "capture", "must be false: a charge is authorized first and captured by its own request"
        )
    return ChargeRequest(amount(body), currency_code, method, reference)


def challenge_step(raw: bytes) -> str:
    """The step of a charge's life that the customer's answer is."""
    outcome = choice(parse(raw, OUTCOME_FIELDS), "outcome", ("pass", "fail"))
    return "authorize" if outcome == "pass" else "decline"


def dispute_request(raw: bytes) -> DisputeRequest:
    body = parse(raw, DISPUTE_FIELDS)
    return DisputeRequest(text(body, "charge_id"), amount(body), text(body, "reason"))


def dispute_outcome(raw: bytes) -> str:
    return choice(parse(raw, OUTCOME_FIELDS), "outcome", ("won", "lost"))


def plant(raw: bytes) -> tuple[str, str]:
    """What is to be wrong in the settlement report, and the key of the operation."""
    body = parse(raw, PLANT_FIELDS)
    return choice(body, "kind", PLANTS), text(body, "idempotency_key")


def redelivered(raw: bytes) -> str:
    return text(parse(raw, REDELIVER_FIELDS), "charge_id")


def misbehave(raw: bytes) -> Misbehave:
    body = parse(raw, MISBEHAVE_FIELDS)
    path, kind, times = text(body, "path"), choice(body, "kind", KINDS), body.get("times", 1)
    if not path.startswith("/"):
        raise invalid("path", "must start with /")
    if type(times) is not int or not 0 <= times <= MAX_TIMES:
        raise invalid("times", f"must be a whole number from 0 to {MAX_TIMES}")
    return Misbehave(path, kind, times)


def page(query: dict[str, str]) -> tuple[int, int]:
    """The row to start after, and how many."""
    after, limit = query.get("after", "0"), query.get("limit", "10000")
    if not re.fullmatch(r"[0-9]{1,15}", after):
        raise invalid("after", "must be a row")
    if not re.fullmatch(r"[0-9]{1,5}", limit) or not 0 < int(limit) <= 10_000:
        raise invalid("limit", "must be from 1 to 10000")
    return int(after), int(limit)


def period(query: dict[str, str]) -> tuple[int, int]:
    """From when, and until before when (Unix seconds); from ever, and to ever, if nothing is said."""
    begin, end = query.get("from", "0"), query.get("to", "9" * 15)
    for field, value in (("from", begin), ("to", end)):
        if not re.fullmatch(r"[0-9]{1,15}", value):
            raise invalid(field, "must be Unix seconds")
    return int(begin), int(end)
