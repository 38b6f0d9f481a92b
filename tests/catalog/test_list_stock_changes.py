"""ListStockChanges."""

import grpc
import pytest
from commerce.catalog.v1.stock_service_pb2 import ListStockChangesRequest, SetStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import adjust, changes, commit, held, kind, new_id, release
from tests.shop import refused


def ask(product_id, **given):
    return ListStockChangesRequest(product_id=product_id, **given)


async def test_tells_what_happened_to_the_units_on_hand_the_newest_first(shop):
    product_id = await shop.product(stock=5)
    order_id = await held(shop, (product_id, 2))
    await adjust(shop, product_id, -1, "broken")
    await commit(shop, order_id)
    await release(shop, order_id)
    await shop.stock.SetStock(SetStockRequest(product_id=product_id, quantity=7, request_id=new_id()))

    told = (await shop.stock.ListStockChanges(ask(product_id))).changes

    assert [(kind(each), each.delta, each.on_hand, each.reason) for each in told] == [
        ("COUNTED", 3, 7, "counted"),
        ("RELEASED", 2, 4, order_id),
        ("SOLD", -2, 2, order_id),
        ("ADJUSTED", -1, 4, "broken"),
        ("COUNTED", 5, 5, "counted"),
    ]
    assert [each.actor.split()[0] for each in told] == [
        "STORE_ADMIN",
        "SERVICE",
        "SERVICE",
        "STORE_ADMIN",
        "STORE_ADMIN",
    ]
    times = [each.time.ToDatetime() for each in told]
    assert times == sorted(times, reverse=True)


async def test_what_is_only_reserved_or_given_back_is_no_change(shop):
    product_id = await shop.product(stock=5)

    await release(shop, await held(shop, (product_id, 2)))

    assert len(await changes(shop, product_id)) == 1


async def test_a_batch_leaves_a_line_for_each_of_its_orders(shop):
    product_id = await shop.product(stock=10)
    orders = [await held(shop, (product_id, quantity)) for quantity in (1, 2, 3)]

    await commit(shop, *orders)

    sold = (await changes(shop, product_id))[1:]
    assert [(each.reason, each.delta, each.on_hand) for each in sold] == [
        (orders[0], -1, 9),
        (orders[1], -2, 7),
        (orders[2], -3, 4),
    ]


async def test_pages_hold_every_change_once(shop):
    product_id = await shop.product(stock=5)
    for number in range(6):
        await adjust(shop, product_id, 1, f"delivery {number}")

    whole = await changes(shop, product_id)
    paged = await changes(shop, product_id, page_size=3)

    assert len(whole) == 7
    assert paged == whole


async def test_a_token_of_another_product_is_refused(shop):
    mug, cup = await shop.product(stock=1), await shop.product(stock=1)
    await adjust(shop, mug, 1)
    token = (await shop.stock.ListStockChanges(ask(mug, page_size=1))).next_page_token
    assert token

    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await shop.stock.ListStockChanges(ask(cup, page_token=token))


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product()

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await shop.stock.ListStockChanges(ask(product_id))


async def test_is_not_for_customers(shop):
    product_id = await shop.product()

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.as_("customer", new_id()).stock.ListStockChanges(ask(product_id))
    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("field", "value"), [("product_id", "mug"), ("page_size", 501)])
async def test_names_what_is_wrong_with_a_request(shop, field, value):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.stock.ListStockChanges(
            ListStockChangesRequest(**({"product_id": new_id()} | {field: value}))
        )

    assert said.violations.keys() == {field}
