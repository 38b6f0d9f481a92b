"""What a checkout promises when nobody dies: the last unit, the repeated request, every payment method."""

import asyncio
from collections import Counter

import pytest

from tests.saga.checkouts import ENDS, PRICE, Crowd, audit, stock
from tests.shop import new_id


async def test_two_hundred_buyers_at_once_for_five_units_are_five_orders(shop):
    crowd = Crowd(shop, await shop.product(stock=5, price=PRICE), await shop.customer())
    await crowd.run(200, at_once=200)
    assert crowd.states() == Counter(CONFIRMED=5, REJECTED=195)
    assert await stock(shop, crowd.product) == (5, 5)
    await audit(crowd, 5)


async def test_the_same_order_sent_fifty_times_at_once_by_rest_is_one_order_and_one_reply(shop):
    customer, product = await shop.customer(), await shop.product(stock=100)
    body = {
        "customerId": customer,
        "lines": [{"productId": product, "quantity": 1}],
        "paymentMethod": "pm_sandbox_ok",
        "requestId": new_id(),
    }
    path = f"/v1/stores/{shop.store_id}/orders"

    replies = await asyncio.gather(*(shop.rest("POST", path, json=body) for _ in range(50)))

    assert {reply.status for reply in replies} == {200}
    first = replies[0].body
    assert all(reply.body == first for reply in replies)
    await shop.until(first["order"]["orderId"], "CONFIRMED")
    assert await stock(shop, product) == (100, 1)

    body["lines"][0]["quantity"] = 2
    other = await shop.rest("POST", path, json=body)
    assert other.status == 409
    (info,) = [detail for detail in other.body["details"] if detail["@type"].endswith("ErrorInfo")]
    assert (info["reason"], info["metadata"]) == ("REQUEST_ID_REUSED", {"requestId": body["requestId"]})


@pytest.mark.parametrize("method", ENDS)
async def test_each_payment_method_ends_where_it_should_and_is_charged_at_most_once(shop, method):
    crowd = Crowd(shop, await shop.product(stock=5, price=PRICE), await shop.customer())
    checkout = crowd.checkout(method)
    await checkout.place()
    async with asyncio.timeout(60):
        await checkout.watch({ENDS[method]})
    await audit(crowd, 5)
