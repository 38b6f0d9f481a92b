"""CreateOrder's expected_total: the customer pays what they were shown, or nothing."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderCreated

from tests.order.asks import create, order_of
from tests.order.deals import costs, money, new_coupon, preview, set_up, ships, tax, to, used
from tests.shop import new_id, refused


async def shown(shop, customer, cart, **given):
    """What the customer sees before they order."""
    return (await shop.orders.PreviewOrder(preview(shop, customer, *cart, **given))).order.total


async def test_an_order_that_costs_what_was_shown_is_placed_whatever_it_is_made_of(shop):
    await set_up(shop, tax_rates=[tax(190_000)], shipping_rates=[ships(490, "DE")])
    await new_coupon(shop, "TEN")
    cart, customer = [(await shop.product(price=1999), 3)], await shop.customer()
    given = {"delivery_address": to("DE"), "coupon_code": "TEN"}
    total = await shown(shop, customer, cart, **given)

    order = (
        await shop.orders.CreateOrder(create(shop, customer, *cart, expected_total=total, **given))
    ).order

    assert order.total == total


async def test_a_price_that_changed_meanwhile_refuses_the_order_with_both_sums(shop):
    product, customer = await shop.product(price=2000), await shop.customer()
    total = await shown(shop, customer, [(product, 1)])
    await costs(shop, product, 9900)

    with refused(
        ErrorReason.ERROR_REASON_ORDER_TOTAL_CHANGED,
        expected_minor_units="2000",
        expected_currency_code="EUR",
        total_minor_units="9900",
        total_currency_code="EUR",
    ):
        await shop.orders.CreateOrder(create(shop, customer, (product, 1), expected_total=total))

    assert await shop.published(OrderCreated) == []


@pytest.mark.parametrize("change", ["tax", "shipping", "coupon", "currency"])
async def test_whatever_else_changed_refuses_it_too_and_uses_no_coupon(shop, change):
    await set_up(shop, tax_rates=[tax(70_000)], shipping_rates=[ships(490)])
    coupon = await new_coupon(shop, "ONCE", limit=1)
    product, customer = await shop.product(price=2000), await shop.customer()
    total = await shown(shop, customer, [(product, 1)], coupon_code="ONCE")
    given = {"expected_total": total, "coupon_code": "ONCE"}
    if change == "tax":
        await set_up(shop, tax_rates=[tax(190_000)], shipping_rates=[ships(490)])
    if change == "shipping":
        await set_up(shop, tax_rates=[tax(70_000)], shipping_rates=[ships(590)])
    if change == "coupon":
        given["coupon_code"] = ""
    if change == "currency":
        given["expected_total"] = money(total.minor_units, "USD")

    with refused(ErrorReason.ERROR_REASON_ORDER_TOTAL_CHANGED):
        await shop.orders.CreateOrder(create(shop, customer, (product, 1), **given))

    assert await used(shop, coupon) == 0
    placed = await shop.orders.CreateOrder(create(shop, customer, (product, 1), coupon_code="ONCE"))
    assert placed.order.coupon_code == "ONCE"


async def test_a_price_that_changes_before_the_units_are_reserved_charges_nothing(shop):
    """The order service still knows the old price; the catalog does not reserve at it."""
    product, customer = await shop.product(price=2000), await shop.customer()
    await shown(shop, customer, [(product, 1)])
    await shop.clients.rows(
        "UPDATE catalog.products SET price_minor_units = 9900 WHERE product_id = $1", product
    )

    placed = await shop.orders.CreateOrder(create(shop, customer, (product, 1), expected_total=money(2000)))

    await shop.until(placed.order.order_id, "REJECTED")
    order = await order_of(shop, placed.order.order_id)
    assert (order.reason.split()[0], order.payment_id) == ("PRODUCT_PRICE_CHANGED", "")


async def test_what_was_shown_is_no_sum_below_nothing(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.CreateOrder(create(shop, new_id(), (new_id(), 1), expected_total=money(-1)))
    assert set(said.violations) == {"expected_total"}


async def test_a_browser_is_told_both_sums(shop):
    product, customer = await shop.product(price=9900), await shop.customer()
    order = {
        "customerId": customer,
        "lines": [{"productId": product, "quantity": 1}],
        "paymentMethod": "pm_sandbox_ok",
        "expectedTotal": {"currencyCode": "EUR", "minorUnits": "2000"},
        "requestId": new_id(),
    }
    reply = await shop.rest("POST", f"/v1/stores/{shop.store_id}/orders", order)
    assert reply.status == 400
    assert (
        "ORDER_TOTAL_CHANGED" in str(reply.body) and "9900" in str(reply.body) and "2000" in str(reply.body)
    )
