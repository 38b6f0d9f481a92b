"""SetStock."""

import asyncio

from commerce.catalog.v1.stock_service_pb2 import SetStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import at_once, held, new_id, promised, reserve, stock, wants
from tests.shop import refused


def count(product_id, quantity):
    return SetStockRequest(product_id=product_id, quantity=quantity, request_id=new_id())


async def test_says_how_many_units_are_on_hand(shop):
    product_id = await shop.product(stock=5)

    reply = await shop.stock.SetStock(count(product_id, 8))

    assert (reply.product_id, reply.on_hand, reply.reserved, reply.available) == (product_id, 8, 0, 8)
    assert await stock(shop, product_id) == (8, 0, 8)


async def test_leaves_reserved_units_reserved(shop):
    product_id = await shop.product(stock=5)
    await held(shop, (product_id, 3))

    await shop.stock.SetStock(count(product_id, 3))

    assert await stock(shop, product_id) == (3, 3, 0)


async def test_refuses_fewer_units_than_are_reserved(shop):
    product_id = await shop.product(stock=5)
    await held(shop, (product_id, 3))

    with refused(ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT, product_id=product_id, available="2"):
        await shop.stock.SetStock(count(product_id, 2))

    assert await stock(shop, product_id) == (5, 3, 2)


async def test_one_request_id_is_one_count(shop):
    request = count(await shop.product(stock=5), 8)

    first = await shop.stock.SetStock(request)
    await shop.stock.SetStock(count(request.product_id, 1))

    assert await shop.stock.SetStock(request) == first
    assert await stock(shop, request.product_id) == (1, 0, 1)


async def test_counts_and_reservations_at_once_never_promise_what_is_not_there(shop):
    product_id = await shop.product(stock=10)

    await asyncio.gather(
        at_once(*(reserve(shop, wants(shop, (product_id, 1))) for _ in range(30))),
        asyncio.gather(
            *(shop.stock.SetStock(count(product_id, number)) for number in range(10)), return_exceptions=True
        ),
    )

    on_hand, reserved, available = await stock(shop, product_id)
    assert on_hand >= reserved and available == on_hand - reserved
    assert await promised(shop, product_id) == (reserved, 0)


async def test_another_stores_product_is_refused_like_a_missing_one(shop):
    foreign = await shop.another().product()

    for product_id in (foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
            await shop.stock.SetStock(count(product_id, 1))


async def test_browsers_create_count_and_read_in_plain_json(shop):
    created = await shop.rest(
        "POST",
        f"/v1/stores/{shop.store_id}/products",
        {
            "sku": "MUG-1",
            "name": "Mug",
            "price": {"currencyCode": "EUR", "minorUnits": "1999"},
            "requestId": new_id(),
        },
    )
    path = f"/v1/products/{created.body['product']['productId']}"
    counted = await shop.rest("PUT", f"{path}/stock", {"quantity": 5, "requestId": new_id()})
    read = await shop.rest("GET", f"{path}/stock")

    assert created.body["product"]["price"] == {"currencyCode": "EUR", "minorUnits": "1999"}
    assert counted.status == 200
    assert {name: read.body[name] for name in ("onHand", "reserved", "available")} == {
        "onHand": 5,
        "reserved": 0,
        "available": 5,
    }


async def test_what_is_left_out_is_not_zero(shop):
    product_id = await shop.product(stock=5)
    path = f"/v1/products/{product_id}/stock"

    for body in ({}, {"requestId": new_id()}, {"quantity": None, "requestId": new_id()}):
        refused_ = await shop.rest("PUT", path, body)
        assert refused_.status == 400, body
        assert "quantity: " in refused_.body["message"], body
    assert (await shop.rest("GET", path)).body["onHand"] == 5

    emptied = await shop.rest("PUT", path, {"quantity": 0, "requestId": new_id()})
    assert (emptied.status, emptied.body["onHand"]) == (200, 0)
