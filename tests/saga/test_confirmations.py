"""A payment that its customer has to confirm, as a browser does it; and one that nobody confirms."""

import aiohttp
from commerce.payment.v1.settings_service_pb2 import PaymentSettings, SetPaymentSettingsRequest
from google.protobuf.duration_pb2 import Duration

from tests.order.asks import order_of, steps_of
from tests.saga.checkouts import PRICE, book, no_dead_letters, stock
from tests.shop import eventually, new_id


class Browser:
    """A customer's browser: it has a token of its customer's and speaks REST."""

    def __init__(self, shop, customer):
        self._shop, self._customer = shop.as_("customer", customer), customer

    async def buys(self, product):
        path = f"/v1/stores/{self._shop.store_id}/orders"
        lines = [{"productId": product, "quantity": 1}]
        return await self._posts(
            path, customerId=self._customer, lines=lines, paymentMethod="pm_sandbox_requires_action"
        )

    async def sees(self, order_id):
        return (await self._shop.rest("GET", f"/v1/orders/{order_id}")).body["order"]

    async def is_asked(self, order_id):
        """The order once it waits for its customer."""

        async def waits():
            order = await self.sees(order_id)
            return order if order["state"] == "ORDER_STATE_AWAITING_CUSTOMER" else None

        return await eventually(waits)

    async def confirms(self, payment_id):
        return await self._posts(f"/v1/payments/{payment_id}:confirm")

    async def _posts(self, path, **body):
        reply = await self._shop.rest("POST", path, json=body | {"requestId": new_id()})
        assert reply.status == 200, reply.body
        return reply.body


async def decides(url, outcome):
    """What the customer does on the provider's page; the status that it is answered with."""
    async with aiohttp.request("GET", url) as page:
        assert page.status == 200
    async with aiohttp.request("POST", url, json={"outcome": outcome}) as reply:
        return reply.status


async def begun(shop):
    """A browser, and its order that waits for its customer."""
    product = await shop.product(stock=3, price=PRICE)
    browser = Browser(shop, await shop.customer())
    order_id = (await browser.buys(product))["order"]["orderId"]
    return browser, product, await browser.is_asked(order_id)


async def test_a_customer_who_passes_the_challenge_and_comes_back_has_bought(shop):
    browser, product, order = await begun(shop)

    assert await decides(order["nextActionUrl"], "pass") == 200
    payment = (await browser.confirms(order["paymentId"]))["payment"]

    assert payment["state"] == "PAYMENT_STATE_AUTHORIZED"
    assert payment["amount"] == order["total"] == {"currencyCode": "EUR", "minorUnits": str(PRICE)}
    await shop.until(order["orderId"], "CONFIRMED")
    assert (await browser.sees(order["orderId"]))["nextActionUrl"] == ""
    assert await steps_of(shop, order["orderId"]) == ["create", "reserve", "challenge", "authorize"]
    (charge,) = (await book(shop))[order["orderId"]]
    assert charge["authorized_minor_units"] == PRICE
    assert await stock(shop, product) == (3, 1)


async def test_a_customer_who_fails_the_challenge_has_not_bought(shop):
    browser, product, order = await begun(shop)

    assert await decides(order["nextActionUrl"], "fail") == 200
    payment = (await browser.confirms(order["paymentId"]))["payment"]

    assert (payment["state"], payment["declineCode"]) == ("PAYMENT_STATE_FAILED", "authentication_failed")
    await shop.until(order["orderId"], "PAYMENT_FAILED")
    assert (await browser.sees(order["orderId"]))["reason"] == "authentication_failed"
    await eventually(lambda: is_free(shop, product))


async def test_one_who_comes_back_without_an_answer_is_still_asked(shop):
    browser, _, order = await begun(shop)

    payment = (await browser.confirms(order["paymentId"]))["payment"]

    assert payment["state"] == "PAYMENT_STATE_REQUIRES_ACTION"
    assert payment["nextActionUrl"] == order["nextActionUrl"]
    assert (await browser.sees(order["orderId"]))["state"] == "ORDER_STATE_AWAITING_CUSTOMER"


async def test_an_order_that_nobody_confirms_fails_when_the_store_waits_no_longer(shop):
    settings = PaymentSettings(action_wait=Duration(seconds=1))
    await shop.payment_settings.SetPaymentSettings(
        SetPaymentSettingsRequest(store_id=shop.store_id, settings=settings, request_id=new_id())
    )
    browser, product, order = await begun(shop)

    await shop.until(order["orderId"], "PAYMENT_FAILED")

    assert (await browser.sees(order["orderId"]))["reason"] == "the payment expired"
    await eventually(lambda: is_free(shop, product))
    (charge,) = (await book(shop))[order["orderId"]]
    assert charge["authorized_minor_units"] == 0
    # Nor can it be confirmed any more.
    assert await decides(order["nextActionUrl"], "pass") == 409
    payment = (await browser.confirms(order["paymentId"]))["payment"]
    assert payment["state"] == "PAYMENT_STATE_EXPIRED"
    assert (await order_of(shop, order["orderId"])).reason == "the payment expired"
    await no_dead_letters(shop)


async def is_free(shop, product):
    return await stock(shop, product) == (3, 0)
