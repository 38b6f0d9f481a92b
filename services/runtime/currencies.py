"""Currencies as ISO 4217 has them: which there are, how many decimals each has, how a sum is written."""

from commerce.common.v1.money_pb2 import Money
from iso4217 import Currency, raw_xml

# ISO 4217 has dropped them; sums in them are still in the books.
ENDED = {"ANG": 2, "BGN": 2, "CUC": 2, "HRK": 2, "SLL": 2, "ZWL": 2}
_DIGITS = {each.code: each.exponent for each in Currency if each.exponent is not None}
# Units of account, which nobody pays in. The standard marks its funds, but for the Arab Monetary Fund's dinar and
# Uruguay's pension unit.
_FUNDS = {"UYW", "XAD"} | {
    entry.findtext("Ccy")
    for entry in raw_xml.iter("CcyNtry")
    if entry.find("CcyNm[@IsFund='true']") is not None
}
# What a price may be in: money in use, with a smallest unit. Gold, drawing rights and tests have none.
IN_USE = frozenset(_DIGITS.keys() - _FUNDS)
# What money that has moved may be in: banks and providers tell of funds too.
KNOWN = frozenset(_DIGITS | ENDED)


def digits(code: str) -> int:
    """Return how many decimals a currency has: 2 for EUR, 0 for JPY. Raises KeyError for none of ISO 4217."""
    return _DIGITS[code] if code in _DIGITS else ENDED[code]


def format_money(money: Money) -> str:
    """Return a sum as people write it: "19.99 EUR", "-5 JPY". In no currency of ISO 4217 it has no known decimals."""
    code, sign = money.currency_code, "-" if money.minor_units < 0 else ""
    if code not in KNOWN:
        return f"{money.minor_units} minor units of {code or 'no currency'}"
    whole, part = divmod(abs(money.minor_units), 10 ** digits(code))
    decimals = f".{part:0{digits(code)}}" if digits(code) else ""
    return f"{sign}{whole}{decimals} {code}"
