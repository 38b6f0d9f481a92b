"""Stripe's amounts and ours: its smallest units are ISO 4217's minor units, but for a few currencies. Pure.

https://docs.stripe.com/currencies#minor-units
"""

# Sent with two decimals, of which the last two digits are zeros; ISO 4217 has none.
HUNDREDFOLD = frozenset({"ISK", "UGX"})
# Sent without decimals; ISO 4217 has two.
HUNDREDTH = frozenset({"MGA"})
# Sent with three decimals, of which card networks know two.
TENS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


class Inexact(ValueError):
    """Stripe has no such amount, or we have not."""


def to_stripe(minor_units: int, currency_code: str) -> int:
    """Return what Stripe is told. Raises Inexact."""
    if currency_code in HUNDREDFOLD:
        return minor_units * 100
    if currency_code in HUNDREDTH:
        return _divided(minor_units, currency_code)
    if currency_code in TENS and minor_units % 10:
        raise Inexact(f"{currency_code} is taken in tens")
    return minor_units


def from_stripe(amount: int, currency_code: str) -> int:
    """Return the minor units of what Stripe tells. Raises Inexact."""
    if currency_code in HUNDREDFOLD:
        return _divided(amount, currency_code)
    return amount * 100 if currency_code in HUNDREDTH else amount


def _divided(amount: int, currency_code: str) -> int:
    whole, rest = divmod(amount, 100)
    if rest:
        raise Inexact(f"{currency_code} has no decimals")
    return whole
