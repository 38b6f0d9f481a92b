"""SetPaymentSettings. What a gateway cannot do is tried with stand-ins, for the sandbox can do everything."""

from dataclasses import replace

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1 import settings_service_pb2 as rpc
from commerce.payment.v1.payment_pb2 import CaptureMode
from google.protobuf.duration_pb2 import Duration

from services.payment.gateways.gateway import Abilities
from services.payment.store_settings.handlers import check
from services.runtime.refusals import Refusal
from tests.payment.stand_ins import gateways_that_can
from tests.payment.till import at_once, said
from tests.shop import new_id, refused

ON_SHIPMENT = CaptureMode.CAPTURE_MODE_ON_SHIPMENT


def ask(shop, settings=None, **given):
    values = {"store_id": shop.store_id, "settings": settings or rpc.PaymentSettings()}
    return rpc.SetPaymentSettingsRequest(**({"request_id": new_id()} | values | given))


def rule(*gateways, currency_code=""):
    return rpc.GatewayRule(currency_code=currency_code, gateways=gateways)


async def read(shop):
    request = rpc.GetPaymentSettingsRequest(store_id=shop.store_id)
    return (await shop.payment_settings.GetPaymentSettings(request)).settings


async def test_replaces_all_of_them(shop):
    first = rpc.PaymentSettings(
        capture_mode=CaptureMode.CAPTURE_MODE_MANUAL,
        gateway_rules=[rule("sandbox", currency_code="EUR"), rule("sandbox")],
        action_wait=Duration(seconds=60),
    )
    assert (await shop.payment_settings.SetPaymentSettings(ask(shop, first))).settings == first
    assert await read(shop) == first

    second = rpc.PaymentSettings(capture_mode=ON_SHIPMENT)
    set_to = (await shop.payment_settings.SetPaymentSettings(ask(shop, second))).settings
    assert (set_to.capture_mode, set_to.action_wait.seconds) == (ON_SHIPMENT, 900)
    assert list(set_to.gateway_rules) == []
    assert await read(shop) == set_to


async def test_payments_after_it_are_asked_for_so_and_those_before_keep_theirs(shop, till):
    before = await till.authorize()
    settings = rpc.PaymentSettings(capture_mode=CaptureMode.CAPTURE_MODE_AT_ONCE)
    await shop.payment_settings.SetPaymentSettings(ask(shop, settings))

    payment = await till.authorize()

    assert payment.capture_mode == CaptureMode.CAPTURE_MODE_AT_ONCE
    assert said(await till.until(payment, "CAPTURED")) == "CAPTURED"
    assert said(await till.get(before)) == "AUTHORIZED"


async def test_a_currency_that_no_rule_names_is_refused_but_not_a_payment_that_is_there(shop, till):
    asking = till.asking()
    payment = await till.ask(asking)
    settings = rpc.PaymentSettings(gateway_rules=[rule("sandbox", currency_code="USD")])
    await shop.payment_settings.SetPaymentSettings(ask(shop, settings))

    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNKNOWN):
        await till.authorize()

    same = till.asking(order_id=asking.order_id, customer_id=asking.customer_id)
    assert (await till.ask(same)).payment_id == payment.payment_id


async def test_twice_with_one_request_id_is_one_change(shop):
    asking = ask(shop, rpc.PaymentSettings(capture_mode=CaptureMode.CAPTURE_MODE_MANUAL))
    stub = shop.payment_settings
    replies = await at_once(*(stub.SetPaymentSettings(asking) for _ in range(10)))
    await stub.SetPaymentSettings(ask(shop))
    assert await stub.SetPaymentSettings(asking) == replies[0]
    assert (await read(shop)).capture_mode == CaptureMode.CAPTURE_MODE_ON_ACCEPTANCE


async def test_refuses_a_gateway_that_there_is_not_and_changes_nothing(shop):
    settings = rpc.PaymentSettings(gateway_rules=[rule("sandbox", "elsewhere")])
    before = await read(shop)
    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNKNOWN, gateway="elsewhere"):
        await shop.payment_settings.SetPaymentSettings(ask(shop, settings))
    assert await read(shop) == before


@pytest.mark.parametrize(
    ("settings", "gateway", "ability"),
    [
        (
            rpc.PaymentSettings(gateway_rules=[rule("all", "euros", currency_code="USD")]),
            "euros",
            "currency_codes",
        ),
        (rpc.PaymentSettings(gateway_rules=[rule("all", "euros", currency_code="EUR")]), "", ""),
        (rpc.PaymentSettings(gateway_rules=[rule("euros")]), "", ""),
        (
            rpc.PaymentSettings(gateway_rules=[rule("whole")], capture_mode=ON_SHIPMENT),
            "whole",
            "multiple_capture",
        ),
        (rpc.PaymentSettings(gateway_rules=[rule("all")], capture_mode=ON_SHIPMENT), "", ""),
        (rpc.PaymentSettings(capture_mode=ON_SHIPMENT), "whole", "multiple_capture"),
        (rpc.PaymentSettings(), "", ""),
    ],
)
def test_refuses_what_a_gateway_cannot_do(settings, gateway, ability):
    parts = Abilities(partial_capture=True, multiple_capture=True)
    gateways = gateways_that_can(
        all=parts,
        euros=replace(parts, currency_codes=("EUR",)),
        whole=Abilities(),
    )
    if not gateway:
        check(settings, gateways)
        return
    with pytest.raises(Refusal) as said_no:
        check(settings, gateways)
    assert said_no.value.name == "GATEWAY_UNABLE"
    assert said_no.value.metadata == {"gateway": gateway, "ability": ability}


async def test_refuses_whoever_may_not_set_them(shop):
    for role in ("store_manager", "courier", "customer"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role, customer_id=new_id()).payment_settings.SetPaymentSettings(ask(shop))
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.another().payment_settings.SetPaymentSettings(ask(shop))
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.payment_settings.SetPaymentSettings(ask(shop))
    for role in ("platform_admin", "service"):
        await shop.as_(role).payment_settings.SetPaymentSettings(ask(shop))


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("settings.capture_mode", rpc.PaymentSettings(capture_mode=CaptureMode.ValueType(99))),
        ("settings.action_wait", rpc.PaymentSettings(action_wait=Duration(nanos=5))),
        ("settings.action_wait", rpc.PaymentSettings(action_wait=Duration(seconds=90_000))),
        ("settings.gateway_rules", rpc.PaymentSettings(gateway_rules=[rule("sandbox"), rule("sandbox")])),
        ("settings.gateway_rules[0].gateways", rpc.PaymentSettings(gateway_rules=[rule()])),
        (
            "settings.gateway_rules[0].gateways",
            rpc.PaymentSettings(gateway_rules=[rule("sandbox", "sandbox")]),
        ),
        (
            "settings.gateway_rules[0].currency_code",
            rpc.PaymentSettings(gateway_rules=[rule("sandbox", currency_code="euro")]),
        ),
    ],
)
async def test_refuses_what_cannot_be_and_names_it(shop, field, settings):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await shop.payment_settings.SetPaymentSettings(ask(shop, settings))
    assert field in told.violations


async def test_by_rest(shop):
    path = f"/v1/stores/{shop.store_id}/payment-settings"
    asked = {"settings": {"captureMode": "CAPTURE_MODE_MANUAL", "actionWait": "60s"}, "requestId": new_id()}
    reply = await shop.rest("PUT", path, asked)
    assert reply.status == 200
    assert (await shop.rest("GET", path)).body["settings"]["actionWait"] == "60s"
