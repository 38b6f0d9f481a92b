"""CreateCustomer."""

import asyncio
import uuid

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_events_pb2 import CustomerCreated
from commerce.customer.v1.customer_service_pb2 import CreateCustomerRequest, GetCustomerRequest

from tests.shop import refused


def create(shop, **given):
    values = {
        "store_id": shop.store_id,
        "full_name": "Grace Hopper",
        "email": "grace@example.org",
        "phone": "+4915112345678",
        "request_id": str(uuid.uuid4()),
    }
    return CreateCustomerRequest(**(values | given))


async def test_answers_with_the_customer_as_it_is_kept(shop):
    created = (await shop.customers.CreateCustomer(create(shop))).customer

    assert (created.store_id, created.full_name, created.email, created.phone, created.version) == (
        shop.store_id,
        "Grace Hopper",
        "grace@example.org",
        "+4915112345678",
        1,
    )
    assert uuid.UUID(created.customer_id).version == 7
    assert created.create_time == created.update_time
    kept = await shop.customers.GetCustomer(GetCustomerRequest(customer_id=created.customer_id))
    assert kept.customer == created


async def test_publishes_one_event_that_holds_the_whole_customer(shop):
    created = (await shop.customers.CreateCustomer(create(shop))).customer

    assert await shop.published() == [CustomerCreated(customer=created)]


async def test_refuses_a_mail_address_that_another_customer_of_the_store_has_however_it_is_written(shop):
    await shop.customers.CreateCustomer(create(shop))
    await shop.mark()

    with refused(ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN):
        await shop.customers.CreateCustomer(create(shop, email="GRACE@Example.org"))

    assert await shop.published() == []


async def test_keeps_what_was_pasted_without_blanks_around_it(shop):
    pasted = {
        "full_name": "\u00a0Zoe\u0308 ",
        "email": " zoe@example.org\t",
        "phone": "\ufeff+4915112345678\n",
    }

    created = (await shop.customers.CreateCustomer(create(shop, **pasted))).customer

    assert (created.full_name, created.email, created.phone) == ("Zoë", "zoe@example.org", "+4915112345678")
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN):
        await shop.customers.CreateCustomer(create(shop, email="ZOE@example.org "))


@pytest.mark.parametrize("name", ["  ", "\u200b", "\u3164\u3164", "\u2800", "\u202eAda"])
async def test_refuses_a_name_that_nobody_can_read(shop, name):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.customers.CreateCustomer(create(shop, full_name=name))

    assert said.violations.keys() == {"full_name"}


async def test_lets_two_stores_have_a_customer_with_the_same_mail_address(shop):
    another = shop.another()

    first = await shop.customers.CreateCustomer(create(shop))
    second = await another.customers.CreateCustomer(create(another))

    assert first.customer.customer_id != second.customer.customer_id


async def test_of_many_at_once_with_one_mail_address_exactly_one_is_created(shop):
    replies = await asyncio.gather(
        *(shop.customers.CreateCustomer(create(shop)) for _ in range(20)), return_exceptions=True
    )

    codes = [reply.code() for reply in replies if isinstance(reply, grpc.aio.AioRpcError)]
    assert codes == [grpc.StatusCode.ALREADY_EXISTS] * 19
    assert len(await shop.published(CustomerCreated)) == 1


async def test_keeps_text_of_any_language_as_it_was_written(shop):
    name = "Nguyễn Thị Minh Khai 阮氏明開 🜁"

    created = (await shop.customers.CreateCustomer(create(shop, full_name=name))).customer

    assert created.full_name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", ""),
        ("full_name", "x" * 201),
        ("email", "nobody"),
        ("email", ""),
        ("email", f"{'x' * 250}@example.org"),
        ("phone", "0151 1234"),
        ("phone", "+0123456789"),
        ("store_id", "mine"),
        ("request_id", ""),
    ],
)
async def test_names_the_field_that_breaks_its_rule(shop, field, value):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.customers.CreateCustomer(create(shop, **{field: value}))

    assert field in said.violations


async def test_refuses_a_text_that_cannot_be_stored(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT):
        await shop.customers.CreateCustomer(create(shop, full_name="Grace\0Hopper"))


async def test_a_customer_or_courier_may_not(shop):
    request = create(shop)
    for role in ("customer", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role=role.upper()):
            await shop.as_(role, customer_id=str(uuid.uuid4())).customers.CreateCustomer(request)


async def test_another_stores_administrator_may_not(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.another().customers.CreateCustomer(create(shop))

    assert await shop.published() == []


async def test_works_for_a_browser(shop):
    body = {"fullName": "Grace Hopper", "email": "grace@example.org", "requestId": str(uuid.uuid4())}

    reply = await shop.rest("POST", f"/v1/stores/{shop.store_id}/customers", json=body)

    assert reply.status == 200
    assert reply.body["customer"]["fullName"] == "Grace Hopper"
    assert reply.body["customer"]["storeId"] == shop.store_id
