"""ListDiscrepancies."""

import random
from typing import Any

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.settlement_service_pb2 import (
    DiscrepancyReason,
    ListDiscrepanciesRequest,
    ResolveDiscrepancyRequest,
)

from tests.payment.reports import balance, captured, found, imported, line, line_of, report, sent, told
from tests.payment.till import Till
from tests.shop import new_id, refused


async def listed(shop, **given):
    reply = await shop.settlements.ListDiscrepancies(ListDiscrepanciesRequest(**given))
    return list(reply.discrepancies)


async def test_a_store_sees_its_own_and_who_runs_the_platform_all(till, shop):
    await imported(shop, line_of(await captured(till), off=1))
    other = shop.another()
    settlement = await imported(
        shop, line_of(await captured(Till(other)), off=2), line("CAPTURE", 3, charge="no")
    )

    assert told(await listed(shop, store_id=shop.store_id)) == [("AMOUNT", 1999, 2000)]
    assert told(await listed(shop.as_("store_manager"), store_id=shop.store_id)) == [("AMOUNT", 1999, 2000)]
    everything = await listed(shop.as_("platform_admin"), settlement_id=settlement.settlement_id)
    assert sorted(told(everything)) == [("AMOUNT", 1999, 2001), ("MISSING_HERE", None, 3)]
    assert await listed(shop, store_id=shop.store_id, settlement_id=settlement.settlement_id) == []


async def test_a_store_must_say_that_it_asks_for_its_own(shop):
    for asking in (shop, shop.as_("store_manager")):
        for store_id in ("", new_id()):
            with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
                await listed(asking, store_id=store_id)
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await listed(shop.as_("customer", new_id()), store_id=shop.store_id)


async def test_by_reason_and_those_that_were_dealt_with_if_asked_for(till, shop):
    payments = [await captured(till) for _ in range(3)]
    await imported(
        shop, line_of(payments[0], off=7), line_of(payments[1], currency="USD"), line_of(payments[2], off=9)
    )
    amounts = await listed(shop, store_id=shop.store_id, reason=DiscrepancyReason.DISCREPANCY_REASON_AMOUNT)
    assert sorted(told(amounts)) == [("AMOUNT", 1999, 2006), ("AMOUNT", 1999, 2008)]

    for each in amounts:
        request = ResolveDiscrepancyRequest(
            discrepancy_id=each.discrepancy_id, resolution="a tip", request_id=new_id()
        )
        await shop.settlements.ResolveDiscrepancy(request)

    assert told(await listed(shop, store_id=shop.store_id)) == [("CURRENCY", 1999, 1999)]
    assert len(await listed(shop, store_id=shop.store_id, resolved=True)) == 3


async def test_comes_in_pages_the_newest_first(till, shop):
    for off in range(1, 6):
        await imported(shop, line_of(await captured(till), off=off))
    pages, token = [], ""
    while True:
        request = ListDiscrepanciesRequest(store_id=shop.store_id, page_size=2, page_token=token)
        reply = await shop.settlements.ListDiscrepancies(request)
        pages.append([each.theirs.minor_units - 1999 for each in reply.discrepancies])
        token = reply.next_page_token
        if not token:
            break

    assert pages == [[5, 4], [3, 2], [1]]


async def test_is_part_of_the_rest_api_for_a_store_and_for_all(till, shop):
    await imported(shop, line_of(await captured(till), off=1))

    reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/discrepancies")
    everything = await shop.as_("platform_admin").rest("GET", "/v1/discrepancies?pageSize=1")

    assert [each["reason"] for each in reply.body["discrepancies"]] == ["DISCREPANCY_REASON_AMOUNT"]
    assert len(everything.body["discrepancies"]) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_of_lines_and_batches_and_reports_does_not_matter(till, shop, seed):
    """The same lines about the same payments of two stores, in different orders and parts."""
    chance = random.Random(seed)
    other = shop.another()
    both = [await paid(till), await paid(Till(other))]
    recipe = [
        (
            chance.randrange(2),
            chance.choice(["capture", "refund"]),
            chance.choice([0, 0, 0, 100]),
            chance.choice([None, None, "", "cap_no"]),
            chance.choice(["EUR", "EUR", "EUR", "USD"]),
        )
        for _ in range(9)
    ]
    for store, payments in zip((shop, other), both, strict=True):
        mark = new_id()
        lines = []
        for number, (which, kind, off, reference, currency) in enumerate(recipe):
            given: dict[str, Any] = {} if reference is None else {"reference": reference}
            lines.append(
                line_of(payments[which], kind, off, line_id=f"{mark} {number}", currency=currency, **given)
            )
        chance.shuffle(lines)
        cut = chance.randrange(1, 9)
        await sent(store, report(lines[:cut], lines[cut : cut + 2], lines[cut + 2 :]))
        await imported(store, *chance.sample(lines, 4))

    assert sorted(map(str, told(await found(shop)))) == sorted(map(str, told(await found(other))))
    assert await balance(shop) == await balance(other)


async def paid(till):
    payments = []
    for minor_units in (1000, 1100):
        payment = await captured(till, minor_units)
        payments.append(await till.refund(payment, minor_units=300))
    return payments
