"""A refusal speaks its caller's language: fields as they spell them, what is allowed, and words for every rule."""

import json

import grpc
import pytest
from commerce.catalog.v1.catalog_service_pb2 import ListProductsRequest
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.customer.v1.customer_service_pb2 import CreateCustomerRequest
from commerce.order.v1.order_service_pb2 import CreateOrderRequest, ListOrdersRequest

from tests.edge.answers import of_grpc, of_rest
from tests.shop import new_id

STATES = "must be one of ORDER_STATE_PENDING, ORDER_STATE_RESERVED,"


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return of_grpc(refused.value)


async def test_names_fields_in_camel_case_by_rest_and_as_the_contract_does_by_grpc(shop, gateway):
    request = CreateOrderRequest(store_id=shop.store_id, delivery_address=PostalAddress(country_code="d"))
    path, body = f"/v1/stores/{shop.store_id}/orders", {"deliveryAddress": {"countryCode": "d"}}
    snake = ["customer_id", "lines", "payment_method", "delivery_address.country_code", "request_id"]
    camel = ["customerId", "lines", "paymentMethod", "deliveryAddress.countryCode", "requestId"]

    for at in (shop, shop.at(gateway)):
        assert list((await refusal(at.orders.CreateOrder(request))).violations) == snake
    answer = of_rest(await shop.rest("POST", path, body))

    assert list(answer.violations) == camel
    assert "deliveryAddress.countryCode: " in answer.message
    assert not [name for name in snake if "_" in name and name in answer.message]


async def test_says_what_is_missing(shop):
    answer = of_rest(await shop.rest("POST", f"/v1/stores/{shop.store_id}/customers", {"fullName": "Ada"}))

    assert answer.violations["requestId"] == "must be a UUID, and is missing"
    assert "requestId: must be a UUID, and is missing" in answer.message
    assert answer.violations["email"] == "must be a mail address, and is missing"


@pytest.mark.parametrize("state", ["CONFIRMED", "99", "confirmed", "x" * 5_000])
async def test_lists_what_is_allowed_instead_of_a_choice_that_is_none(shop, state):
    answer = of_rest(await shop.rest("GET", f"/v1/stores/{shop.store_id}/orders?state={state}"))

    assert answer.violations["state"].startswith(STATES)
    assert answer.message == f"state: {answer.violations['state']}"
    assert "UNSPECIFIED" not in answer.message


@pytest.mark.parametrize("mode", ["NOW", 99, True, 1.5, [1]])
async def test_does_so_for_a_choice_within_a_body(shop, mode):
    body = {"settings": {"captureMode": mode}, "requestId": new_id()}
    answer = of_rest(await shop.rest("PUT", f"/v1/stores/{shop.store_id}/payment-settings", body))

    assert list(answer.violations) == ["settings.captureMode"]
    if mode != [1]:
        assert answer.violations["settings.captureMode"].endswith(
            "CAPTURE_MODE_ON_SHIPMENT, CAPTURE_MODE_MANUAL"
        )


async def test_does_so_by_grpc(shop):
    request = ListOrdersRequest.FromString(b"\x10\x63")  # A state of 99.
    answer = await refusal(shop.orders.ListOrders(request))

    assert answer.violations["state"].startswith(STATES)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"lines": [{"quantity": "many"}]}, {"lines[0].quantity": "must be a whole number"}),
        ({"lines": [{"productId": 7}]}, {"lines[0].productId": "must be a text"}),
        ({"no_such": 7}, {"no_such": "there is no such field"}),
        ({"lines": [{"no_such": 7}]}, {"lines[0].no_such": "there is no such field"}),
        ({"customerId": "x", "customer_id": "x"}, {"customerId": "is given twice"}),
    ],
)
async def test_says_what_a_value_must_be_and_does_not_repeat_it(shop, body, words):
    answer = of_rest(await shop.rest("POST", f"/v1/stores/{shop.store_id}/orders", body))

    ((field, text),) = words.items()
    assert (answer.violations, answer.message) == (words, f"{field}: {text}")


async def test_says_what_a_time_must_be(shop):
    path = f"/v1/stores/{shop.store_id}/orders?placedFrom=yesterday"
    answer = of_rest(await shop.rest("GET", path))
    assert answer.violations == {"placedFrom": "must be a time, such as 2026-11-27T12:00:00Z"}


async def test_never_shows_a_pattern(shop):
    customer = {"fullName": "Ada", "email": "ada@example.org", "phone": "call me", "requestId": new_id()}
    answer = of_rest(await shop.rest("POST", f"/v1/stores/{shop.store_id}/customers", customer))
    assert answer.violations == {"phone": "must be an E.164 telephone number, such as +4930123456, or empty"}

    request = CreateCustomerRequest(store_id=shop.store_id, full_name="Ada", phone="call me")
    answer = await refusal(shop.customers.CreateCustomer(request))
    assert answer.violations["phone"].startswith("must be an E.164 telephone number")


async def test_names_only_what_a_mask_may_name(shop):
    customer = await shop.customer()
    body = {"updateMask": "fullName,nope", "requestId": new_id()}
    answer = of_rest(await shop.rest("PATCH", f"/v1/customers/{customer}", body))
    assert answer.violations == {"updateMask": "must name only fullName, email, phone"}


async def test_names_fields_in_metadata_as_the_caller_does(shop):
    missing = new_id()
    answer = of_rest(await shop.rest("GET", f"/v1/customers/{missing}"))
    assert (answer.reason, answer.metadata) == ("CUSTOMER_NOT_FOUND", {"customerId": missing})


async def test_repeats_what_was_sent_as_it_was_sent(shop):
    """A code that looks like the name of a field is no field."""
    path = f"/v1/stores/{shop.store_id}/products"
    body = {"sku": "product_id", "name": "A lamp", "price": {"currencyCode": "EUR", "minorUnits": "1"}}
    await shop.rest("POST", path, body | {"requestId": new_id()})

    answer = of_rest(await shop.rest("POST", path, body | {"requestId": new_id()}))

    assert (answer.reason, answer.metadata["sku"]) == ("PRODUCT_SKU_TAKEN", "product_id")
    assert "product_id" in answer.message


async def test_names_a_query_that_is_no_text(shop):
    path = f"/v1/stores/{shop.store_id}/products?query=%ff"
    answer = of_rest(await shop.rest("GET", path))
    assert list(answer.violations) == ["query"]

    channel = shop.clients.channel(shop.clients.cluster.address("catalog"))
    call = channel.unary_unary("/commerce.catalog.v1.CatalogService/ListProducts")
    data = ListProductsRequest(store_id=shop.store_id).SerializeToString() + b"\x12\x01\xff"
    answer = await refusal(call(data, metadata=(("authorization", f"Bearer {shop.token}"),)))
    assert answer.violations == {"query": "must be UTF-8"}


async def test_is_valid_json_however_what_was_sent_is_cut(shop):
    """What cannot be read may be repeated: cut between the parts of an escape it would be no JSON."""
    for size in range(270, 310):
        for tail in ('"', "\\", "\u0001", "é", "\U0001f600"):
            name = "x" * size + tail * 40
            reply = await shop.rest("POST", f"/v1/stores/{shop.store_id}/orders", {name: 1})
            assert reply.status == 400, json.dumps(reply.body)
