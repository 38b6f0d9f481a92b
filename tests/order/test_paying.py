"""What an order's payment is told of it, and what becomes of an order whose payment is refused."""

import pytest
from commerce.order.v1.order_events_pb2 import OrderPaymentFailed
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.settings_service_pb2 import (
    GatewayRule,
    PaymentSettings,
    SetPaymentSettingsRequest,
)

from tests.order.asks import order_of, steps_of
from tests.order.deals import held_back, new_coupon, set_up, ships, sums, tax
from tests.payment.wallet import Wallet
from tests.shop import new_id


@pytest.mark.parametrize("included", [True, False])
async def test_the_payment_knows_what_the_total_is_made_of(shop, included):
    """Of 2 × 9.99 and 0.35 a third is taken off; the tax is within the prices, or added to them."""
    await set_up(shop, tax_rates=[tax(190_000)], tax_included=included, shipping_rates=[ships(490)])
    await new_coupon(shop, "THIRD", percentage_ppm=333_333)
    first, second = await shop.product(price=999), await shop.product(price=35)
    order_id = await shop.order([(first, 2), (second, 1)], until="CONFIRMED", coupon_code="THIRD")
    order = await order_of(shop, order_id)

    payment = (await shop.payments.GetPayment(GetPaymentRequest(payment_id=order.payment_id))).payment

    told = {
        line.product_id: (line.gross.minor_units, line.discount.minor_units, line.tax.minor_units)
        for line in payment.lines
    }
    inside, outside = (1998 - 213, 666, 213), (1998, 666, 253)
    assert told[first] == (inside if included else outside)
    assert list(told) == [first, second, ""]
    assert told[""] == (490, 0, 0)
    assert sum(gross - off + added for gross, off, added in told.values()) == sums(order)["total"]


async def test_an_order_that_cannot_be_paid_so_fails_at_once_and_says_why(shop):
    """The store takes dollars only."""
    rule = GatewayRule(currency_code="USD", gateways=["sandbox"])
    settings = PaymentSettings(gateway_rules=[rule])
    request = SetPaymentSettingsRequest(store_id=shop.store_id, settings=settings, request_id=new_id())
    await shop.payment_settings.SetPaymentSettings(request)
    order_id = await shop.order(method="hosted")

    await _failed(shop, order_id, "GATEWAY_UNKNOWN")


async def test_an_order_whose_saved_method_is_gone_before_it_is_paid_fails_and_says_why(shop):
    product, wallet = await shop.product(), Wallet(shop, await shop.customer())
    saved = await wallet.save()
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], saved.payment_method_id, wallet.customer_id)
        await wallet.remove(saved.payment_method_id)

    await _failed(shop, order_id, "PAYMENT_METHOD_NOT_FOUND")


async def _failed(shop, order_id, reason):
    await shop.until(order_id, "PAYMENT_FAILED")

    order = await order_of(shop, order_id)
    assert (order.reason, order.payment_id) == (reason, "")
    assert await steps_of(shop, order_id) == ["create", "reserve", "decline"]
    assert [event.reason for event in await shop.published(OrderPaymentFailed)] == [reason]
