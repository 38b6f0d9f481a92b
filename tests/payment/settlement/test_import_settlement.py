"""ImportSettlement: each line is matched with what we know, its fee posted, every difference kept."""

import asyncio
from functools import partial

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money

from tests.payment.reports import (
    balance,
    captured,
    counts,
    found,
    imported,
    line,
    line_of,
    now,
    report,
    sent,
    told,
)
from tests.shop import eventually, new_id, refused


async def test_lines_that_agree_are_matched_and_their_fees_posted(till, shop):
    payment = await captured(till)
    payment = await till.refund(payment, minor_units=500)

    settlement = await imported(shop, line_of(payment), line_of(payment, "refund", fee=0))

    assert counts(settlement) == (2, 2, 0)
    assert settlement.complete
    assert settlement.net == [Money(currency_code="EUR", minor_units=1999 - 88 - 500)]
    assert settlement.fees == [Money(currency_code="EUR", minor_units=88)]
    accounts, differences = await balance(shop)
    assert accounts["fees"] == 88
    assert accounts["provider_clearing"] == 1999 - 88 - 500
    assert differences == {0}


@pytest.mark.parametrize("reference", ["", "own id", "unknown"])
async def test_a_line_without_the_providers_id_of_the_operation_is_matched_by_ours_or_the_charge(
    till, shop, reference
):
    payment = await captured(till)
    operation_id = payment.operations[-1].operation_id
    reference = {"own id": operation_id.upper(), "unknown": "txn_7"}.get(reference, "")
    charge = "" if reference == operation_id.upper() else payment.provider_reference

    settlement = await imported(shop, line_of(payment, reference=reference, charge=charge))

    assert counts(settlement) == (1, 1, 0)


async def test_parts_of_one_charge_are_told_apart_by_their_amounts(till, shop):
    payment = await captured(till)
    for minor_units in (500, 700, 500):
        payment = await till.refund(payment, minor_units=minor_units)
    amounts = (-500, -500, -500, -700)

    settlement = await imported(
        shop, *(line("REFUND", amount, charge=payment.provider_reference) for amount in amounts)
    )

    assert counts(settlement) == (4, 3, 1)
    assert told(await found(shop)) == [("MISSING_HERE", None, -500)]


async def test_an_amount_that_differs_is_a_difference_with_both_figures_and_its_fee_is_posted(till, shop):
    payment = await captured(till)

    settlement = await imported(shop, line_of(payment, off=100))

    assert counts(settlement) == (1, 0, 1)
    (difference,) = await found(shop)
    assert told([difference]) == [("AMOUNT", 1999, 2099)]
    assert difference.payment_id == payment.payment_id
    assert difference.settlement_id == settlement.settlement_id
    assert difference.charge_reference == payment.provider_reference
    assert (await balance(shop))[0]["fees"] == 88


async def test_another_currency_is_a_difference_with_both_figures_and_posts_no_fee(till, shop):
    payment = await captured(till)

    await imported(shop, line_of(payment, currency="USD"))

    (difference,) = await found(shop)
    assert told([difference]) == [("CURRENCY", 1999, 1999)]
    assert (difference.ours.currency_code, difference.theirs.currency_code) == ("EUR", "USD")
    assert "fees" not in (await balance(shop))[0]


async def test_a_line_of_nothing_that_we_know_is_missing_here_and_of_no_store(shop):
    settlement = await imported(shop, line("CAPTURE", 700, 30, charge="ch_never", reference="cap_never"))

    assert counts(settlement) == (1, 0, 1)
    (difference,) = await found(shop, store_id="", settlement_id=settlement.settlement_id)
    assert told([difference]) == [("MISSING_HERE", None, 700)]
    assert (difference.store_id, difference.payment_id) == ("", "")


async def test_a_second_line_of_one_operation_is_missing_here(till, shop):
    payment = await captured(till)

    settlement = await imported(shop, line_of(payment), line_of(payment))

    assert counts(settlement) == (2, 1, 1)
    assert told(await found(shop)) == [("MISSING_HERE", None, 1999)]


async def test_what_the_report_lacks_is_missing_there_and_comes_to_rest_when_a_later_one_has_it(till, shop):
    since = now()
    payment = await captured(till)
    refunded = await till.refund(await captured(till, 700))

    settlement = await imported(shop, line_of(payment), since=since)
    assert counts(settlement) == (1, 1, 2)
    assert sorted(told(await found(shop))) == [("MISSING_THERE", -700, None), ("MISSING_THERE", 700, None)]

    await imported(shop, line_of(refunded), since=since)
    assert told(await found(shop)) == [("MISSING_THERE", -700, None)]
    (resolved,) = [each for each in await found(shop, resolved=True) if each.ours.minor_units == 700]
    assert resolved.HasField("resolve_time")
    assert resolved.resolution == "by itself: a line that came later is of it"


