import asyncio

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderReturned
from commerce.order.v1.order_pb2 import ReturnLine

from tests.order.asks import courier, deliver, given_back, name, order_of, ship, state_of, steps_of, take_back
from tests.order.deals import new_coupon, set_up, ships, tax, to
from tests.shop import new_id, refused


def came_back(order):
    return {line.product_id: line.returned_quantity for line in order.lines}


async def test_takes_units_back_and_says_what_they_give_back(shop):
    first, second = await shop.product(price=1000), await shop.product(price=250)
    order_id = await shop.order([(first, 2), (second, 3)], state="DELIVERED")
    request = take_back(order_id, (first, 1), reason="too large")
    request.lines.append(ReturnLine(product_id=second.upper(), quantity=2, restock=False))

    order = (await shop.orders.ReturnOrder(request)).order

    assert (name(order.state), order.reason) == ("DELIVERED", "too large")
    (returned,) = order.returns
    assert [(line.product_id, line.quantity, line.restock) for line in returned.lines] == [
        (first, 1, True),
        (second, 2, False),
    ]
    assert (returned.refund.currency_code, returned.refund.minor_units) == ("EUR", 1500)
    assert order.refunded.minor_units == returned.refunded.minor_units == 0  # Until its payment tells.
    assert returned.reason == "too large"
    assert came_back(order) == {first: 1, second: 2}
    (event,) = await shop.published(OrderReturned)
    assert (event.order.order_id, event.order.sequence) == (order_id, order.sequence)
    assert event.returned == returned
    order = await given_back(shop, order_id)
    assert order.refunded == order.returns[0].refunded == returned.refund


async def test_the_last_unit_brings_the_rest_of_the_total_back_and_ends_the_order(shop):
    first, second = await shop.product(price=999), await shop.product(price=333)
    order_id = await shop.order([(first, 3), (second, 1)], state="DELIVERED")
    for line in ((first, 1), (second, 1), (first, 2)):
        order = (await shop.orders.ReturnOrder(take_back(order_id, line))).order

    order = await given_back(shop, order_id)
    assert name(order.state) == "RETURNED"
    assert order.refunded == order.total
    assert sum(each.refund.minor_units for each in order.returns) == order.total.minor_units
    assert (await steps_of(shop, order_id))[-3:] == ["return_part", "return_part", "return"]
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="return", state="RETURNED"):
        await shop.orders.ReturnOrder(take_back(order_id, (first, 1)))


@pytest.mark.parametrize("included", [True, False])
async def test_discount_tax_and_shipping_come_back_to_the_cent(shop, included):
    await set_up(shop, tax_rates=[tax(190_000)], tax_included=included, shipping_rates=[ships(490)])
    await new_coupon(shop, "THIRD", percentage_ppm=333_333)
    first, second = await shop.product(price=999), await shop.product(price=35)
    order_id = await shop.order(
        [(first, 2), (second, 3)], state="DELIVERED", coupon_code="THIRD", delivery_address=to("DE")
    )
    for line in ((second, 1), (first, 1), (second, 2), (first, 1)):
        order = (await shop.orders.ReturnOrder(take_back(order_id, line))).order

    order = await given_back(shop, order_id)
    assert (name(order.state), order.refunded) == ("RETURNED", order.total)
    assert order.discount.minor_units and order.tax.minor_units
    assert order.returns[-1].refund.minor_units > order.shipping.minor_units == 490
    assert all(0 < each.refund.minor_units < 1000 for each in order.returns[:-1])
    events = await shop.published(OrderReturned)
    lines = [{each.product_id: each.amount.minor_units for each in event.amounts} for event in events]
    assert [share.keys() for share in lines] == [{second}, {first}, {second}, {first, ""}]
    assert [sum(share.values()) for share in lines] == [each.refund.minor_units for each in order.returns]
    assert lines[-1][""] == 490


async def test_what_is_on_its_way_may_come_back_too(shop):
    product = await shop.product(price=100)
    order_id = await shop.order([(product, 3)], state="ACCEPTED")
    await shop.orders.ShipOrder(ship(order_id, (product, 2)))

    order = (await shop.orders.ReturnOrder(take_back(order_id, (product, 2)))).order
    assert name(order.state) == "SHIPPED"
    assert (await given_back(shop, order_id)).refunded.minor_units == 200
    with refused(ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED, limit="0"):
        await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
    await shop.orders.ShipOrder(ship(order_id))
    await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))

    order = await given_back(shop, order_id)
    assert (name(order.state), order.refunded) == ("RETURNED", order.total)


async def test_what_cost_nothing_gives_nothing_back(shop):
    product = await shop.product(price=0)
    order_id = await shop.order([(product, 2)], state="DELIVERED")
    for state in ("DELIVERED", "RETURNED"):
        order = (await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))).order
        assert (name(order.state), order.returns[-1].refund.minor_units) == (state, 0)


