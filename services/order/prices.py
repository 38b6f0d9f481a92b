"""What an order costs, what a coupon takes off it, what some of its units cost: pure, in whole minor units."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.coupon_pb2 import Coupon
from commerce.order.v1.order_pb2 import Order, OrderLine
from commerce.order.v1.order_service_pb2 import CreateOrderLine
from commerce.order.v1.settings_service_pb2 import OrderSettings, ShippingRate
from commerce.payment.v1.payment_pb2 import PaymentLine

from services.runtime.refusals import Refusal

LARGEST_TOTAL = 1_000_000_000_000_000
MILLION = 1_000_000


def rounded(amount: int, numerator: int, denominator: int) -> int:
    """Return amount × numerator / denominator, half away from zero: the only place where money is rounded."""
    doubled = 2 * amount * numerator
    if doubled < 0:
        return -rounded(-amount, numerator, denominator)
    return (doubled + denominator) // (2 * denominator)


def lines(
    wanted: Sequence[CreateOrderLine],
    products: Mapping[str, Mapping[str, Any]],
    settings: OrderSettings,
    country: str,
) -> list[OrderLine]:
    """Snapshot what is wanted, at the catalog's names and prices and the store's rates of tax.

    Refused with PRODUCT_NOT_FOUND or PRODUCT_ARCHIVED.
    """
    rates = _tax_rates(settings)
    snapshot = []
    for line in wanted:
        product = _sold(line.product_id, products)
        code = product["currency_code"]
        nothing = Money(currency_code=code, minor_units=0)
        snapshot.append(
            OrderLine(
                product_id=str(product["product_id"]),
                sku=product["sku"],
                name=product["name"],
                quantity=line.quantity,
                unit_price=Money(currency_code=code, minor_units=product["price_minor_units"]),
                discount=nothing,
                tax=nothing,
                tax_rate_ppm=tax_rate(rates, country, product["tax_class"]) if rates else 0,
            )
        )
    return snapshot


def shipping_tax_rate(settings: OrderSettings, country: str) -> int:
    """Return the rate of the tax within the shipping fee; 0 when the store says nothing of it."""
    if not settings.HasField("shipping_tax_class"):
        return 0
    return tax_rate(_tax_rates(settings), country, settings.shipping_tax_class)


def tax_rate(rates: Mapping[tuple[str, str], int], country: str, tax_class: str) -> int:
    """Return the rate that fits best, of those by country and class in small letters ("" for any); 0 when none fits."""
    small = tax_class.casefold()
    for fit in ((country, small), (country, ""), ("", small), ("", "")):
        if fit in rates:
            return rates[fit]
    return 0


def price(order: Order, shipping_rates: Iterable[ShippingRate], coupon: Coupon | None = None) -> None:
    """Fill in what an order costs that has its lines, and whether their prices include the tax.

    subtotal - discount + shipping, and tax where it is not included, is the total. Refused with
    ORDER_CURRENCIES_MIXED, ORDER_TOTAL_TOO_LARGE or SHIPPING_UNAVAILABLE.
    """
    goods = subtotal(order.lines)
    off = discount(coupon, goods) if coupon else 0
    taxed = 0
    worth = [line.quantity * line.unit_price.minor_units for line in order.lines]
    for line, amount, share in zip(order.lines, worth, spread(off, worth), strict=True):
        line.discount.minor_units = share
        line.tax.minor_units = tax(amount - share, line.tax_rate_ppm, order.tax_included)
        taxed += line.tax.minor_units
    code, left = goods.currency_code, goods.minor_units - off
    fee = shipping(shipping_rates, order.delivery_address.country_code, code, left)
    order.subtotal.CopyFrom(goods)
    for field, amount in (
        (order.discount, off),
        (order.tax, taxed),
        (order.shipping, fee),
        (order.shipping_tax, tax(fee, order.shipping_tax_rate_ppm, included=True)),
        (order.total, _payable(left + fee + (0 if order.tax_included else taxed))),
        (order.refunded, 0),
    ):
        field.currency_code, field.minor_units = code, amount
    order.coupon_code = coupon.code if coupon else ""


def check_total(order: Order, expected: Money) -> None:
    """Refuse an order that costs another sum than its customer was shown. Refused with ORDER_TOTAL_CHANGED."""
    if order.total != expected:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_TOTAL_CHANGED,
            "The order costs another sum than expected_total",
            expected_minor_units=expected.minor_units,
            expected_currency_code=expected.currency_code,
            total_minor_units=order.total.minor_units,
            total_currency_code=order.total.currency_code,
        )


def subtotal(bought: Iterable[OrderLine]) -> Money:
    """Sum lines. Refused when currencies are mixed, or the sum is beyond any payment."""
    sums: dict[str, int] = {}
    for line in bought:
        code = line.unit_price.currency_code
        sums[code] = sums.get(code, 0) + line.quantity * line.unit_price.minor_units
    if len(sums) != 1:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_CURRENCIES_MIXED,
            "The lines are priced in different currencies",
            currencies=",".join(sorted(sums)),
        )
    ((code, amount),) = sums.items()
    return Money(currency_code=code, minor_units=_payable(amount))


def discount(coupon: Coupon, goods: Money) -> int:
    """Return what a coupon takes off a subtotal."""
    if coupon.WhichOneof("kind") == "amount":
        return min(coupon.amount.minor_units, goods.minor_units)
    return rounded(goods.minor_units, coupon.percentage_ppm, MILLION)


def spread(amount: int, worth: Sequence[int]) -> list[int]:
    """Spread an amount over lines by their worth, by largest remainder: no share is larger than its line.

    Of equal remainders the first line's comes first.
    """
    whole = sum(worth)
    if not amount:
        return [0] * len(worth)
    shares = [amount * each // whole for each in worth]
    by_remainder = sorted(range(len(worth)), key=lambda n: -(amount * worth[n] % whole))
    for n in by_remainder[: amount - sum(shares)]:
        shares[n] += 1
    return shares


def tax(amount: int, rate_ppm: int, included: bool) -> int:
    """Return the tax on an amount: the part of it that is tax, or what is added to it."""
    return rounded(amount, rate_ppm, MILLION + rate_ppm if included else MILLION)


def shipping(rates: Iterable[ShippingRate], country: str, currency: str, goods: int) -> int:
    """Return the fee for goods of this worth after the discount. Refused with SHIPPING_UNAVAILABLE."""
    fitting = {rate.country_code: rate for rate in rates if rate.fee.currency_code == currency}
    if not fitting:
        return 0
    rate = fitting.get(country) or fitting.get("")
    if rate is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_SHIPPING_UNAVAILABLE,
            f"The store does not send orders in {currency} to {country or 'an unknown country'}",
            country_code=country,
        )
    return 0 if 0 < rate.free_from <= goods else rate.fee.minor_units


def check_coupon(coupon: Coupon, goods: Money, now: datetime, customers_uses: int) -> None:
    """Refuse a coupon that an order of this subtotal may not use now, one more time.

    Refused with COUPON_NOT_APPLICABLE or COUPON_USED_UP.
    """
    causes = {
        "disabled": coupon.disabled,
        "not_begun": coupon.HasField("begin_time") and now < coupon.begin_time.ToDatetime(tzinfo=UTC),
        "ended": coupon.HasField("end_time") and now >= coupon.end_time.ToDatetime(tzinfo=UTC),
        "currency": bool(
            {coupon.amount.currency_code, coupon.minimum.currency_code} - {"", goods.currency_code}
        ),
        "minimum": goods.minor_units < coupon.minimum.minor_units,
    }
    for cause in (cause for cause, holds in causes.items() if holds):
        raise Refusal(
            ErrorReason.ERROR_REASON_COUPON_NOT_APPLICABLE,
            f"The coupon {coupon.code} does not apply: {cause.replace('_', ' ')}",
            code=coupon.code,
            cause=cause,
        )
    for of, limit, uses in (
        ("everybody", coupon.limit, coupon.used),
        ("customer", coupon.customer_limit, customers_uses),
    ):
        if 0 < limit <= uses:
            raise Refusal(
                ErrorReason.ERROR_REASON_COUPON_USED_UP,
                f"The coupon {coupon.code} was used as often as it may be",
                code=coupon.code,
                limit=limit,
                of=of,
            )


def breakdown(order: Order) -> list[PaymentLine]:
    """Return what the total is made of, for the books: gross - discount + tax of each line, shipping last if any."""
    code = order.total.currency_code
    parts = []
    for line in order.lines:
        tax = line.tax.minor_units
        gross = line.quantity * line.unit_price.minor_units - (tax if order.tax_included else 0)
        parts.append((line.product_id, gross, line.discount.minor_units, tax))
    if order.shipping.minor_units:
        within = order.shipping_tax.minor_units
        parts.append(("", order.shipping.minor_units - within, 0, within))
    return [
        PaymentLine(
            product_id=product_id,
            gross=Money(currency_code=code, minor_units=gross),
            discount=Money(currency_code=code, minor_units=off),
            tax=Money(currency_code=code, minor_units=tax),
        )
        for product_id, gross, off, tax in parts
    ]


def cost(line: OrderLine, tax_included: bool, before: int, quantity: int) -> int:
    """Return what so many units of a line cost, in minor units, when others were counted before.

    However the units are split into parcels or returns, they add up to what was paid for the line.
    """
    paid = line.quantity * line.unit_price.minor_units - line.discount.minor_units
    if not tax_included:
        paid += line.tax.minor_units
    return rounded(paid, before + quantity, line.quantity) - rounded(paid, before, line.quantity)


def _tax_rates(settings: OrderSettings) -> dict[tuple[str, str], int]:
    return {(rate.country_code, rate.tax_class.casefold()): rate.rate_ppm for rate in settings.tax_rates}


def _sold(product_id: str, products: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    product = products.get(product_id.lower())
    if product is None:
        reason, message = ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, f"There is no product {product_id}"
        raise Refusal(reason, message, product_id=product_id)
    if product["archived"]:
        reason, message = ErrorReason.ERROR_REASON_PRODUCT_ARCHIVED, f"{product['name']} is no longer sold"
        raise Refusal(reason, message, product_id=product_id)
    return product


def _payable(amount: int) -> int:
    if amount > LARGEST_TOTAL:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_TOTAL_TOO_LARGE, "The total is too large", limit=LARGEST_TOTAL
        )
    return amount
