"""Currencies: which there are, their decimals, and how sums are written."""

import pytest
from commerce.common.v1.money_pb2 import Money

from services.runtime.currencies import ENDED, IN_USE, KNOWN, digits, format_money


@pytest.mark.parametrize(
    ("minor_units", "code", "written"),
    [
        (1999, "EUR", "19.99 EUR"),
        (5, "EUR", "0.05 EUR"),
        (0, "EUR", "0.00 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (-123456, "USD", "-1234.56 USD"),
        (1999, "JPY", "1999 JPY"),
        (-1, "JPY", "-1 JPY"),
        (1999, "KWD", "1.999 KWD"),
        (1, "KWD", "0.001 KWD"),
        (10**15, "EUR", "10000000000000.00 EUR"),
        (1999, "HRK", "19.99 HRK"),
        (1999, "ZZZ", "1999 minor units of ZZZ"),
        (0, "", "0 minor units of no currency"),
    ],
)
def test_a_sum_is_written_with_its_currencys_decimals(minor_units, code, written):
    assert format_money(Money(currency_code=code, minor_units=minor_units)) == written


# ISO 4217's own decimals; CLDR, made for showing prices, says 0 for the first four.
@pytest.mark.parametrize(
    ("code", "expected"), [("HUF", 2), ("RSD", 2), ("COP", 2), ("IRR", 2), ("ISK", 0), ("IQD", 3), ("CLF", 4)]
)
def test_decimals_are_those_of_the_standard(code, expected):
    assert digits(code) == expected


@pytest.mark.parametrize("code", ["ZZZ", "XXX", "XTS", "XAU", "XDR", "eur", "EURO", ""])
def test_what_has_no_smallest_unit_has_no_decimals(code):
    with pytest.raises(KeyError):
        digits(code)
    assert code not in KNOWN


@pytest.mark.parametrize(
    "code", ["EUR", "USD", "JPY", "XOF", "XAF", "XPF", "XCD", "XCG", "CHF", "SLE", "ZWG"]
)
def test_money_in_use_may_be_a_price(code):
    assert code in IN_USE


@pytest.mark.parametrize(
    "code", ["CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "BOV", "XAD", *ENDED]
)
def test_funds_and_currencies_that_ended_are_known_but_no_price(code):
    assert code in KNOWN - IN_USE