async def test_refuses_more_than_was_sent_and_changes_nothing(shop):
    first, second = await shop.product(), await shop.product()
    order_id = await shop.order([(first, 3), (second, 2)], state="ACCEPTED")
    await shop.orders.ShipOrder(ship(order_id, (first, 2), (second, 1)))
    await shop.orders.ReturnOrder(take_back(order_id, (first, 1)))
    before = await given_back(shop, order_id)
    with refused(ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED, product_id=first, quantity="2", limit="1"):
        await shop.orders.ReturnOrder(take_back(order_id, (second, 1), (first, 2)))
    assert await order_of(shop, order_id) == before
    assert len(await shop.published(OrderReturned)) == 1


async def test_refuses_a_product_that_the_order_does_not_hold(shop):
    order_id, product = await shop.order(state="SHIPPED"), await shop.product()
    with refused(ErrorReason.ERROR_REASON_ORDER_LINE_NOT_FOUND, product_id=product):
        await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
    assert await state_of(shop, order_id) == "SHIPPED"


@pytest.mark.parametrize("state", ["CONFIRMED", "ACCEPTED", "CANCELLED", "PAYMENT_FAILED"])
async def test_refuses_an_order_that_was_not_sent(shop, state):
    product = await shop.product()
    order_id = await shop.order([(product, 1)], state=state)
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="return", state=state):
        await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
    assert await shop.published(OrderReturned) == []


async def test_repeated_with_one_request_id_is_one_return(shop):
    product = await shop.product()
    order_id, request = await shop.order([(product, 5)], state="DELIVERED"), new_id()
    replies = await asyncio.gather(
        *(shop.orders.ReturnOrder(take_back(order_id, (product, 1), request_id=request)) for _ in range(10))
    )
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert came_back(await order_of(shop, order_id)) == {product: 1}
    assert len(await shop.published(OrderReturned)) == 1


async def test_two_returns_at_once_both_fit_or_one_is_refused(shop):
    product, customer = await shop.product(stock=100, price=333), await shop.customer()
    orders = await asyncio.gather(
        *(shop.order([(product, 3)], customer=customer, state="DELIVERED") for _ in range(20))
    )
    for number, order_id in enumerate(orders):
        second = 1 + number % 2  # With the first one's two, all three or one too many.
        outcomes = await asyncio.gather(
            shop.orders.ReturnOrder(take_back(order_id, (product, 2))),
            shop.orders.ReturnOrder(take_back(order_id, (product, second))),
            return_exceptions=True,
        )
        order = await given_back(shop, order_id)
        assert order.refunded.minor_units == 333 * came_back(order)[product]
        if second == 1:
            assert name(order.state) == "RETURNED"
            assert not any(isinstance(outcome, Exception) for outcome in outcomes)
        else:
            assert came_back(order) == {product: 2}
            (loser,) = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            with refused(ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED, quantity="2", limit="1"):
                raise loser


async def test_many_returns_of_single_units_at_once_give_back_the_total(shop):
    product = await shop.product(stock=20, price=777)
    order_id = await shop.order([(product, 12)], state="SHIPPED")
    outcomes = await asyncio.gather(
        *(shop.orders.ReturnOrder(take_back(order_id, (product, 1))) for _ in range(15)),
        shop.orders.DeliverOrder(deliver(order_id)),
        return_exceptions=True,
    )
    order = await given_back(shop, order_id)
    assert (name(order.state), order.refunded, len(order.returns)) == ("RETURNED", order.total, 12)
    losers = [outcome for outcome in outcomes[:-1] if isinstance(outcome, Exception)]
    assert len(losers) == 3
    for loser in losers:
        with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, state="RETURNED"):
            raise loser


async def test_names_what_is_wrong_with_a_request(shop):
    product = new_id()
    for request, field in (
        (take_back(new_id()), "lines"),
        (take_back(new_id(), (product, 1), (product.upper(), 1)), "lines"),
        (take_back(new_id(), (product, 0)), "lines[0].quantity"),
        (take_back(new_id(), (product, 1), reason=""), "reason"),
        (take_back(new_id(), (product, 1), reason="x" * 201), "reason"),
        (take_back("no uuid", (product, 1)), "order_id"),
    ):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
            await shop.orders.ReturnOrder(request)
        assert set(said.violations) == {field}


async def test_refuses_an_order_of_another_store_like_a_missing_one(shop):
    product = await shop.product()
    order_id = await shop.order([(product, 1)], state="SHIPPED")
    for by, asked in ((shop.another(), order_id), (shop, new_id())):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked):
            await by.orders.ReturnOrder(take_back(asked, (product, 1)))


async def test_refuses_its_customer_and_a_courier(shop):
    customer = await shop.customer()
    for by, role in (
        (shop.as_("customer", customer_id=customer), "CUSTOMER"),
        (courier(shop, "kim"), "COURIER"),
    ):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role=role):
            await by.orders.ReturnOrder(take_back(new_id(), (new_id(), 1)))
