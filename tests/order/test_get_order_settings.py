from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.settings_service_pb2 import GetOrderSettingsRequest, OrderSettings
from google.protobuf.duration_pb2 import Duration

from tests.order.deals import get_settings, set_up, ships, tax
from tests.shop import new_id, refused


async def test_a_store_that_never_set_any_has_the_defaults(shop):
    found = (await shop.settings.GetOrderSettings(get_settings(shop))).settings
    assert found == OrderSettings(payment_wait=Duration(seconds=3600))


async def test_its_customers_see_them_too(shop):
    changed = await set_up(shop, tax_included=True, tax_rates=[tax(190_000)], shipping_rates=[ships(490)])
    customer = shop.as_("customer", customer_id=new_id())
    assert (await customer.settings.GetOrderSettings(get_settings(shop))).settings == changed


async def test_refuses_another_stores(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.another().settings.GetOrderSettings(get_settings(shop))


async def test_refuses_a_courier(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_("courier").settings.GetOrderSettings(get_settings(shop))


async def test_names_the_field_that_is_wrong(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.as_service.settings.GetOrderSettings(GetOrderSettingsRequest(store_id="here"))
    assert set(said.violations) == {"store_id"}
