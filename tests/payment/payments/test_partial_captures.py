"""Money taken in parts: by whoever asks, or parcel by parcel; and given back by the order's lines."""

import uuid
from collections import Counter

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.ledger_service_pb2 import ListLedgerEntriesRequest
from commerce.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentVoided
from commerce.payment.v1.payment_pb2 import CaptureMode, PaymentLine

from tests.payment.till import done, euros, line_amount, refunds, said
from tests.shop import eventually, new_id, refused

TOTAL = 2_100
# The same in every process: the names of some tests hold them.
SHIRT, HAT, SHIPPING = str(uuid.UUID(int=1)), str(uuid.UUID(int=2)), ""
LINES = [
    PaymentLine(product_id=SHIRT, gross=euros(1_000), discount=euros(100), tax=euros(190)),
    PaymentLine(product_id=HAT, gross=euros(500), tax=euros(95)),
    PaymentLine(gross=euros(415)),
]
PARCELS = {SHIRT: 1_090, HAT: 595, SHIPPING: 415}
# What each account has of each line when all of it was taken.
TAKEN = {
    ("revenue", SHIRT): -1_000,
    ("discounts", SHIRT): 100,
    ("tax", SHIRT): -190,
    ("revenue", HAT): -500,
    ("tax", HAT): -95,
    ("shipping", SHIPPING): -415,
    ("provider_clearing", ""): TOTAL,
}


@pytest.fixture
async def payment(till):
    return await till.authorize(minor_units=TOTAL, lines=LINES)


async def booked(shop, payment):
    """What each account has by line, debits less credits; nothing is left out but what is nothing."""
    request = ListLedgerEntriesRequest(store_id=shop.store_id, payment_id=payment.payment_id, page_size=500)
    found: Counter[tuple[str, str]] = Counter()
    for entry in (await shop.ledger.ListLedgerEntries(request)).entries:
        assert entry.order_id == payment.order_id
        found[entry.account, entry.product_id] += entry.debit.minor_units - entry.credit.minor_units
    return {key: amount for key, amount in found.items() if amount}


def shares(operation):
    return {each.product_id: each.amount.minor_units for each in operation.lines}


async def test_takes_a_part_and_books_it_by_line(till, shop, payment):
    taken = await till.capture(payment, minor_units=595, lines=[line_amount(HAT, 595)])

    assert (said(taken), taken.captured.minor_units) == ("PARTIALLY_CAPTURED", 595)
    assert shares(taken.operations[1]) == {HAT: 595}
    assert taken.operations[1].provider_reference.startswith("cap_")
    await till.agrees(payment)
    (event,) = await shop.published(PaymentCaptured)
    assert (event.capture.minor_units, event.captured.minor_units) == (595, 595)
    assert await booked(shop, payment) == {
        ("customer_receivable", ""): TOTAL - 595,
        ("authorizations", ""): 595 - TOTAL,
        ("provider_clearing", ""): 595,
        ("revenue", HAT): -500,
        ("tax", HAT): -95,
    }


async def test_takes_parts_until_nothing_is_left(till, shop, payment):
    states = [
        said(await till.capture(payment, minor_units=part, lines=[line_amount(product, part)]))
        for product, part in PARCELS.items()
    ]

    assert states == ["PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED", "CAPTURED"]
    await till.agrees(payment)
    assert [each.captured.minor_units for each in await shop.published(PaymentCaptured)] == [
        1_090,
        1_685,
        TOTAL,
    ]
    assert await booked(shop, payment) == TAKEN


