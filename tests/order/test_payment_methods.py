"""What CreateOrder takes as a payment method: what some gateway takes, as long as anybody can tell."""

import asyncio
import re

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_service_pb2 import ListGatewaysRequest

from services.sandbox.rules import METHODS
from tests.order.asks import create, name
from tests.order.operations import stopped
from tests.payment.wallet import Wallet
from tests.shop import eventually, new_id, refused

INVALID = ErrorReason.ERROR_REASON_INVALID_ARGUMENT
UNKNOWN = [
    "visa",
    "Default",
    "pm_",
    "pm_sandbox_",
    "pm_sandbox_nope",
    "pm_sandbox_ok_AB",
    "pm_sandbox_ok_a_b",
    "pm_sandbox_okay",
    "pm_Sandbox_ok",
    "pm_stripe_pm_card_visa",
    "pm_nobody_takes",
    "sandbox_ok",
]


@pytest.mark.parametrize("method", UNKNOWN)
async def test_refuses_a_method_that_nobody_takes_at_once_and_names_the_field(shop, method):
    request = create(shop, await shop.customer(), (await shop.product(), 1), method=method)

    with refused(INVALID) as said:
        await shop.orders.CreateOrder(request)

    assert said.violations.keys() == {"payment_method"}
    assert await shop.published() == []


@pytest.mark.parametrize("method", ["hosted", "pm_sandbox_slow", "pm_sandbox_ok_ab12"])
async def test_takes_what_a_gateway_takes(shop, method):
    request = create(shop, await shop.customer(), (await shop.product(), 1), method=method)
    assert name((await shop.orders.CreateOrder(request)).order.state) == "PENDING"


async def test_takes_what_the_customer_has_saved_and_nothing_that_others_have_or_that_is_gone(shop):
    product, other = await shop.product(), shop.another()
    wallet, neighbour = Wallet(shop, await shop.customer()), Wallet(shop, await shop.customer())
    elsewhere = Wallet(other, await other.customer())
    first, second = await wallet.save(), await wallet.save()
    strange = [(await each.save()).payment_method_id for each in (neighbour, elsewhere)]

    for method in (first.payment_method_id, first.payment_method_id.upper(), "default"):
        request = create(shop, wallet.customer_id, (product, 1), method=method)
        assert name((await shop.orders.CreateOrder(request)).order.state) == "PENDING"
    await wallet.remove(second.payment_method_id)
    for method in (*strange, second.payment_method_id, new_id()):
        await _refused(shop, wallet.customer_id, product, method)
    await _refused(shop, await shop.customer(), product, "default")


async def _refused(shop, customer, product, method):
    with refused(INVALID) as said:
        await shop.orders.CreateOrder(create(shop, customer, (product, 1), method=method))
    assert said.violations == {"payment_method": "is none that the customer has saved in the store"}


async def test_the_first_reply_is_repeated_whatever_the_method_is_by_now(shop):
    """The same request_id with a method that is refused is another request, and told so."""
    request = create(shop, await shop.customer(), (await shop.product(), 1))
    await shop.orders.CreateOrder(request)
    request.payment_method = "pm_sandbox_nope"
    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await shop.orders.CreateOrder(request)


async def test_every_method_of_the_sandbox_is_said_to_be_taken_and_no_other_is(shop):
    (sandbox,) = (await shop.payments.ListGateways(ListGatewaysRequest())).gateways
    pattern = re.compile(sandbox.method_pattern)
    assert all(pattern.fullmatch(method) for method in METHODS)
    assert all(pattern.fullmatch(f"{method}_a1") for method in METHODS)
    assert not any(pattern.fullmatch(method) for method in UNKNOWN)


async def test_while_payment_hangs_orders_are_taken_and_fail_later(hurried):
    customer, product = await hurried.customer(), await hurried.product(stock=20)

    async def placed(method):
        try:
            reply = await hurried.orders.CreateOrder(create(hurried, customer, (product, 1), method=method))
        except grpc.aio.AioRpcError:
            return ""  # Payment has only just told that it does not take this.
        return reply.order.order_id

    with stopped(hurried, "payment"):
        good = await placed("pm_sandbox_ok")
        unsaved = await placed("default")
        await eventually(lambda: placed("pm_later_1"))
        # Payment is waited for once by all of them: one after the other they would run out of time.
        unknown = await asyncio.gather(*(placed("pm_later_1") for _ in range(6)))
        assert all(unknown)

    await hurried.until(good, "CONFIRMED")
    for order_id in unknown:
        await hurried.until(order_id, "PAYMENT_FAILED")
    await hurried.until(unsaved, "PAYMENT_FAILED")


async def test_by_rest_the_field_is_named_as_rest_names_it(shop):
    body = {
        "customerId": await shop.customer(),
        "lines": [{"productId": await shop.product(), "quantity": 1}],
        "paymentMethod": "pm_sandbox_nope",
        "requestId": new_id(),
    }
    reply = await shop.rest("POST", f"/v1/stores/{shop.store_id}/orders", body)
    assert reply.status == 400
    assert "payment" in str(reply.body)
