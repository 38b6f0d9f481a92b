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


async def raw(shop, name, data):
    """A reply of the customer service as it crosses the wire, to a request as it does."""
    channel = Bearer(shop.clients.channel(shop.clients.cluster.address("customer")), shop.token)
    return bytes(await channel.unary_unary(f"{SERVICE}/{name}")(data))


async def sent(shop, request):
    """The reply to CreateCustomer as it crosses the wire."""
    return await raw(shop, "CreateCustomer", request.SerializeToString())


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


async def test_a_refused_request_does_not_use_its_id_up(shop):
    await shop.customer(email="grace@example.org")
    request = create(shop)
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN):
        await shop.customers.CreateCustomer(request)

    request.email = "hopper@example.org"

    assert (await shop.customers.CreateCustomer(request)).customer.email == "hopper@example.org"


def of_the_same_subject(shop, subject, role="store_admin", customer=None):
    """The shop for another token of somebody: of this store, or of the one they moved to."""
    return shop.with_token(shop.clients.cluster.token(role, shop.store_id, customer, subject))


def rename(customer_id, name="Grace Hopper", **given):
    return UpdateCustomerRequest(
        **{"customer_id": customer_id, "full_name": name, "request_id": str(uuid.uuid4())} | given
    )


async def test_a_renewed_token_gets_the_first_reply(shop):
    subject, request = str(uuid.uuid4()), rename(await shop.customer())
    first = await of_the_same_subject(shop, subject).customers.UpdateCustomer(request)

    again = shop.with_token(
        shop.clients.cluster.token("store_admin", shop.store_id.upper(), None, subject, lifetime=60)
    )

    assert await again.customers.UpdateCustomer(request) == first


async def test_somebody_who_moved_to_another_store_is_answered_like_anybody_there(shop):
    subject, request = str(uuid.uuid4()), rename(await shop.customer())
    await of_the_same_subject(shop, subject).customers.UpdateCustomer(request)
    moved = of_the_same_subject(shop.another(), subject)

    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=request.customer_id) as there:
        await moved.customers.UpdateCustomer(request)

    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND) as anybody:
        await shop.another().customers.UpdateCustomer(rename(request.customer_id))
    assert (there.message, there.metadata) == (anybody.message, anybody.metadata)


@pytest.mark.parametrize("role", ["store_manager", "platform_admin"])
async def test_somebody_with_another_role_reads_nothing_old_and_repeats_nothing(shop, role):
    subject, customer_id = str(uuid.uuid4()), await shop.customer(email="grace@example.org")
    request = rename(customer_id)
    await of_the_same_subject(shop, subject).customers.UpdateCustomer(request)
    store = None if role == "platform_admin" else shop.store_id
    other = shop.with_token(shop.clients.cluster.token(role, store, None, subject))

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await other.customers.UpdateCustomer(request)

    assert len(await shop.published()) == 1


async def test_somebody_who_became_another_customer_reads_nothing_old(shop):
    subject, mine, theirs = str(uuid.uuid4()), await shop.customer(), await shop.customer()
    request = rename(mine)
    await of_the_same_subject(shop, subject, "customer", mine).customers.UpdateCustomer(request)

    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND):
        await of_the_same_subject(shop, subject, "customer", theirs).customers.UpdateCustomer(request)


async def test_somebody_else_of_the_store_is_told_what_their_own_request_would_be(shop):
    request = create(shop)
    await shop.customers.CreateCustomer(request)

    with refused(ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN):
        await shop.as_("store_admin").customers.CreateCustomer(request)


async def test_ids_in_capitals_are_the_same_request(shop):
    request = rename(await shop.customer())
    first = await shop.customers.UpdateCustomer(request)
    capitals = rename(request.customer_id.upper(), request_id=request.request_id.upper())

    assert await shop.customers.UpdateCustomer(capitals) == first
    assert len(await shop.published()) == 1


async def test_a_mask_in_another_order_is_the_same_request(shop):
    names = ["full_name", "phone", "full_name"]
    request = rename(await shop.customer(), phone="+4930123456", update_mask={"paths": names})
    first = await shop.customers.UpdateCustomer(request)
    request.update_mask.paths[:] = ["phone", "full_name"]

    assert await shop.customers.UpdateCustomer(request) == first


@pytest.mark.parametrize("order", [b"\xf8\x07\x01\xf0\x07\x02", b"\xf0\x07\x02\xf8\x07\x01", b"\xf0\x07\x03"])
async def test_fields_that_the_contract_does_not_know_do_not_make_another_request(shop, order):
    request = create(shop).SerializeToString()
    first = await raw(shop, "CreateCustomer", request)

    assert await raw(shop, "CreateCustomer", order + request) == first
    assert await raw(shop, "CreateCustomer", request + order) == first


async def test_fields_in_another_order_and_written_defaults_are_the_same_request(shop):
    request = create(shop)
    first = await raw(shop, "CreateCustomer", request.SerializeToString())
    parts = [
        CreateCustomerRequest(**{field.name: value}).SerializeToString()
        for field, value in request.ListFields()
    ]
    no_phone = bytes([CreateCustomerRequest.PHONE_FIELD_NUMBER << 3 | 2, 0])

    assert await raw(shop, "CreateCustomer", no_phone + b"".join(reversed(parts))) == first