@pytest.mark.parametrize("part", [7, 300, 1_999])
async def test_however_it_is_parted_every_account_of_every_line_ends_the_same(till, shop, payment, part):
    for amount in [part] * min(3, TOTAL // part):
        await till.capture(payment, minor_units=amount)
    await till.capture(payment)

    assert said(await till.get(payment)) == "CAPTURED"
    assert await booked(shop, payment) == TAKEN


async def test_without_lines_the_first_ones_are_filled_first(till, payment):
    await till.capture(payment, minor_units=1_000)
    taken = await till.capture(payment, minor_units=200)

    assert [shares(one) for one in taken.operations[1:]] == [{SHIRT: 1_000}, {SHIRT: 90, HAT: 110}]


async def test_refuses_more_than_is_left_and_asks_nobody(till, payment):
    await till.capture(payment, minor_units=2_000)

    with refused(ErrorReason.ERROR_REASON_CAPTURE_TOO_LARGE, limit="100"):
        await till.capture(payment, minor_units=101)

    assert len((await till.get(payment)).operations) == 2


async def test_refuses_another_currency(till, payment):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said_of:
        await till.capture(payment, minor_units=100, currency="USD")
    assert said_of.violations == {"amount.currency_code": "must be the payment's: EUR"}


@pytest.mark.parametrize("minor_units", [0, -1])
async def test_refuses_to_take_nothing_or_less(till, payment, minor_units):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said_of:
        await till.capture(payment, minor_units=minor_units)
    assert said_of.violations == {"amount": "must be more than nothing"}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([line_amount(SHIRT, 99)], "must add up to the amount: 1.00 EUR"),
        ([line_amount(SHIRT, 60), line_amount(HAT, 60)], "must add up to the amount: 1.00 EUR"),
        ([line_amount(SHIRT, 100, "USD")], "must be in the payment's currency: EUR"),
        ([line_amount(SHIRT, -1), line_amount(HAT, 101)], f"has more of {SHIRT} than is left of it"),
        ([line_amount(SHIRT, 50), line_amount(SHIRT, 50)], "must name each product once"),
    ],
)
async def test_refuses_lines_that_do_not_fit(till, payment, lines, problem):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said_of:
        await till.capture(payment, minor_units=100, lines=lines)
    assert said_of.violations == {"lines": problem}
    assert len((await till.get(payment)).operations) == 1


async def test_refuses_more_of_a_line_than_is_left_of_it(till, payment):
    await till.capture(payment, minor_units=500, lines=[line_amount(HAT, 500)])

    for product, part in ((HAT, 96), (new_id(), 1), (SHIPPING, 416)):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said_of:
            await till.capture(payment, minor_units=part, lines=[line_amount(product, part)])
        what = product or "the shipping"
        assert said_of.violations == {"lines": f"has more of {what} than is left of it"}


async def test_refuses_a_payment_whose_lines_do_not_add_up(till):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said_of:
        await till.authorize(minor_units=TOTAL + 1, lines=LINES)
    assert said_of.violations == {"lines": f"must add up to the amount: {(TOTAL + 1) / 100:.2f} EUR"}


async def test_one_request_sent_again_takes_its_part_once(till, payment):
    request_id = new_id()

    first = await till.capture(payment, request_id, minor_units=600)
    again = await till.capture(payment, request_id, minor_units=600)

    assert first == again
    assert (await till.get(payment)).captured.minor_units == 600
    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await till.capture(payment, request_id, minor_units=601)


async def test_a_part_waits_while_nobody_knows_what_became_of_the_one_before(till, payment):
    await till.misbehaves(f"/v1/charges/{payment.provider_reference}/capture", "silent_after")

    assert done(await till.capture(payment, minor_units=600))[1] == ("capture", "UNKNOWN")
    waits = await till.capture(payment, minor_units=1_000)
    assert done(waits)[2] == ("capture", "WAITING")
    with refused(ErrorReason.ERROR_REASON_CAPTURE_TOO_LARGE, limit="500"):
        await till.capture(payment, minor_units=501)

    taken = await till.until(payment, "PARTIALLY_CAPTURED")
    assert taken.captured.minor_units == 1_600
    await till.agrees(payment)


async def test_after_a_final_part_the_rest_is_given_up(till, shop, payment):
    taken = await till.capture(payment, minor_units=600, final=True)
    assert taken.captured.minor_units == 600

    over = await till.until(payment, "CAPTURED")

    assert done(over) == [("authorize", "SUCCEEDED"), ("capture", "SUCCEEDED"), ("void", "SUCCEEDED")]
    assert (over.captured.minor_units, over.voided.minor_units) == (600, 1_500)
    await till.agrees(payment)
    assert (await till.charge(payment))["voided_minor_units"] == 1_500
    tax, discount = 190 * 600 // 1_090, 100 * 600 // 1_090
    assert await booked(shop, payment) == {
        ("provider_clearing", ""): 600,
        ("revenue", SHIRT): tax - discount - 600,
        ("discounts", SHIRT): discount,
        ("tax", SHIRT): -tax,
    }
    with refused(ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, state="CAPTURED"):
        await till.capture(payment, minor_units=1)


async def test_a_final_part_of_all_gives_nothing_up(till, payment):
    over = await till.capture(payment, final=True)

    assert (said(over), done(over)[1:]) == ("CAPTURED", [("capture", "SUCCEEDED")])


