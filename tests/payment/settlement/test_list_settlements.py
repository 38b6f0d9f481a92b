"""ListSettlements."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.settlement_service_pb2 import ListSettlementsRequest

from tests.payment.reports import captured, imported, line_of
from tests.shop import refused


async def listed(shop, **given):
    return await shop.as_("platform_admin").settlements.ListSettlements(ListSettlementsRequest(**given))


async def test_the_newest_comes_first_as_it_is_now(till, shop):
    payment = await captured(till)
    first = await imported(shop, line_of(payment, reference="", line_id=f"1 {payment.payment_id}"))
    second = await imported(shop, line_of(payment, line_id=f"2 {payment.payment_id}"))

    reply = await listed(shop, page_size=2)

    assert reply.settlements[0] == second
    # Its line no longer agrees: the one that came later is of that operation.
    assert reply.settlements[1].settlement_id == first.settlement_id
    assert (reply.settlements[1].matched, second.discrepancies) == (0, 1)


async def test_comes_in_pages(shop):
    made = [(await imported(shop)).settlement_id for _ in range(5)]
    seen: list[str] = []
    token = ""
    while len(seen) < 5:
        reply = await listed(shop, page_size=2, page_token=token)
        seen += [each.settlement_id for each in reply.settlements]
        token = reply.next_page_token

    assert seen[:5] == made[::-1]


async def test_of_one_provider_only(shop):
    await imported(shop)

    assert {each.gateway for each in (await listed(shop, gateway="sandbox")).settlements} == {"sandbox"}
    assert list((await listed(shop, gateway="stripe")).settlements) == []


async def test_a_token_of_another_list_is_refused(shop):
    for _ in range(2):
        await imported(shop)
    token = (await listed(shop, page_size=1)).next_page_token

    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await listed(shop, gateway="sandbox", page_size=1, page_token=token)


async def test_only_who_runs_the_platform_may(shop):
    for role in ("store_admin", "store_manager"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role).settlements.ListSettlements(ListSettlementsRequest())
