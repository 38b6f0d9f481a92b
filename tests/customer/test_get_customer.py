"""GetCustomer."""

import uuid

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import GetCustomerRequest

from tests.shop import refused


async def test_finds_a_customer_however_the_id_is_capitalised(shop):
    customer_id = await shop.customer(full_name="Grace Hopper")

    for spelled in (customer_id, customer_id.upper()):
        found = await shop.customers.GetCustomer(GetCustomerRequest(customer_id=spelled))
        assert found.customer.full_name == "Grace Hopper"


async def test_a_customer_sees_themself_and_nobody_else(shop):
    own, other = await shop.customer(), await shop.customer()
    customer = shop.as_("customer", own)

    seen = await customer.customers.GetCustomer(GetCustomerRequest(customer_id=own))
    assert seen.customer.customer_id == own
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=other):
        await customer.customers.GetCustomer(GetCustomerRequest(customer_id=other))


async def test_answers_another_stores_customer_exactly_like_one_that_does_not_exist(shop):
    foreign, missing = await shop.another().customer(), str(uuid.uuid4())

    said = {}
    for customer_id in (foreign, missing):
        with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=customer_id) as refusal:
            await shop.customers.GetCustomer(GetCustomerRequest(customer_id=customer_id))
        said[customer_id] = refusal.message.replace(customer_id, "…")

    assert said[foreign] == said[missing]


async def test_a_service_and_a_platform_administrator_see_every_store(shop):
    customer_id = await shop.customer()

    for everywhere in (shop.as_service, shop.as_("platform_admin")):
        found = await everywhere.customers.GetCustomer(GetCustomerRequest(customer_id=customer_id))
        assert found.customer.store_id == shop.store_id


async def test_nobody_sees_anything_without_a_token(shop):
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.customers.GetCustomer(GetCustomerRequest(customer_id=str(uuid.uuid4())))


async def test_a_browser_gets_404_with_the_reason(shop):
    customer_id = await shop.customer()

    found = await shop.rest("GET", f"/v1/customers/{customer_id}")
    assert found.body["customer"]["customerId"] == customer_id
    missing = await shop.rest("GET", f"/v1/customers/{uuid.uuid4()}")
    assert missing.status == 404
    assert "CUSTOMER_NOT_FOUND" in str(missing.body)
