"""Returns of real orders: what comes back at the door goes back on the card, once."""

from commerce.payment.v1.payment_events_pb2 import PaymentRefunded
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest

from tests.order.asks import given_back, take_back
from tests.payment.till import Till, at_once, refunds, said
from tests.shop import Shop, eventually


async def test_every_return_of_an_order_is_refunded_until_nothing_is_left(clients):
    shop = Shop(clients)
    till = Till(shop)
    product = await shop.product(price=700)
    order_id = await shop.order([(product, 3)], state="DELIVERED")

    await at_once(*(shop.orders.ReturnOrder(take_back(order_id, (product, 1))) for _ in range(3)))

    order = await given_back(shop, order_id)

    async def all_refunded():
        asked = GetPaymentRequest(payment_id=order.payment_id)
        found = (await shop.payments.GetPayment(asked)).payment
        return found if found.refunded == order.refunded else None

    payment = await eventually(all_refunded)
    assert (said(payment), refunds(payment)) == ("REFUNDED", [(700, "SUCCEEDED")] * 3)
    ids = {each.return_id for each in order.returns}
    rows = await clients.rows(
        "SELECT request_id::text FROM payment.operations WHERE payment_id = $1 AND kind = 'refund'",
        payment.payment_id,
    )
    assert {row["request_id"] for row in rows} == ids
    assert len(await shop.published(PaymentRefunded)) == 3
    await till.agrees(payment)
