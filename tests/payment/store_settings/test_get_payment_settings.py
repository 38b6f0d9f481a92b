"""GetPaymentSettings."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1 import settings_service_pb2 as rpc
from commerce.payment.v1.payment_pb2 import CaptureMode
from google.protobuf.duration_pb2 import Duration

from tests.shop import new_id, refused

DEFAULTS = rpc.PaymentSettings(
    capture_mode=CaptureMode.CAPTURE_MODE_ON_ACCEPTANCE, action_wait=Duration(seconds=900)
)


def ask(shop, **given):
    return rpc.GetPaymentSettingsRequest(**({"store_id": shop.store_id} | given))


@pytest.mark.parametrize("role", ["store_manager", "store_admin", "platform_admin", "service"])
async def test_a_store_that_never_set_any_has_the_defaults(shop, role):
    reply = await shop.as_(role).payment_settings.GetPaymentSettings(ask(shop))
    assert reply.settings == DEFAULTS


async def test_tells_what_was_set_and_the_defaults_of_the_rest(shop):
    rule = rpc.GatewayRule(currency_code="EUR", gateways=["sandbox"])
    settings = rpc.PaymentSettings(gateway_rules=[rule])
    await shop.payment_settings.SetPaymentSettings(
        rpc.SetPaymentSettingsRequest(store_id=shop.store_id, settings=settings, request_id=new_id())
    )
    for store_id in (shop.store_id, shop.store_id.upper()):
        reply = await shop.payment_settings.GetPaymentSettings(ask(shop, store_id=store_id))
        settings.MergeFrom(DEFAULTS)
        assert reply.settings == settings
    other = shop.another()
    assert (await other.payment_settings.GetPaymentSettings(ask(other))).settings == DEFAULTS


async def test_refuses_another_store_a_customer_and_nobody(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.another().payment_settings.GetPaymentSettings(ask(shop))
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_("customer", customer_id=new_id()).payment_settings.GetPaymentSettings(ask(shop))
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.payment_settings.GetPaymentSettings(ask(shop))


async def test_refuses_an_id_that_is_none_and_names_it(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.as_service.payment_settings.GetPaymentSettings(ask(shop, store_id="x"))
    assert set(said.violations) == {"store_id"}
