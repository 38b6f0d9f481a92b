"""GetProduct."""

from commerce.catalog.v1.catalog_service_pb2 import GetProductRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.orders import new_id
from tests.shop import refused


async def test_shows_a_product_to_the_store_its_customers_and_the_platform(shop):
    request = GetProductRequest(product_id=await shop.product(name="Mug"))

    for reader in (shop, shop.as_("customer", new_id()), shop.as_("platform_admin"), shop.as_service):
        assert (await reader.catalog.GetProduct(request)).product.name == "Mug"


async def test_refuses_a_product_that_does_not_exist(shop):
    product_id = new_id()

    with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product_id):
        await shop.catalog.GetProduct(GetProductRequest(product_id=product_id))


async def test_another_stores_product_is_refused_exactly_like_a_missing_one(shop):
    missing, foreign = new_id(), await shop.another().product()

    with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND) as of_missing:
        await shop.catalog.GetProduct(GetProductRequest(product_id=missing))
    with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND) as of_foreign:
        await shop.catalog.GetProduct(GetProductRequest(product_id=foreign))

    assert of_foreign.message.replace(foreign, missing) == of_missing.message
    assert of_foreign.metadata == {"product_id": foreign}


async def test_an_id_is_the_same_in_capitals(shop):
    product_id = await shop.product()

    reply = await shop.catalog.GetProduct(GetProductRequest(product_id=product_id.upper()))

    assert reply.product.product_id == product_id
