"""UpdateCustomer."""

import asyncio
import uuid

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_events_pb2 import CustomerUpdated
from commerce.customer.v1.customer_service_pb2 import GetCustomerRequest, UpdateCustomerRequest
from google.protobuf.field_mask_pb2 import FieldMask

from tests.shop import refused


def update(customer_id, *paths, **given):
    values = {"customer_id": customer_id, "request_id": str(uuid.uuid4())} | given
    return UpdateCustomerRequest(update_mask=FieldMask(paths=paths), **values)


@pytest.fixture
async def grace(shop):
    customer_id = await shop.customer(full_name="Grace", email="grace@navy.mil", phone="+4915112345678")
    return await customer(shop, customer_id)


async def customer(shop, customer_id):
    return (await shop.customers.GetCustomer(GetCustomerRequest(customer_id=customer_id))).customer


async def test_without_a_mask_changes_what_is_set_and_nothing_else(shop, grace):
    changed = (await shop.customers.UpdateCustomer(update(grace.customer_id, full_name="Grace H."))).customer

    assert (changed.full_name, changed.email, changed.phone) == ("Grace H.", grace.email, grace.phone)
    assert changed == await customer(shop, grace.customer_id)


async def test_a_mask_leaves_out_what_it_does_not_name(shop, grace):
    request = update(grace.customer_id, "full_name", full_name="Grace H.", phone="+4930123456")

    changed = (await shop.customers.UpdateCustomer(request)).customer

    assert (changed.full_name, changed.phone) == ("Grace H.", grace.phone)


async def test_each_change_is_one_version_and_one_event_and_leaves_the_time_of_creation(shop, grace):
    changed = (await shop.customers.UpdateCustomer(update(grace.customer_id, phone=""))).customer

    assert (changed.version, changed.phone, changed.create_time) == (2, "", grace.create_time)
    assert changed.update_time.ToNanoseconds() > grace.update_time.ToNanoseconds()
    assert await shop.published() == [CustomerUpdated(customer=changed)]


async def test_a_telephone_number_that_the_mask_names_and_nobody_sets_is_removed(shop, grace):
    changed = (await shop.customers.UpdateCustomer(update(grace.customer_id, "phone"))).customer

    assert changed.phone == ""


@pytest.mark.parametrize("field", ["full_name", "email"])
async def test_a_name_or_mail_address_may_not_be_emptied(shop, grace, field):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.customers.UpdateCustomer(update(grace.customer_id, "phone", field))
    assert said.violations == {field: "may not be emptied"}
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.customers.UpdateCustomer(update(grace.customer_id, **{field: ""}))
    assert field in said.violations

    assert await customer(shop, grace.customer_id) == grace
    assert await shop.published() == []


@pytest.mark.parametrize("path", ["store_id", "version", "customer.email", "*", ""])
async def test_refuses_a_mask_that_names_anything_else(shop, grace, path):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.customers.UpdateCustomer(update(grace.customer_id, path, full_name="Grace H."))

    assert "update_mask" in said.violations


async def test_what_changes_nothing_keeps_the_version_and_tells_nobody(shop, grace):
    for request in (update(grace.customer_id), update(grace.customer_id, email=grace.email)):
        reply = await shop.customers.UpdateCustomer(request)
        assert reply.customer == grace

    assert await shop.published() == []


async def test_refuses_the_mail_address_of_another_customer_but_not_ones_own_written_otherwise(shop, grace):
    await shop.customer(email="ada@example.org")

    with refused(ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN):
        await shop.customers.UpdateCustomer(update(grace.customer_id, email="ADA@example.org"))
    own = await shop.customers.UpdateCustomer(update(grace.customer_id, email="Grace@navy.mil"))

    assert own.customer.email == "Grace@navy.mil"


async def test_many_changes_at_once_are_versions_without_a_gap(shop, grace):
    replies = await asyncio.gather(
        *(
            shop.customers.UpdateCustomer(update(grace.customer_id, full_name=f"Grace {number}"))
            for number in range(20)
        )
    )

    assert sorted(reply.customer.version for reply in replies) == list(range(2, 22))
    assert [event.customer.version for event in await shop.published()] == list(range(2, 22))


async def test_a_customer_changes_themself_and_nobody_else(shop, grace):
    other = await shop.customer()
    herself = shop.as_("customer", grace.customer_id)

    await herself.customers.UpdateCustomer(update(grace.customer_id, full_name="Amazing Grace"))
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=other):
        await herself.customers.UpdateCustomer(update(other, full_name="Amazing Grace"))

    assert (await customer(shop, other)).full_name == "Ada Lovelace"


async def test_another_stores_administrator_finds_nobody(shop, grace):
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=grace.customer_id):
        await shop.another().customers.UpdateCustomer(update(grace.customer_id, full_name="Mine"))

    assert await customer(shop, grace.customer_id) == grace


async def test_a_browser_patches_what_it_names(shop, grace):
    body = {"phone": "", "requestId": str(uuid.uuid4())}

    reply = await shop.rest("PATCH", f"/v1/customers/{grace.customer_id}", json=body)

    assert reply.status == 200
    assert (reply.body["customer"]["phone"], reply.body["customer"]["fullName"]) == ("", "Grace")
