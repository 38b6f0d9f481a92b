import asyncio

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import order_of, steps_of
from tests.order.operations import explain, parked, retry, situation_of
from tests.order.test_expiry import confirm
from tests.shop import eventually, new_id, refused


async def test_a_parked_order_still_moves_on_the_news_of_its_payment(shop):
    order_id = await parked(shop)
    await confirm((await order_of(shop, order_id)).next_action_url)
    await shop.until(order_id, "CONFIRMED")


async def test_a_parked_order_is_the_drivers_again(shop):
    order_id = await parked(shop)

    situation = (await shop.operations.RetryOrder(retry(order_id))).situation

    assert not situation.parked
    assert situation.attempts == 0
    # The driver has looked: it asks for the payment again, later.
    await eventually(lambda: looked_at(shop, order_id))
    assert (await situation_of(shop, order_id)).last_error == ""


async def test_one_that_waits_for_long_is_looked_at_now(shop):
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    await shop.clients.rows(
        """UPDATE "order".orders SET due_time = now() + interval '1 day', attempts = 5, last_error = 'INTERNAL: x'
        WHERE order_id = $1""",
        order_id,
    )
    await shop.operations.RetryOrder(retry(order_id))
    await eventually(lambda: looked_at(shop, order_id))


async def test_twice_with_one_request_id_is_one_retry_and_many_at_once_do_no_harm(shop):
    order_id, request_id = await parked(shop), new_id()
    replies = await asyncio.gather(
        *(shop.operations.RetryOrder(retry(order_id, request_id)) for _ in range(10)),
    )
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    await asyncio.gather(*(shop.operations.RetryOrder(retry(order_id)) for _ in range(10)))
    assert await steps_of(shop, order_id) == ["create", "reserve", "challenge"]


@pytest.mark.parametrize("state", ["CONFIRMED", "DELIVERED", "CANCELLED"])
async def test_refuses_an_order_that_the_driver_has_nothing_to_do_for(shop, state):
    order_id = await shop.order(state=state)
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="retry", state=state):
        await shop.operations.RetryOrder(retry(order_id))


async def test_refuses_another_stores_order_like_a_missing_one(shop):
    order_id = await parked(shop)
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id):
        await shop.another().operations.RetryOrder(retry(order_id))
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND):
        await shop.operations.RetryOrder(retry(new_id()))
    assert (await situation_of(shop, order_id)).parked


async def test_refuses_a_customer_and_names_the_field_that_is_wrong(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_("customer", customer_id=new_id()).operations.RetryOrder(retry(new_id()))
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.operations.RetryOrder(retry(new_id(), "x"))
    assert "request_id" in said.violations


async def looked_at(shop, order_id):
    situation = (await shop.operations.ExplainOrder(explain(order_id))).situation
    return situation.last_error == "" and "asked for again" in situation.waits_for