async def test_the_rest_can_be_given_up_and_is_told(till, shop, payment):
    await till.capture(payment, minor_units=600)

    over = await till.void(payment)

    assert (said(over), over.voided.minor_units) == ("CAPTURED", 1_500)
    await till.agrees(payment)
    (event,) = await shop.published(PaymentVoided)
    assert event.payment.payment_id == payment.payment_id
    with refused(ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="void", state="CAPTURED"):
        await till.void(payment)


async def test_what_was_taken_is_given_back_while_the_rest_is_still_promised(till, payment):
    await till.capture(payment, minor_units=600)

    assert said(await till.refund(payment, minor_units=600)) == "PARTIALLY_REFUNDED"
    taken = await till.capture(payment)

    assert (said(taken), taken.captured.minor_units, taken.refunded.minor_units) == (
        "PARTIALLY_REFUNDED",
        TOTAL,
        600,
    )
    await till.agrees(payment)


async def test_a_cancelled_order_has_the_rest_given_up_and_the_part_given_back(till, payment):
    await till.capture(payment, minor_units=600)

    await till.cancelled(payment)

    over = await till.until(payment, "REFUNDED")
    assert done(over)[2:] == [("void", "SUCCEEDED"), ("refund", "SUCCEEDED")]
    await till.agrees(payment)


async def test_a_part_is_taken_through_the_gateway(till, shop, payment):
    body = {
        "requestId": new_id(),
        "amount": {"currencyCode": "EUR", "minorUnits": "595"},
        "lines": [{"productId": HAT, "amount": {"currencyCode": "EUR", "minorUnits": "595"}}],
    }

    reply = await shop.rest("POST", f"/v1/payments/{payment.payment_id}:capture", json=body)

    assert reply.status == 200, reply.body
    assert reply.body["payment"]["state"] == "PAYMENT_STATE_PARTIALLY_CAPTURED"


# Given back by lines.


async def test_gives_back_by_lines_and_books_it_so(till, shop, payment):
    await till.capture(payment)

    lines = [line_amount(HAT, 300), line_amount(SHIPPING, 415)]
    given = await till.refund(payment, minor_units=715, lines=lines, reason="it was too small")

    assert shares(given.operations[2]) == {HAT: 300, SHIPPING: 415}
    assert given.operations[2].reason == "it was too small"
    tax = 95 * 300 // 595
    expected = TAKEN | {
        ("provider_clearing", ""): TOTAL - 715,
        ("refunds", HAT): 300 - tax,
        ("tax", HAT): tax - 95,
    }
    del expected["shipping", SHIPPING]
    assert await booked(shop, payment) == expected
    await till.agrees(payment)


async def test_refuses_to_give_back_more_of_a_line_than_was_taken_of_it(till, payment):
    await till.capture(payment, minor_units=200, lines=[line_amount(HAT, 200)])
    await till.refund(payment, minor_units=50, lines=[line_amount(HAT, 50)])

    await till.capture(payment, minor_units=200, lines=[line_amount(SHIRT, 200)])

    for product, part in ((HAT, 151), (SHIRT, 201), (SHIPPING, 1)):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said_of:
            await till.refund(payment, minor_units=part, lines=[line_amount(product, part)])
        what = product or "the shipping"
        assert said_of.violations == {"lines": f"has more of {what} than is left of it"}


# When the money is taken.


async def test_at_once_takes_everything_as_soon_as_it_is_promised(till, shop):
    await till.sets("AT_ONCE")

    payment = await till.authorize(minor_units=TOTAL, lines=LINES)

    assert payment.capture_mode == CaptureMode.CAPTURE_MODE_AT_ONCE
    taken = await till.until(payment, "CAPTURED")
    await till.applied(await till.accepted(payment))
    assert len((await till.get(payment)).operations) == 2
    assert shares(taken.operations[1]) == PARCELS
    await till.agrees(payment)
    assert await booked(shop, payment) == TAKEN


async def test_manual_leaves_it_to_whoever_asks(till):
    await till.sets("MANUAL")
    payment = await till.authorize(minor_units=TOTAL)

    await till.applied(await till.accepted(payment))
    await till.applied(await till.shipped(payment, line_amount("", TOTAL)))

    assert done(await till.get(payment)) == [("authorize", "SUCCEEDED")]
    assert said(await till.capture(payment)) == "CAPTURED"