async def test_what_is_missing_there_is_told_once(till, shop):
    since = now()
    await captured(till)

    for _ in range(2):
        await imported(shop, since=since)

    assert told(await found(shop, resolved=True)) == [("MISSING_THERE", 1999, None)]


async def test_what_is_of_another_time_is_not_missing_there(till, shop):
    await captured(till)
    before = now()

    await imported(shop, since=before)

    assert await found(shop) == []


async def test_a_line_whose_operation_our_books_learn_of_later_comes_to_rest_when_it_is_sent_again(
    till, shop
):
    payment = await till.authorize()
    (charge,) = await till.book(payment)
    lines = [line("CAPTURE", 1999, 88, charge=charge["id"])]
    (batch,) = report(lines)
    assert counts(await sent(shop, [batch])) == (1, 0, 1)
    assert told(await found(shop)) == [("MISSING_HERE", None, 1999)]

    await till.capture(payment)
    settlement = await sent(shop, [batch])

    assert counts(settlement) == (1, 1, 1)
    assert await found(shop) == []
    (resolved,) = await found(shop, resolved=True)
    assert resolved.resolution == "by itself: the report, or our books, have told more since"
    assert (await balance(shop))[0]["fees"] == 88


async def test_a_line_that_names_an_operation_takes_it_from_one_that_fitted_only(till, shop):
    payment = await captured(till)
    await imported(shop, line_of(payment, reference="", line_id=f"z {payment.payment_id}"))
    assert await found(shop) == []

    await imported(shop, line_of(payment, line_id=f"a {payment.payment_id}"))

    (difference,) = await found(shop)
    assert told([difference]) == [("MISSING_HERE", None, 1999)]
    assert difference.line_id == f"z {payment.payment_id}"


async def test_a_dispute_and_its_end_are_matched_and_its_fee_is_not_posted_twice(till, shop):
    payment = await till.authorize("dispute_won")
    await till.capture(payment)
    (dispute,) = await eventually(lambda: disputes(shop, payment, "close_time IS NOT NULL"))
    booked = (await balance(shop))[0]["fees"]
    assert booked == 1500
    reference = {"charge": (await till.get(payment)).provider_reference, "reference": dispute}

    settlement = await imported(
        shop, line("DISPUTE", -1999, 1600, **reference), line("DISPUTE_WON", 1999, **reference)
    )

    assert counts(settlement) == (2, 2, 0)
    accounts, differences = await balance(shop)
    assert accounts["fees"] == 1600
    assert differences == {0}


async def disputes(shop, payment, condition):
    rows = await shop.clients.rows(
        f"SELECT provider_reference FROM payment.disputes WHERE payment_id = $1 AND {condition}",
        payment.payment_id,
    )
    return [row["provider_reference"] for row in rows]


async def test_a_payout_is_of_no_store_and_agrees_and_a_fee_is_of_its_charge_or_missing_here(till, shop):
    payment = await captured(till)

    settlement = await imported(
        shop,
        line_of(payment),
        line("PAYOUT", -1900),
        line("FEE", 0, 25, charge=payment.provider_reference),
        line("FEE", 0, 40),
    )

    assert counts(settlement) == (4, 3, 1)
    assert settlement.net == [Money(currency_code="EUR", minor_units=1999 - 88 - 25 - 40)]
    listed = await found(shop, store_id="", settlement_id=settlement.settlement_id)
    assert told(listed) == [("MISSING_HERE", None, -40)]
    assert (await balance(shop))[0]["fees"] == 88 + 25


async def test_lines_that_are_known_change_nothing_in_the_same_report_or_another(till, shop):
    lines = [
        line_of(await captured(till)),
        line_of(await captured(till), off=5),
        line("CAPTURE", 7, charge="no"),
    ]
    batches = report(lines)
    first = await sent(shop, batches)
    books = await balance(shop)

    assert await sent(shop, batches) == first
    changed = [line("REFUND", 1, line_id=each.line_id) for each in lines]
    assert counts(await imported(shop, *changed)) == (0, 0, 0)

    assert await sent(shop, batches) == first
    assert await balance(shop) == books


