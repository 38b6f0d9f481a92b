"""Real orders, paid for with what their customers have saved."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_service_pb2 import GetOrderRequest
from commerce.payment.v1.payment_service_pb2 import ListCustomerPaymentsRequest

from tests.payment.wallet import Wallet, new_token
from tests.shop import Shop, refused

NOBODYS = "0197a3c2-8d1e-7c4b-9f00-1a2b3c4d5e6f"


@pytest.fixture
async def wallet(clients):
    shop = Shop(clients)
    return Wallet(shop, await shop.customer())


@pytest.mark.parametrize("by", ["id", "default"])
async def test_an_order_is_paid_for_by_a_saved_method(wallet, by):
    shop, token = wallet.shop, new_token()
    saved = await wallet.save(token)

    method = saved.payment_method_id if by == "id" else "default"
    order_id = await shop.order(customer=wallet.customer_id, method=method, until="CONFIRMED")

    order = (await shop.orders.GetOrder(GetOrderRequest(order_id=order_id))).order
    request = ListCustomerPaymentsRequest(customer_id=wallet.customer_id)
    (payment,) = (await shop.payments.ListCustomerPayments(request)).payments
    assert (payment.order_id, payment.payment_id) == (order_id, order.payment_id)
    assert payment.payment_method == token


@pytest.mark.parametrize("method", ["default", NOBODYS])
async def test_an_order_whose_customer_has_saved_no_such_method_is_refused(wallet, method):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await wallet.shop.order(customer=wallet.customer_id, method=method)
    assert set(said.violations) == {"payment_method"}


@pytest.mark.parametrize("method", ["", "4111111111111111", "1-2", f"{NOBODYS}x", f"{NOBODYS} ", "pm-x"])
async def test_refuses_what_is_no_method_and_names_the_field(wallet, method):
    product = await wallet.shop.product()
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await wallet.shop.order([(product, 1)], customer=wallet.customer_id, payment_method=method)
    assert set(said.violations) == {"payment_method"}
