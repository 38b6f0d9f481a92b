import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import cancel
from tests.order.operations import parked, stopped, stuck
from tests.shop import eventually, refused


async def listed(shop, page_size=500):
    reply = await shop.as_("platform_admin").operations.ListStuckOrders(stuck(page_size))
    return list(reply.orders)


async def among(shop, order_id):
    return next((each for each in await listed(shop) if each.order_id == order_id), None)


async def test_names_the_parked_ones_and_the_one_that_waits_longest_first(shop):
    orders = [await parked(shop) for _ in range(3)]
    found = await listed(shop)
    ours = [each for each in found if each.order_id in orders]
    assert [each.order_id for each in ours] == orders
    assert all(each.parked and each.attempts == 8 and not each.HasField("due_time") for each in ours)
    assert {each.last_error for each in ours} == {"ValueError: the order has no lines"}
    times = [each.update_time.ToNanoseconds() for each in found]
    assert times == sorted(times)


async def test_names_no_more_than_are_asked_for(shop):
    for _ in range(2):
        await parked(shop)
    found = await listed(shop)
    assert await listed(shop, 1) == found[:1]
    assert len(await listed(shop, 0)) == min(50, len(found))


async def test_names_one_that_fails_again_and_again_until_it_no_longer_does(hurried):
    shop = hurried
    product = await shop.product()
    await shop.order([(product, 1)], until="CONFIRMED")

    with stopped(shop, "catalog"):
        order_id = await shop.order([(product, 1)])
        found = await eventually(lambda: among(shop, order_id))
        assert found.attempts >= 3
        assert not found.parked
        assert found.last_error.startswith("DEADLINE_EXCEEDED")

    await shop.until(order_id, "CONFIRMED")
    assert await among(shop, order_id) is None


async def test_names_none_that_waits_for_its_customer_however_often_it_was_asked_for(shop):
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    await shop.clients.rows('UPDATE "order".orders SET attempts = 9 WHERE order_id = $1', order_id)
    assert await among(shop, order_id) is None


async def test_one_that_is_cancelled_is_no_longer_among_them(shop):
    order_id = await parked(shop)
    await shop.orders.CancelOrder(cancel(order_id))
    assert await among(shop, order_id) is None


@pytest.mark.parametrize("role", ["store_admin", "store_manager", "customer"])
async def test_refuses_a_role_that_is_bound_to_a_store(shop, role):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_(role, customer_id=shop.store_id).operations.ListStuckOrders(stuck())


async def test_names_the_field_that_is_wrong(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.as_service.operations.ListStuckOrders(stuck(501))
    assert "page_size" in said.violations
