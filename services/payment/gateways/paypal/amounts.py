"""Amounts as PayPal says them: decimal strings. Pure."""

import re
from typing import Any

# As of developer.paypal.com/api/rest/reference/currency-codes.
# fmt: off
CURRENCY_CODES = (
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS",
    "JPY", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "TWD", "USD",
)
# fmt: on
# PayPal takes no decimals of these. To us they have what ISO 4217 gives them: two of HUF and TWD, none of JPY.
WHOLE = ("HUF", "JPY", "TWD")
VALUE = re.compile(r"(-?)([0-9]{1,16})(?:\.([0-9]{1,6}))?")


def said(minor_units: int, currency_code: str) -> dict[str, str] | None:
    """Return an amount as PayPal takes it; None for one that it cannot take."""
    if minor_units < 0 or currency_code not in CURRENCY_CODES:
        return None
    digits = _digits(currency_code)
    whole, part = divmod(minor_units, 10**digits)
    if currency_code in WHOLE:
        return None if part else {"currency_code": currency_code, "value": str(whole)}
    return {"currency_code": currency_code, "value": f"{whole}.{part:0{digits}}"}


def minor_units(value: Any, currency_code: Any) -> int | None:
    """Return the minor units of a value as PayPal says it; None where it is no value, or finer than the currency."""
    match = VALUE.fullmatch(value) if isinstance(value, str) else None
    if match is None or currency_code not in CURRENCY_CODES:
        return None
    sign, whole, part = match.groups(default="")
    digits = _digits(currency_code)
    if part[digits:].strip("0"):
        return None
    amount = int(whole + part[:digits].ljust(digits, "0"))
    return -amount if sign else amount


def _digits(currency_code: str) -> int:
    return 0 if currency_code == "JPY" else 2
