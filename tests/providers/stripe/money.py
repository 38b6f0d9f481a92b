"""Amounts as Stripe takes them: https://docs.stripe.com/currencies."""

from .errors import invalid

_KNOWN = """
aed all amd aud bam bgn bhd brl cad chf clp cny cop crc czk dkk dop egp eur gbp gel hkd huf idr ils inr
isk jod jpy kes krw kwd kzt lkr mad mdl mga mkd mur mxn myr ngn nok nzd omr pen php pkr pln qar ron rsd
rwf sar sek sgd thb tnd try twd tzs uah ugx usd uyu uzs vnd xaf xof zar
"""
CURRENCIES = frozenset(_KNOWN.split())
# Stripe's three-decimal currencies end in 0; these two have no cents, but are sent with two decimals.
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
NO_CENTS = frozenset({"isk", "ugx"})
MINIMUM = {
    "usd": 50,
    "eur": 50,
    "gbp": 30,
    "chf": 50,
    "cad": 50,
    "aud": 50,
    "jpy": 50,
    "dkk": 250,
    "nok": 300,
    "sek": 300,
    "pln": 200,
    "czk": 1500,
    "huf": 17500,
}
MAXIMUM = 99_999_999
DISPUTE_FEE = 1500


def checked(amount: int, currency: str) -> None:
    if currency not in CURRENCIES:
        raise invalid(f"Invalid currency: {currency}.", param="currency")
    if amount < MINIMUM.get(currency, 1):
        raise invalid("Amount must be at least the minimum charge.", code="amount_too_small", param="amount")
    if amount > MAXIMUM:
        raise invalid(f"Amount must be no more than {MAXIMUM}.", code="amount_too_large", param="amount")
    step = 10 if currency in THREE_DECIMALS else 100 if currency in NO_CENTS else 1
    if amount % step:
        message = f"Amount in {currency.upper()} must be divisible by {step}."
        raise invalid(message, code="parameter_invalid_integer", param="amount")


def fee(amount: int) -> int:
    """2.9 % + 30, rounded to the nearest unit, a half up (support.stripe.com: rounding rules for Stripe fees)."""
    return (amount * 29 + 500) // 1000 + 30