async def test_a_line_twice_in_a_batch_is_one(till, shop):
    one = line_of(await captured(till))

    assert counts(await imported(shop, one, one)) == (1, 1, 0)


async def test_a_report_may_be_empty(shop):
    settlement = await imported(shop)

    assert counts(settlement) == (0, 0, 0)
    assert settlement.complete


async def test_what_a_person_dealt_with_is_not_opened_again(till, shop):
    from commerce.payment.v1.settlement_service_pb2 import ResolveDiscrepancyRequest

    batches = report([line_of(await captured(till), off=5)])
    await sent(shop, batches)
    (difference,) = await found(shop)
    await shop.settlements.ResolveDiscrepancy(
        ResolveDiscrepancyRequest(
            discrepancy_id=difference.discrepancy_id, resolution="a tip", request_id=new_id()
        )
    )

    await sent(shop, batches)

    assert await found(shop) == []


async def test_batches_come_in_order_and_a_report_that_broke_off_goes_on(till, shop):
    payments = [await captured(till) for _ in range(3)]
    first, second, third = report(*([line_of(payment)] for payment in payments))
    with refused(ErrorReason.ERROR_REASON_SETTLEMENT_OUT_OF_ORDER) as refusal:
        await sent(shop, [first, third])
    assert refusal.metadata["expected"] == "2"

    settlement = await sent(shop, [second, third])

    assert counts(settlement) == (3, 3, 0)
    assert settlement.settlement_id == first.request_id


@pytest.mark.parametrize("field", ["gateway", "begin_time", "end_time"])
async def test_another_report_may_not_have_its_id(shop, payment_cluster, field):
    (batch,) = report([])
    await sent(shop, [batch])
    other = type(batch)()
    other.CopyFrom(batch)
    if field == "gateway":
        other.gateway = "stripe"
    else:
        getattr(other, field).seconds += 1

    reason = "GATEWAY_UNKNOWN" if field == "gateway" else "REQUEST_ID_REUSED"
    with refused(ErrorReason.Value(f"ERROR_REASON_{reason}")):
        await sent(shop, [other])


async def test_what_is_no_report_is_refused_with_the_field(shop):
    (batch,) = report([line("CAPTURE", 5)])
    for change, field in (
        (lambda it: it.end_time.CopyFrom(it.begin_time), "end_time"),
        (lambda it: it.lines[0].ClearField("time"), "lines[0].time"),
        (lambda it: it.lines[0].ClearField("line_id"), "lines[0].line_id"),
        (lambda it: setattr(it.lines[0], "kind", 0), "lines[0].kind"),
        (lambda it: setattr(it.lines[0].fee, "currency_code", "USD"), "lines[0]"),
    ):
        wrong = type(batch)()
        wrong.CopyFrom(batch)
        change(wrong)
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
            await sent(shop, [wrong])
        assert field in refusal.violations


async def test_only_who_runs_the_platform_may(shop):
    for role in ("store_admin", "store_manager"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role).settlements.ImportSettlement(iter(report([])))


async def test_reports_at_once_post_each_fee_and_find_each_difference_once(till, shop):
    payments = [await captured(till) for _ in range(5)]
    lines = [line_of(payment, off=100 * number) for number, payment in enumerate(payments)]

    await asyncio.gather(
        *(imported(shop, *order) for order in (lines, lines[::-1], lines[2:] + lines[:2]) * 2)
    )

    accounts, differences = await balance(shop)
    assert accounts["fees"] == 5 * 88
    assert differences == {0}
    listed = await found(shop, resolved=True)
    assert sorted(told(listed)) == [("AMOUNT", 1999, 1999 + 100 * number) for number in range(1, 5)]


async def test_a_service_that_dies_between_batches_costs_nothing(till, shop):
    since = now()
    payments = [await captured(till) for _ in range(6)]
    batches = report(*([line_of(payment)] for payment in payments), since=since)

    async def taken_in(number):
        sql = "SELECT FROM payment.settlements WHERE settlement_id = $1 AND batches = $2"
        return await shop.clients.rows(sql, batches[0].request_id, number)

    async def dying():
        for batch in batches[:3]:
            yield batch
        await eventually(partial(taken_in, 3))
        await till.kill()
        yield batches[3]

    with pytest.raises(grpc.aio.AioRpcError):
        await shop.as_("platform_admin").settlements.ImportSettlement(dying())

    settlement = await sent(shop, batches)

    assert counts(settlement) == (6, 6, 0)
    accounts, differences = await balance(shop)
    assert accounts["fees"] == 6 * 88
    assert differences == {0}
