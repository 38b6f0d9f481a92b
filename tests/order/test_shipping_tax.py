"""The tax within a shipping fee: shown, booked and given back by the store's rule, to the cent."""

import pytest
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest

from tests.order.asks import create, given_back, order_of, take_back
from tests.order.deals import apply, get_settings, held_back, new_coupon, preview, set_up, ships, tax, to
from tests.payment.till import Till, said
from tests.shop import eventually

BOOKS = """
SELECT account, sum(credit_minor_units - debit_minor_units)::int AS balance FROM payment.ledger_entries
WHERE store_id = $1 GROUP BY account
"""


async def books(shop):
    return {row["account"]: row["balance"] for row in await shop.clients.rows(BOOKS, shop.store_id)}


async def captured(shop, order_id):
    asked = GetPaymentRequest(payment_id=(await order_of(shop, order_id)).payment_id)

    async def there():
        payment = (await shop.payments.GetPayment(asked)).payment
        return payment if said(payment) == "CAPTURED" else None

    return await eventually(there)


async def test_is_shown_by_preview_and_order_and_changes_no_total(shop):
    """7 % on top of 99.99, and within 4.90."""
    await set_up(shop, tax_rates=[tax(70_000)], shipping_rates=[ships(490)], shipping_tax_class="")
    product, customer = await shop.product(price=9999), await shop.customer()

    seen = (await shop.orders.PreviewOrder(preview(shop, customer, (product, 1)))).order
    placed = (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order

    for order in (seen, placed, await order_of(shop, placed.order_id)):
        assert (order.shipping.minor_units, order.shipping_tax.minor_units) == (490, 32)
        assert order.shipping_tax_rate_ppm == 70_000
        assert (order.tax.minor_units, order.total.minor_units) == (700, 9999 + 700 + 490)


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("mode", ["whole", "parts"])
async def test_is_booked_as_tax_and_comes_back_with_the_fee(shop, included, mode):
    await set_up(
        shop,
        tax_included=included,
        tax_rates=[tax(70_000), tax(190_000, "", "post")],
        shipping_rates=[ships(490)],
        shipping_tax_class="post",
    )
    product = await shop.product(price=3333)
    order_id = await shop.order([(product, 3)], state="DELIVERED")
    payment = await captured(shop, order_id)
    order = await order_of(shop, order_id)
    assert order.shipping_tax.minor_units == 78
    shown = payment.lines[-1]
    assert (shown.product_id, shown.gross.minor_units, shown.tax.minor_units) == ("", 490 - 78, 78)
    booked = await books(shop)
    assert (booked["tax"], booked["shipping"]) == (order.tax.minor_units + 78, 490 - 78)

    for units in (3,) if mode == "whole" else (1, 1, 1):
        await shop.orders.ReturnOrder(take_back(order_id, (product, units)))

    assert (await given_back(shop, order_id)).refunded == order.total
    booked = await books(shop)
    assert (booked["tax"], booked["shipping"], sum(booked.values())) == (0, 0, 0)
    await Till(shop).agrees(payment)


@pytest.mark.parametrize(
    ("given", "country", "within"),
    [
        ({}, "DE", 0),
        ({"shipping_tax_class": "post"}, "DE", 78),
        ({"shipping_tax_class": "post"}, "FR", 45),
        ({"shipping_tax_class": "none such"}, "FR", 45),
        ({"shipping_tax_class": "free"}, "DE", 0),
    ],
)
async def test_the_rate_is_that_of_the_class_where_it_goes(shop, given, country, within):
    rates = [tax(100_000), tax(190_000, "DE"), tax(0, "DE", "free")]
    settings = await set_up(shop, tax_rates=rates, shipping_rates=[ships(490)], **given)
    assert (await shop.settings.GetOrderSettings(get_settings(shop))).settings == settings
    cart, customer = (await shop.product(price=1000), 1), await shop.customer()

    seen = (await shop.orders.PreviewOrder(preview(shop, customer, cart, delivery_address=to(country)))).order

    assert seen.shipping_tax.minor_units == within


async def test_free_shipping_has_none_also_when_a_coupon_takes_that_away(shop):
    await set_up(
        shop, tax_rates=[tax(190_000)], shipping_rates=[ships(490, free_from=1000)], shipping_tax_class=""
    )
    await new_coupon(shop, "TEN")
    product, customer = await shop.product(price=1000), await shop.customer()
    async with held_back(shop, product):
        order = (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order
        assert (order.shipping.minor_units, order.shipping_tax.minor_units) == (0, 0)

        order = (await shop.orders.ApplyCoupon(apply(order.order_id))).order

        assert (order.shipping.minor_units, order.shipping_tax.minor_units) == (490, 78)
        assert (await order_of(shop, order.order_id)).shipping_tax.minor_units == 78
