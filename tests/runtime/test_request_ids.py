"""A write may be sent again: one request_id is one effect and one reply, byte for byte."""

import asyncio
import uuid

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import (
    CreateCustomerRequest,
    GetCustomerRequest,
    ListCustomersRequest,
    UpdateCustomerRequest,
)

from tests.shop import Bearer, refused

SERVICE = "/commerce.customer.v1.CustomerService"


def create(shop, **given):
    values = {
        "store_id": shop.store_id,
        "full_name": "Grace Hopper",
        "email": "grace@example.org",
        "request_id": str(uuid.uuid4()),
    }
    return CreateCustomerRequest(**(values | given))


async def sent(shop, request):
    """The reply to CreateCustomer as it crosses the wire."""
    channel = Bearer(shop.clients.channel(shop.clients.cluster.address("customer")), shop.token)
    return bytes(await channel.unary_unary(f"{SERVICE}/CreateCustomer")(request.SerializeToString()))


async def number_of_customers(shop):
    return len((await shop.customers.ListCustomers(ListCustomersRequest(store_id=shop.store_id))).customers)


async def test_the_same_request_again_gets_the_first_reply_byte_for_byte(shop):
    request = create(shop)

    first = await sent(shop, request)

    assert [await sent(shop, request) for _ in range(3)] == [first] * 3
    assert await number_of_customers(shop) == len(await shop.published()) == 1


async def test_the_first_reply_stays_when_the_customer_has_changed_since(shop):
    request = create(shop)
    first = await shop.customers.CreateCustomer(request)
    customer_id = first.customer.customer_id
    await shop.customers.UpdateCustomer(
        UpdateCustomerRequest(customer_id=customer_id, full_name="Ada", request_id=str(uuid.uuid4()))
    )

    assert await shop.customers.CreateCustomer(request) == first
    now = await shop.customers.GetCustomer(GetCustomerRequest(customer_id=customer_id))
    assert now.customer.full_name == "Ada"


async def test_fifty_at_once_are_one(shop):
    request = create(shop)

    replies = await asyncio.gather(*(sent(shop, request) for _ in range(50)))

    assert len(set(replies)) == 1
    assert await number_of_customers(shop) == len(await shop.published()) == 1


async def test_fifty_changes_at_once_are_one(shop):
    customer_id = await shop.customer()
    request = UpdateCustomerRequest(
        customer_id=customer_id, full_name="Grace Hopper", request_id=str(uuid.uuid4())
    )

    replies = await asyncio.gather(*(shop.customers.UpdateCustomer(request) for _ in range(50)))

    assert {reply.SerializeToString(deterministic=True) for reply in replies} == {
        replies[0].SerializeToString(deterministic=True)
    }
    assert replies[0].customer.version == 2
    assert len(await shop.published()) == 1


@pytest.mark.parametrize(
    "changed", [{"email": "ada@example.org"}, {"full_name": "Ada"}, {"phone": "+4930123456"}]
)
async def test_another_request_with_the_same_id_is_refused_and_changes_nothing(shop, changed):
    request = create(shop)
    await shop.customers.CreateCustomer(request)
    await shop.mark()

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED, request_id=request.request_id):
        await shop.customers.CreateCustomer(create(shop, request_id=request.request_id, **changed))

    assert await number_of_customers(shop) == 1
    assert await shop.published() == []


async def test_an_id_used_for_another_rpc_is_refused(shop):
    request = create(shop)
    customer_id = (await shop.customers.CreateCustomer(request)).customer.customer_id

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await shop.customers.UpdateCustomer(
            UpdateCustomerRequest(customer_id=customer_id, full_name="Ada", request_id=request.request_id)
        )


async def test_somebody_else_does_not_get_the_reply(shop):
    request = create(shop)
    await shop.customers.CreateCustomer(request)

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await shop.as_("store_admin").customers.CreateCustomer(request)


async def test_a_refused_request_does_not_use_its_id_up(shop):
    await shop.customer(email="grace@example.org")
    request = create(shop)
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN):
        await shop.customers.CreateCustomer(request)

    request.email = "hopper@example.org"

    assert (await shop.customers.CreateCustomer(request)).customer.email == "hopper@example.org"
