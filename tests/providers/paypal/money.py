"""Amounts as PayPal writes them: decimal strings with the currency's own number of decimals."""

import re
from dataclasses import dataclass
from typing import Any

from tests.providers.paypal.errors import invalid, unprocessable

# https://developer.paypal.com/api/rest/reference/currency-codes/ ; HUF and TWD take no decimals at PayPal,
# whatever ISO 4217 says.
WHOLE = {"HUF", "JPY", "TWD"}
# fmt: off
CURRENCIES = WHOLE | {
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "ILS", "MXN", "MYR", "NOK", "NZD",
    "PHP", "PLN", "SEK", "SGD", "THB", "USD",
}
# fmt: on
VALUE = re.compile(r"(-?\d*)(?:\.(\d+))?")

# The commercial rate, in ten-thousandths, and the fixed part in minor units.
FEE_RATE = 349
FEE_FIXED = {"JPY": 40, "HUF": 90, "TWD": 10}


@dataclass(frozen=True, order=True)
class Money:
    currency: str
    minor_units: int

    def __str__(self) -> str:
        if self.currency in WHOLE:
            return str(self.minor_units)
        sign = "-" if self.minor_units < 0 else ""
        whole, cents = divmod(abs(self.minor_units), 100)
        return f"{sign}{whole}.{cents:02}"

    def json(self) -> dict[str, str]:
        return {"currency_code": self.currency, "value": str(self)}

    def of(self, minor_units: int) -> "Money":
        """Another amount in this currency."""
        return Money(self.currency, minor_units)

    def fee(self) -> int:
        """What PayPal keeps of a captured payment, rounded half up."""
        fixed = FEE_FIXED.get(self.currency, 49)
        return min(self.minor_units, (self.minor_units * FEE_RATE + 5_000) // 10_000 + fixed)


def money(raw: Any, field: str, *, positive: bool = True) -> Money:
    """Read an amount object, or refuse it in PayPal's words."""
    if not isinstance(raw, dict):
        raise invalid("INVALID_PARAMETER_SYNTAX", field)
    for name in ("currency_code", "value"):
        if not raw.get(name):
            raise invalid("MISSING_REQUIRED_PARAMETER", f"{field}/{name}")
    currency, value = raw["currency_code"], raw["value"]
    if currency not in CURRENCIES:
        raise unprocessable("INVALID_CURRENCY_CODE", f"{field}/currency_code")
    match = VALUE.fullmatch(value) if isinstance(value, str) and len(value) <= 32 else None
    if match is None or value in {"", "-"}:
        raise invalid("INVALID_PARAMETER_SYNTAX", f"{field}/value")
    amount = Money(currency, minor_units(currency, match, f"{field}/value"))
    if amount.minor_units < 0 or (positive and amount.minor_units == 0):
        issue = "CANNOT_BE_ZERO_OR_NEGATIVE" if positive else "CANNOT_BE_NEGATIVE"
        raise unprocessable(issue, f"{field}/value")
    return amount


def minor_units(currency: str, match: re.Match[str], field: str) -> int:
    whole, decimals = match[1] or "0", match[2]
    if currency in WHOLE:
        if decimals is not None:
            raise unprocessable("DECIMALS_NOT_SUPPORTED", field)
        return int(whole)
    if decimals is not None and len(decimals) > 2:
        raise unprocessable("DECIMAL_PRECISION", field)
    cents = abs(int(whole if whole != "-" else "0")) * 100 + int((decimals or "").ljust(2, "0") or 0)
    return -cents if whole.startswith("-") else cents
