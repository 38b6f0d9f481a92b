import asyncio

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.settings_service_pb2 import OrderSettings, TaxRate
from google.protobuf.duration_pb2 import Duration

from tests.order.asks import order_of
from tests.order.deals import get_settings, set_up, settings, ships, sums, tax
from tests.shop import new_id, refused

DAY = Duration(seconds=86_400)


async def test_replaces_all_of_them(shop):
    await set_up(shop, tax_included=True, tax_rates=[tax(190_000, "DE")], payment_wait=DAY)

    changed = await set_up(shop, shipping_rates=[ships(490, "DE"), ships(490, "DE", currency="USD")])

    assert (await shop.settings.GetOrderSettings(get_settings(shop))).settings == changed
    assert (changed.tax_included, len(changed.tax_rates), len(changed.shipping_rates)) == (False, 0, 2)
    assert changed.payment_wait == Duration(seconds=3600)


async def test_orders_that_were_placed_before_keep_what_they_were_placed_with(shop):
    order_id = await shop.order()
    before = await order_of(shop, order_id)

    await set_up(shop, tax_rates=[tax(190_000)], shipping_rates=[ships(490)], payment_wait=DAY)

    now = await order_of(shop, order_id)
    assert (sums(now), now.expire_time) == (sums(before), before.expire_time)


async def test_sent_ten_times_at_once_with_one_request_id_answers_the_same(shop):
    request = settings(shop, tax_rates=[tax(190_000)])
    replies = await asyncio.gather(*(shop.settings.SetOrderSettings(request) for _ in range(10)))
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("settings.tax_rates", {"tax_rates": [tax(1, "DE", "food"), tax(2, "DE", "food")]}),
        ("settings.tax_rates", {"tax_rates": [tax(1, "DE", "food"), tax(2, "DE", "Food")]}),
        ("settings.tax_rates[0].rate_ppm", {"tax_rates": [tax(1_000_001)]}),
        ("settings.tax_rates[0].rate_ppm", {"tax_rates": [TaxRate(country_code="DE")]}),
        ("settings.tax_rates[0].country_code", {"tax_rates": [tax(1, "de")]}),
        ("settings.tax_rates[0].country_code", {"tax_rates": [tax(1, "ZZ")]}),
        ("settings.shipping_rates[1].country_code", {"shipping_rates": [ships(1, "DE"), ships(1, "UK")]}),
        ("settings.shipping_rates[0].fee.currency_code", {"shipping_rates": [ships(1, currency="ZZZ")]}),
        ("settings.shipping_rates", {"shipping_rates": [ships(1, "DE"), ships(2, "DE")]}),
        ("settings.shipping_rates[0].fee", {"shipping_rates": [ships(-1)]}),
        ("settings.shipping_rates[0].free_from", {"shipping_rates": [ships(1, free_from=-1)]}),
        ("settings.time_zone", {"time_zone": "Berlin"}),
        ("settings.time_zone", {"time_zone": "europe/berlin"}),
        ("settings.time_zone", {"time_zone": "CEST"}),
        ("settings.time_zone", {"time_zone": "+01:00"}),
        ("settings.time_zone", {"time_zone": "../../etc/passwd"}),
        ("settings.time_zone", {"time_zone": "localtime"}),
        ("settings.payment_wait", {"payment_wait": Duration(nanos=1)}),
        ("settings.payment_wait", {"payment_wait": Duration(seconds=30 * 86_400 + 1)}),
        ("settings.payment_wait", {"payment_wait": Duration(seconds=-60)}),
    ],
)
async def test_names_the_field_that_is_wrong_and_changes_nothing(shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await set_up(shop, **given)
    assert field in said.violations
    found = (await shop.settings.GetOrderSettings(get_settings(shop))).settings
    assert found == OrderSettings(payment_wait=Duration(seconds=3600))


async def test_refuses_a_manager_and_a_customer(shop):
    for role in ("store_manager", "customer"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await set_up(shop.as_(role, customer_id=new_id()))


async def test_refuses_another_stores(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.another().settings.SetOrderSettings(settings(shop))


async def test_zeros_that_are_said_are_kept(shop):
    given = {"tax_rates": [tax(0, "DE")], "shipping_rates": [ships(0, "DE")]}
    assert (await set_up(shop, **given)).tax_rates[0].HasField("rate_ppm")

    path = f"/v1/stores/{shop.store_id}/order-settings"
    found = (await shop.rest("GET", path)).body["settings"]
    assert (found["taxRates"][0]["ratePpm"], found["shippingRates"][0]["fee"]["minorUnits"]) == (0, "0")
    assert (await shop.rest("PUT", path, {"settings": found, "requestId": new_id()})).status == 200
