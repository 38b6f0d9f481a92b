"""Orders that cost nothing: they are paid for at once, whatever the store waits for, and no provider is asked."""

import pytest
from commerce.payment.v1.payment_pb2 import CaptureMode
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.settings_service_pb2 import PaymentSettings, SetPaymentSettingsRequest

from tests.order.asks import cancel, order_of, state_of, take_back
from tests.order.deals import new_coupon
from tests.payment.till import Till, done, said
from tests.shop import eventually, new_id


async def captures(shop, mode):
    settings = PaymentSettings(capture_mode=CaptureMode.Value(f"CAPTURE_MODE_{mode}"))
    request = SetPaymentSettingsRequest(store_id=shop.store_id, settings=settings, request_id=new_id())
    await shop.payment_settings.SetPaymentSettings(request)


async def payment_until(shop, order_id, state):
    """The payment of an order once it has come to a state, with nothing open."""
    asked = GetPaymentRequest(payment_id=(await order_of(shop, order_id)).payment_id)

    async def there():
        payment = (await shop.payments.GetPayment(asked)).payment
        settled = not {"PENDING", "UNKNOWN", "WAITING"} & {word for _, word in done(payment)}
        return payment if settled and said(payment) == state else None

    return await eventually(there)


async def free(shop, **given):
    """An order of two units that a coupon gives away."""
    if not (await shop.rest("GET", f"/v1/stores/{shop.store_id}/coupons")).body.get("coupons"):
        await new_coupon(shop, "GIFT", percentage_ppm=1_000_000)
    product = await shop.product(price=1000)
    return product, await shop.order([(product, 2)], coupon_code="gift", **given)


@pytest.mark.parametrize("mode", ["ON_ACCEPTANCE", "AT_ONCE", "ON_SHIPMENT", "MANUAL"])
async def test_is_captured_in_every_mode_before_it_is_sent_and_after(shop, mode):
    await captures(shop, mode)
    _, confirmed = await free(shop, until="CONFIRMED")
    product, delivered = await free(shop, state="DELIVERED")

    for order_id in (confirmed, delivered):
        payment = await payment_until(shop, order_id, "CAPTURED")
        assert done(payment) == [("authorize", "SUCCEEDED"), ("capture", "SUCCEEDED")]
        assert (payment.amount.minor_units, payment.captured.minor_units) == (0, 0)
        assert not payment.HasField("expire_time")
        assert await Till(shop).book(payment) == []

    await shop.orders.ReturnOrder(take_back(delivered, (product, 2)))
    await shop.orders.CancelOrder(cancel(confirmed))
    assert await state_of(shop, delivered) == "RETURNED"
    await payment_until(shop, confirmed, "REFUNDED")
    await payment_until(shop, delivered, "CAPTURED")
    books = "SELECT FROM payment.ledger_entries WHERE store_id = $1"
    assert await shop.clients.rows(books, shop.store_id) == []
