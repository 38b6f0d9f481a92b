"""ResolveDiscrepancy: how a difference was dealt with, noted."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.settlement_service_pb2 import ResolveDiscrepancyRequest

from tests.payment.reports import balance, captured, found, imported, line, line_of
from tests.shop import new_id, refused


def asking(difference, resolution="the provider corrects it tomorrow", **given):
    values = {"discrepancy_id": difference.discrepancy_id, "resolution": resolution, "request_id": new_id()}
    return ResolveDiscrepancyRequest(**(values | given))


async def different(till, shop):
    await imported(shop, line_of(await captured(till), off=1))
    (difference,) = await found(shop)
    return difference


async def test_it_is_noted_with_its_time_and_listed_as_open_no_more(till, shop):
    difference = await different(till, shop)
    books = await balance(shop)

    noted = (await shop.settlements.ResolveDiscrepancy(asking(difference))).discrepancy

    assert noted.resolution == "the provider corrects it tomorrow"
    assert noted.resolve_time.ToNanoseconds() > noted.create_time.ToNanoseconds()
    assert await found(shop) == []
    assert await found(shop, resolved=True) == [noted]
    assert await balance(shop) == books


async def test_once_more_it_is_the_same_note_and_a_new_one_takes_its_place(till, shop):
    difference = await different(till, shop)
    request = asking(difference)
    first = await shop.settlements.ResolveDiscrepancy(request)

    assert await shop.settlements.ResolveDiscrepancy(request) == first
    await shop.settlements.ResolveDiscrepancy(asking(difference, "it has"))

    assert [each.resolution for each in await found(shop, resolved=True)] == ["it has"]


async def test_a_foreign_one_is_not_found_like_one_that_never_was(till, shop):
    difference = await different(till, shop)
    settlement = await imported(shop, line("CAPTURE", 1, charge="no"))
    (nobodys,) = await found(shop, store_id="", settlement_id=settlement.settlement_id)

    for store, wanted in ((shop.another(), difference), (shop, nobodys)):
        with refused(ErrorReason.ERROR_REASON_DISCREPANCY_NOT_FOUND):
            await store.settlements.ResolveDiscrepancy(asking(wanted))
    with refused(ErrorReason.ERROR_REASON_DISCREPANCY_NOT_FOUND):
        await shop.settlements.ResolveDiscrepancy(asking(difference, discrepancy_id=new_id()))
    await shop.as_("platform_admin").settlements.ResolveDiscrepancy(asking(nobodys))


async def test_managers_and_customers_may_not(till, shop):
    difference = await different(till, shop)
    for other in (shop.as_("store_manager"), shop.as_("customer", new_id())):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await other.settlements.ResolveDiscrepancy(asking(difference))


async def test_what_is_no_note_is_refused_with_the_field(till, shop):
    difference = await different(till, shop)
    for given, field in (
        ({"resolution": ""}, "resolution"),
        ({"resolution": "x" * 501}, "resolution"),
        ({"discrepancy_id": "it"}, "discrepancy_id"),
        ({"request_id": ""}, "request_id"),
    ):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
            await shop.settlements.ResolveDiscrepancy(asking(difference, **given))
        assert field in refusal.violations
