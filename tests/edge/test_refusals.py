"""A refusal is the asker's alone: however much is wrong with a request, it is short, and nobody else notices."""

import asyncio
import json

import grpc
import pytest
from commerce.catalog.v1.catalog_service_pb2 import CreateProductRequest
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_service_pb2 import (
    AcceptOrderRequest,
    CreateOrderLine,
    CreateOrderRequest,
    WatchOrderRequest,
)

from tests.edge.answers import MOST_BYTES, of_grpc, of_rest
from tests.shop import Shop, new_id

WATCHES = 50
ROUNDS = 5


def bad_lines(count):
    return [{"productId": "x", "quantity": 0}] * count


def worst(shop, customer):
    """What breaks the most rules, or the longest: the path, and the body as JSON."""
    order = {"customerId": customer, "paymentMethod": "pm_sandbox_ok", "requestId": new_id()}
    product = {"sku": new_id(), "name": "A lamp", "price": {"currencyCode": "EUR", "minorUnits": "1"}}
    rate = {"countryCode": "xx", "ratePpm": -1, "taxClass": "x" * 50}
    store = f"/v1/stores/{shop.store_id}"
    return {
        "bad lines, previewed": ("POST", f"{store}/orders:preview", order | {"lines": bad_lines(400)}),
        "bad lines, ordered": ("POST", f"{store}/orders", order | {"lines": bad_lines(1_000)}),
        "bad lines of two bytes": ("POST", f"{store}/orders", order | {"lines": [{}] * 100_000}),
        "a long key": ("POST", f"{store}/products", product | {"attributes": {"k" * 20_000: "v"}}),
        "many long keys": (
            "POST",
            f"{store}/products",
            product | {"attributes": {f"é{number}" * 2_000: "" for number in range(50)}},
        ),
        "bad pictures": (
            "POST",
            f"{store}/products",
            product | {"imageUrls": ["ftp://x/" + "y" * 3_000] * 20},
        ),
        "bad rates": ("PUT", f"{store}/order-settings", {"settings": {"taxRates": [rate] * 500}}),
    }


@pytest.fixture(scope="module")
def neighbour(clients):
    return Shop(clients)


async def test_is_short_however_much_is_wrong(shop):
    for name, (verb, path, body) in worst(shop, await shop.customer()).items():
        reply = await shop.rest(verb, path, json=body)
        answer = of_rest(reply)
        assert (reply.status, answer.reason) == (400, "INVALID_ARGUMENT"), name
        assert 1 <= len(answer.violations) <= 20, name
        assert len(json.dumps(reply.body, ensure_ascii=False).encode()) < MOST_BYTES, name


async def test_can_be_read_by_a_client_of_the_service_itself(shop):
    lines = [CreateOrderLine(product_id="x")] * 400
    requests = [
        shop.orders.CreateOrder(CreateOrderRequest(store_id=shop.store_id, lines=lines)),
        shop.catalog.CreateProduct(
            CreateProductRequest(store_id=shop.store_id, attributes={"é" * 20_000: "v" * 20_000})
        ),
    ]
    for request in requests:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await request
        assert of_grpc(refused.value).reason == "INVALID_ARGUMENT"


async def test_that_repeats_what_was_sent_is_short_too(shop):
    """What is allowed is repeated: as long as it may be, in letters that take the most room."""
    sku = "\U0001f600" * 64
    product = {"store_id": shop.store_id, "sku": sku, "name": "A lamp"}
    price = Money(currency_code="EUR", minor_units=1)
    await shop.catalog.CreateProduct(CreateProductRequest(**product, price=price, request_id=new_id()))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.catalog.CreateProduct(CreateProductRequest(**product, price=price, request_id=new_id()))

    answer = of_grpc(refused.value)
    assert (answer.reason, answer.metadata["sku"]) == ("PRODUCT_SKU_TAKEN", sku)


async def test_ends_no_watch_of_another_store(shop, neighbour, gateway):
    there = neighbour.at(gateway)
    order = await neighbour.order(until="CONFIRMED")
    watches = [there.orders.WatchOrder(WatchOrderRequest(order_id=order)) for _ in range(WATCHES)]
    await asyncio.gather(*(watch.read() for watch in watches))
    requests = worst(shop, await shop.customer()).values()

    for _ in range(ROUNDS):
        await asyncio.gather(*(shop.rest(verb, path, json=body) for verb, path, body in requests))

    await neighbour.orders.AcceptOrder(AcceptOrderRequest(order_id=order, request_id=new_id()))
    told = await asyncio.gather(*(watch.read() for watch in watches), return_exceptions=True)
    for watch in watches:
        watch.cancel()
    lost = [each for each in told if isinstance(each, BaseException)]
    assert not lost, f"{len(lost)} of {WATCHES} watches ended: {lost[0]!r}"