async def test_on_acceptance_no_parcel_takes_anything(till, payment):
    await till.applied(await till.shipped(payment, line_amount(HAT, 595)))
    assert done(await till.get(payment)) == [("authorize", "SUCCEEDED")]

    await till.accepted(payment)

    assert (await till.until(payment, "CAPTURED")).captured.minor_units == TOTAL


async def test_on_shipment_each_parcel_takes_what_is_in_it(till, shop):
    await till.sets("ON_SHIPMENT")
    payment = await till.authorize(minor_units=TOTAL, lines=LINES)
    await till.applied(await till.accepted(payment))
    assert done(await till.get(payment)) == [("authorize", "SUCCEEDED")]

    await till.shipped(payment, line_amount(HAT, 595))
    taken = await till.until(payment, "PARTIALLY_CAPTURED")
    assert shares(taken.operations[1]) == {HAT: 595}
    await till.shipped(payment, line_amount(SHIRT, 1_090), line_amount(SHIPPING, 415))

    taken = await till.until(payment, "CAPTURED")
    assert shares(taken.operations[2]) == {SHIRT: 1_090, SHIPPING: 415}
    await till.agrees(payment)
    assert await booked(shop, payment) == TAKEN


async def test_a_parcel_that_is_told_again_and_again_takes_its_money_once(till):
    await till.sets("ON_SHIPMENT")
    payment, shipment = await till.authorize(minor_units=TOTAL), new_id()

    for _ in range(3):
        await till.applied(await till.shipped(payment, line_amount("", 700), shipment_id=shipment))

    taken = await till.until(payment, "PARTIALLY_CAPTURED")
    assert (taken.captured.minor_units, len(taken.operations)) == (700, 2)


@pytest.mark.parametrize("by_hand", [1_500, TOTAL])
async def test_what_was_taken_by_hand_before_pays_for_parcels(till, by_hand):
    await till.sets("ON_SHIPMENT")
    payment, shipment = await till.authorize(minor_units=TOTAL, lines=LINES), new_id()
    await till.capture(payment, minor_units=by_hand)

    for parcel in (shipment, shipment, new_id()):
        await till.applied(await till.shipped(payment, line_amount(HAT, TOTAL // 2), shipment_id=parcel))

    taken = await till.until(payment, "CAPTURED")
    assert taken.captured.minor_units == TOTAL
    assert all(state == "SUCCEEDED" for _, state in done(taken))
    await till.agrees(payment)


async def test_a_parcel_worth_more_than_the_whole_is_a_dead_letter(till):
    await till.sets("ON_SHIPMENT")
    payment = await till.authorize(minor_units=TOTAL)

    event_id = await till.shipped(payment, line_amount("", TOTAL + 1))

    assert "CAPTURE_TOO_LARGE" in await till.buried(event_id)


async def test_a_payment_keeps_the_mode_that_it_was_asked_for_with(till):
    await till.sets("MANUAL")
    payment = await till.authorize()
    await till.sets("ON_ACCEPTANCE")

    await till.applied(await till.accepted(payment))

    assert done(await till.get(payment)) == [("authorize", "SUCCEEDED")]


async def test_what_comes_back_of_a_parcel_is_given_back_by_its_lines(till, shop):
    await till.sets("ON_SHIPMENT")
    payment = await till.authorize(minor_units=TOTAL, lines=LINES)
    await till.shipped(payment, line_amount(HAT, 595))
    await till.until(payment, "PARTIALLY_CAPTURED")

    await till.returned(payment, 595, amounts=[line_amount(HAT, 595)], reason="it was too small")

    given = await till.until(payment, "PARTIALLY_REFUNDED")
    assert refunds(given) == [(595, "SUCCEEDED")]
    assert given.operations[2].reason == "it was too small"
    assert await booked(shop, payment) == {
        ("customer_receivable", ""): TOTAL - 595,
        ("authorizations", ""): 595 - TOTAL,
        ("revenue", HAT): -500,
        ("refunds", HAT): 500,
    }
    await till.agrees(payment)


async def test_twenty_parcels_sent_at_once_are_all_taken(till):
    await till.sets("ON_SHIPMENT")
    payment = await till.authorize(minor_units=2_000)

    for _ in range(20):
        await till.shipped(payment, line_amount("", 100))

    async def all_of_it():
        return (await till.get(payment)).captured.minor_units == 2_000

    await eventually(all_of_it)
    assert said(await till.until(payment, "CAPTURED")) == "CAPTURED"
    await till.agrees(payment)
