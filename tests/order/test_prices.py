"""What orders cost, by property: any cart, any rates, any coupon, in currencies with no, two and three decimals."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.order.v1.coupon_pb2 import Coupon
from commerce.order.v1.order_pb2 import Order, OrderLine
from commerce.order.v1.order_service_pb2 import CreateOrderLine
from commerce.order.v1.settings_service_pb2 import OrderSettings, ShippingRate, TaxRate
from hypothesis import example, given
from hypothesis import strategies as st

from services.order import prices
from services.runtime.refusals import Refusal
from services.runtime.times import timestamp

NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)

amounts = st.integers(0, 10**9)
rates = st.integers(0, 1_000_000)
currencies = st.sampled_from(["JPY", "EUR", "KWD"])
# Small numbers, where each rounding shows, and large ones.
unit_prices = st.integers(0, 20) | st.integers(0, 10**9)
quantities = st.integers(1, 5) | st.integers(1, 10_000)


def money(amount, currency="EUR"):
    return Money(currency_code=currency, minor_units=amount)


def line(price, quantity=1, rate=0, currency="EUR"):
    nothing = money(0, currency)
    return OrderLine(
        quantity=quantity,
        unit_price=money(price, currency),
        discount=nothing,
        tax=nothing,
        tax_rate_ppm=rate,
    )


def cart(lines, currency="EUR", included=False, country="DE"):
    return Order(
        lines=[line(price, quantity, rate, currency) for price, quantity, rate in lines],
        tax_included=included,
        delivery_address=PostalAddress(country_code=country),
    )


def fees(*rates, currency="EUR"):
    return [
        ShippingRate(country_code=country, fee=money(fee, currency), free_from=free_from)
        for country, fee, free_from in rates
    ]


@st.composite
def priced(draw):
    """An order of random lines, with its price."""
    currency = draw(currencies)
    wanted = draw(st.lists(st.tuples(unit_prices, quantities, rates), min_size=1, max_size=20))
    order = cart(wanted, currency, included=draw(st.booleans()))
    coupon = draw(
        st.none()
        | st.builds(lambda ppm: Coupon(code="TEN", percentage_ppm=ppm), st.integers(1, 1_000_000))
        | st.builds(lambda off: Coupon(code="OFF", amount=money(off, currency)), st.integers(1, 10**13))
    )
    shipping = draw(st.lists(st.tuples(st.just("DE"), amounts, amounts), max_size=1))
    prices.price(order, fees(*shipping, currency=currency), coupon)
    return order


def refusal_of(reason, call, *given):
    with pytest.raises(Refusal) as refusal:
        call(*given)
    assert refusal.value.reason == reason
    return refusal.value.metadata


# The whole.


@given(priced())
def test_the_total_is_subtotal_less_discount_with_shipping_and_the_tax_that_is_not_included(order):
    added = 0 if order.tax_included else order.tax.minor_units
    assert order.total.minor_units == (
        order.subtotal.minor_units - order.discount.minor_units + order.shipping.minor_units + added
    )
    assert order.subtotal.minor_units == sum(
        line.quantity * line.unit_price.minor_units for line in order.lines
    )


@given(priced())
def test_the_lines_add_up_to_the_order_and_none_is_negative(order):
    assert sum(line.discount.minor_units for line in order.lines) == order.discount.minor_units
    assert sum(line.tax.minor_units for line in order.lines) == order.tax.minor_units
    for line in order.lines:
        assert 0 <= line.discount.minor_units <= line.quantity * line.unit_price.minor_units
        assert line.tax.minor_units >= 0
    assert order.total.minor_units >= 0


def added(part):
    """What a part of the total adds to it."""
    return part.gross.minor_units - part.discount.minor_units + part.tax.minor_units


@given(priced())
def test_the_total_is_made_of_what_each_line_costs_and_the_shipping(order):
    *goods, last = prices.breakdown(order)
    if order.shipping.minor_units:
        assert (last.product_id, added(last)) == ("", order.shipping.minor_units)
    else:
        goods.append(last)
    assert [added(part) for part in goods] == [
        prices.cost(line, order.tax_included, 0, line.quantity) for line in order.lines
    ]
    assert [part.product_id for part in goods] == [line.product_id for line in order.lines]
    assert sum(added(part) for part in prices.breakdown(order)) == order.total.minor_units


@given(priced())
def test_of_the_total_tax_and_discount_are_told_apart_and_nothing_is_negative(order):
    parts = prices.breakdown(order)
    assert sum(part.tax.minor_units for part in parts) == order.tax.minor_units
    assert sum(part.discount.minor_units for part in parts) == order.discount.minor_units
    taxes = order.tax.minor_units if order.tax_included else 0
    assert sum(part.gross.minor_units for part in parts) == (
        order.subtotal.minor_units - taxes + order.shipping.minor_units
    )
    for part in parts:
        assert min(part.gross.minor_units, part.discount.minor_units, part.tax.minor_units) >= 0
        currencies = {each.currency_code for each in (part.gross, part.discount, part.tax)}
        assert currencies == {order.total.currency_code}


@given(priced())
def test_every_sum_is_in_the_currency_of_the_lines(order):
    sums = [order.subtotal, order.discount, order.tax, order.shipping, order.total, order.refunded]
    sums += [each for line in order.lines for each in (line.unit_price, line.discount, line.tax)]
    assert {each.currency_code for each in sums} == {order.total.currency_code} != {""}


@given(priced())
def test_pricing_an_order_again_changes_nothing(order):
    again = Order.FromString(order.SerializeToString())
    fee = fees(("DE", order.shipping.minor_units, 0), currency=order.total.currency_code)
    off = order.discount.minor_units
    coupon = Coupon(code=order.coupon_code, amount=money(off, order.total.currency_code)) if off else None
    prices.price(again, fee, coupon)
    again.coupon_code = order.coupon_code
    assert again == order


# Rounding and spreading.


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**7), st.integers(1, 10**7))
@example(1, 1, 2)
@example(-1, 1, 2)
@example(5, 3, 10)
def test_rounds_to_the_nearest_and_half_away_from_zero(amount, numerator, denominator):
    exact = Fraction(amount * numerator, denominator)
    rounded = prices.rounded(amount, numerator, denominator)
    assert abs(rounded - exact) <= Fraction(1, 2)
    if abs(rounded - exact) == Fraction(1, 2):
        assert abs(rounded) > abs(exact)


@given(st.lists(amounts, min_size=1, max_size=100), st.data())
def test_a_discount_is_spread_to_the_cent_and_each_line_gets_its_share_within_a_cent(worth, data):
    amount = data.draw(st.integers(0, sum(worth)))
    shares = prices.spread(amount, worth)
    assert sum(shares) == amount
    for share, each in zip(shares, worth, strict=True):
        assert 0 <= share <= each
        assert not amount or abs(share - Fraction(amount * each, sum(worth))) < 1


def test_the_largest_remainder_gets_the_cent():
    assert prices.spread(10, [333, 333, 334]) == [3, 3, 4]
    assert prices.spread(1, [5, 5]) == [1, 0]


# Tax.


@given(amounts, amounts, rates, rates, st.booleans())
def test_tax_grows_with_the_amount_and_with_the_rate(amount, more, rate, higher, included):
    tax = prices.tax(amount, rate, included)
    assert 0 <= tax <= amount
    assert tax <= prices.tax(amount + more, rate, included)
    assert tax <= prices.tax(amount, max(rate, higher), included)


@given(amounts, rates)
def test_the_tax_within_a_price_is_the_tax_on_the_price_without_it(amount, rate):
    within = prices.tax(amount, rate, included=True)
    assert abs(prices.tax(amount - within, rate, included=False) - within) <= 1


def test_19_percent_of_119_and_on_100():
    assert prices.tax(11900, 190_000, included=True) == 1900
    assert prices.tax(10000, 190_000, included=False) == 1900


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["", "DE", "FR"]), st.sampled_from(["", "food", "books"])), rates
    )
)
def test_the_rate_of_country_and_class_is_used_then_the_countrys_then_the_classes_then_the_one_for_all(table):
    rate = prices.tax_rate(table, "DE", "food")
    best = [fit for fit in (("DE", "food"), ("DE", ""), ("", "food"), ("", "")) if fit in table]
    assert rate == (table[best[0]] if best else 0)


# Shipping.


def test_ships_at_the_countrys_fee_else_at_the_one_for_anywhere():
    rates = fees(("DE", 490, 0), ("", 1990, 0))
    assert prices.shipping(rates, "DE", "EUR", 100) == 490
    assert prices.shipping(rates, "FR", "EUR", 100) == 1990
    assert prices.shipping(rates, "", "EUR", 100) == 1990


def test_ships_free_from_a_sum_on_and_never_from_nothing():
    assert prices.shipping(fees(("", 490, 5000)), "DE", "EUR", 4999) == 490
    assert prices.shipping(fees(("", 490, 5000)), "DE", "EUR", 5000) == 0
    assert prices.shipping(fees(("", 490, 0)), "DE", "EUR", 5000) == 490


def test_a_store_without_rates_in_the_currency_asks_nothing():
    assert prices.shipping([], "DE", "EUR", 100) == 0
    assert prices.shipping(fees(("DE", 490, 0), currency="USD"), "DE", "EUR", 100) == 0


def test_refuses_a_country_that_no_rate_fits():
    reason = ErrorReason.ERROR_REASON_SHIPPING_UNAVAILABLE
    assert refusal_of(reason, prices.shipping, fees(("DE", 490, 0)), "FR", "EUR", 100) == {
        "country_code": "FR"
    }


def test_what_a_coupon_takes_off_counts_against_free_shipping():
    order = cart([(5000, 1, 0)])
    prices.price(order, fees(("", 490, 5000)), Coupon(percentage_ppm=1))
    assert order.shipping.minor_units == 0  # A millionth of 50.00 is nothing.
    prices.price(order, fees(("", 490, 5000)), Coupon(percentage_ppm=100))
    assert order.shipping.minor_units == 490


# Coupons.


@given(amounts, st.integers(1, 10**10), st.integers(1, 1_000_000))
def test_a_coupon_takes_off_at_most_everything(subtotal, amount, ppm):
    goods = money(subtotal)
    assert prices.discount(Coupon(amount=money(amount)), goods) == min(amount, subtotal)
    assert 0 <= prices.discount(Coupon(percentage_ppm=ppm), goods) <= subtotal


@pytest.mark.parametrize(
    ("cause", "coupon"),
    [
        ("disabled", Coupon(disabled=True, percentage_ppm=1)),
        ("not_begun", Coupon(percentage_ppm=1, begin_time=timestamp(NOW + timedelta(microseconds=1)))),
        ("ended", Coupon(percentage_ppm=1, end_time=timestamp(NOW))),
        ("currency", Coupon(amount=money(1, "USD"))),
        ("currency", Coupon(percentage_ppm=1, minimum=money(1, "USD"))),
        ("minimum", Coupon(percentage_ppm=1, minimum=money(1001))),
    ],
)
def test_refuses_a_coupon_that_does_not_apply_and_says_why(cause, coupon):
    coupon.code = "TEN"
    reason = ErrorReason.ERROR_REASON_COUPON_NOT_APPLICABLE
    said = refusal_of(reason, prices.check_coupon, coupon, money(1000), NOW, 0)
    assert said == {"code": "TEN", "cause": cause}


@pytest.mark.parametrize(
    ("of", "coupon"),
    [("everybody", Coupon(limit=3, used=3)), ("customer", Coupon(limit=9, used=3, customer_limit=2))],
)
def test_refuses_a_coupon_that_is_used_up_and_says_by_whom(of, coupon):
    coupon.code, coupon.percentage_ppm = "TEN", 1
    said = refusal_of(ErrorReason.ERROR_REASON_COUPON_USED_UP, prices.check_coupon, coupon, money(1), NOW, 2)
    assert said == {"code": "TEN", "limit": str(coupon.limit if of == "everybody" else 2), "of": of}


def test_takes_a_coupon_at_its_first_moment_for_exactly_the_minimum_and_one_time_less_than_its_limits():
    coupon = Coupon(
        amount=money(500),
        begin_time=timestamp(NOW),
        end_time=timestamp(NOW + timedelta(microseconds=1)),
        minimum=money(1000),
        limit=3,
        used=2,
        customer_limit=2,
    )
    prices.check_coupon(coupon, money(1000), NOW, 1)
    prices.check_coupon(Coupon(percentage_ppm=1, used=10**6), money(0, "KWD"), NOW, 10**6)


# What comes back.


@given(unit_prices, quantities, rates, st.integers(0, 10**6), st.booleans(), st.data())
def test_however_units_are_split_into_returns_the_refunds_add_up_to_what_was_paid(
    price, quantity, rate, off_ppm, included, data
):
    order = cart([(price, quantity, rate)], included=included)
    prices.price(order, [], Coupon(percentage_ppm=off_ppm))
    (bought,) = order.lines
    returned = refunded = 0
    while returned < quantity:
        units = data.draw(st.integers(1, quantity - returned) | st.just(quantity - returned))
        refund = prices.cost(bought, included, returned, units)
        assert refund >= 0
        assert abs(refund - Fraction(order.total.minor_units * units, quantity)) <= 1
        returned, refunded = returned + units, refunded + refund
    assert refunded == order.total.minor_units


@given(priced())
def test_when_everything_comes_back_so_does_everything_that_was_paid(order):
    refunds = [prices.cost(line, order.tax_included, 0, line.quantity) for line in order.lines]
    assert sum(refunds) + order.shipping.minor_units == order.total.minor_units


# Lines.


def product(**given):
    values = {"product_id": "x", "sku": "S", "name": "Tea", "price_minor_units": 250, "currency_code": "EUR"}
    return values | {"archived": False, "tax_class": ""} | given


def test_lines_are_snapshots_at_the_catalogs_price_with_the_rate_of_their_class():
    settings = OrderSettings(
        tax_rates=[
            TaxRate(country_code="DE", tax_class="food", rate_ppm=70_000),
            TaxRate(country_code="DE", rate_ppm=190_000),
            TaxRate(country_code="FR", tax_class="food", rate_ppm=55_000),
        ]
    )
    wanted = [CreateOrderLine(product_id="X", quantity=2), CreateOrderLine(product_id="y", quantity=1)]
    products = {"x": product(tax_class="food"), "y": product(product_id="y", tax_class="books")}
    tea, other = prices.lines(wanted, products, settings, "DE")
    assert (tea.product_id, tea.sku, tea.name, tea.quantity) == ("x", "S", "Tea", 2)
    assert tea.unit_price == money(250)
    assert (tea.tax_rate_ppm, other.tax_rate_ppm) == (70_000, 190_000)


def test_a_tax_class_is_the_same_in_small_letters_and_capitals():
    settings = OrderSettings(
        tax_rates=[TaxRate(tax_class="Food", rate_ppm=70_000), TaxRate(tax_class="BÜCHER", rate_ppm=50_000)],
        shipping_tax_class="FOOD",
    )
    wanted = [CreateOrderLine(product_id=product_id, quantity=1) for product_id in "xy"]
    products = {"x": product(tax_class="food"), "y": product(product_id="y", tax_class="Bücher")}
    rates = [each.tax_rate_ppm for each in prices.lines(wanted, products, settings, "DE")]
    assert rates == [70_000, 50_000]
    assert prices.shipping_tax_rate(settings, "DE") == 70_000


def test_a_product_that_is_not_known_or_no_longer_sold_is_named():
    wanted = [CreateOrderLine(product_id="x", quantity=1)]
    for reason, products in (
        (ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, {}),
        (ErrorReason.ERROR_REASON_PRODUCT_ARCHIVED, {"x": product(archived=True)}),
    ):
        said = refusal_of(reason, prices.lines, wanted, products, OrderSettings(), "DE")
        assert said == {"product_id": "x"}


def test_refuses_lines_in_two_currencies():
    reason = ErrorReason.ERROR_REASON_ORDER_CURRENCIES_MIXED
    said = refusal_of(reason, prices.subtotal, [line(1, currency="EUR"), line(1, currency="USD")])
    assert said == {"currencies": "EUR,USD"}


def test_refuses_a_total_beyond_any_payment_whatever_makes_it_so():
    reason, largest = ErrorReason.ERROR_REASON_ORDER_TOTAL_TOO_LARGE, prices.LARGEST_TOTAL
    refusal_of(reason, prices.price, cart([(largest, 2, 0)]), [])
    refusal_of(reason, prices.price, cart([(largest, 1, 1)]), [])
    refusal_of(reason, prices.price, cart([(largest, 1, 0)]), fees(("", 1, 0)))
    prices.price(cart([(largest, 1, 0)]), [])
