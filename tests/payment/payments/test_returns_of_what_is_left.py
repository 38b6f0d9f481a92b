"""A return gives back what it is worth, or what is left of the money; what it does not is told with its reason."""

import pytest
from commerce.payment.v1.payment_events_pb2 import PaymentOperationFailed, PaymentRefunded
from commerce.payment.v1.payment_pb2 import PaymentLine

from tests.payment.agreement import agree
from tests.payment.operations.test_list_unsettled_operations import unsettled
from tests.payment.till import at_once, euros, line_amount, refunds
from tests.shop import eventually, new_id

WORTH = 2000


async def refund_by_hand(till, payment, amount):
    await till.refund(payment, minor_units=amount)


async def capture(till, payment, amount):
    await till.capture(payment, minor_units=amount)


async def capture_and_no_more(till, payment, amount):
    await till.capture(payment, minor_units=amount, final=True)


async def void(till, payment, amount):
    await till.void(payment)


async def return_all(till, payment, amount):
    await till.applied(await till.returned(payment, amount))


async def lose_a_dispute(till, payment, amount):
    await till.decides(await opened(till, payment, amount), "lost")
    await decided(till, payment)


async def win_a_dispute(till, payment, amount):
    await till.decides(await opened(till, payment, amount), "won")
    await decided(till, payment)


async def open_a_dispute(till, payment, amount):
    await opened(till, payment, amount)


async def lose_it(till, payment, amount):
    await till.decides((await till.get(payment)).disputes[0].provider_reference, "lost")
    await decided(till, payment)


async def win_it(till, payment, amount):
    await till.decides((await till.get(payment)).disputes[0].provider_reference, "won")
    await decided(till, payment)


async def opened(till, payment, amount):
    dispute = await till.disputes(payment, amount)

    async def known():
        return (await till.get(payment)).disputed.minor_units == amount

    await eventually(known)
    return dispute


async def decided(till, payment):
    async def known():
        return (await till.get(payment)).disputed.minor_units == 0

    await eventually(known)


# What happens to a payment of 2000, and then: the returns' refunds, what is not given back of them, and why.
CASES = {
    "nothing else": ([(capture, 2000), (return_all, 2000)], [2000], 0, ""),
    "a cent by hand before": (
        [(capture, 2000), (refund_by_hand, 1), (return_all, 2000)],
        [1999],
        1,
        "refunded_before",
    ),
    "all by hand before": (
        [(capture, 2000), (refund_by_hand, 2000), (return_all, 2000)],
        [],
        2000,
        "refunded_before",
    ),
    "a dispute lost before": (
        [(capture, 2000), (lose_a_dispute, 700), (return_all, 2000)],
        [1300],
        700,
        "charged_back",
    ),
    "a dispute lost for all": (
        [(capture, 2000), (lose_a_dispute, 2000), (return_all, 2000)],
        [],
        2000,
        "charged_back",
    ),
    "a dispute won before": ([(capture, 2000), (win_a_dispute, 700), (return_all, 2000)], [2000], 0, ""),
    "a dispute open, then lost": (
        [(capture, 2000), (open_a_dispute, 700), (return_all, 2000), (lose_it, 0)],
        [1300],
        700,
        "charged_back",
    ),
    "a dispute open, then won": (
        [(capture, 2000), (open_a_dispute, 700), (return_all, 2000), (win_it, 0)],
        [2000],
        0,
        "",
    ),
    "a capture for less before": (
        [(capture_and_no_more, 1500), (return_all, 2000)],
        [1500],
        500,
        "not_captured",
    ),
    "a capture for less after": ([(return_all, 2000), (capture, 1500)], [1500], 500, "not_captured"),
    "a last capture for less after": (
        [(return_all, 2000), (capture_and_no_more, 1500)],
        [1500],
        500,
        "not_captured",
    ),
    "a void before": ([(void, 0), (return_all, 2000)], [], 2000, "not_captured"),
    "a void after": ([(return_all, 2000), (void, 0)], [], 2000, "not_captured"),
    "everything": (
        [(capture_and_no_more, 1900), (refund_by_hand, 100), (lose_a_dispute, 300), (return_all, 2000)],
        [1500],
        500,
        "not_captured, refunded_before, charged_back",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_gives_back_what_it_is_worth_or_what_is_left(till, shop, name):
    steps, given, short, reason = CASES[name]
    await till.sets("MANUAL")
    payment = await till.authorize(minor_units=WORTH)

    for step, amount in steps:
        await step(till, payment, amount)

    settled = await eventually(lambda: till.settled(payment))
    by_return = [one for one in settled.operations if one.wanted.minor_units]
    done = [one.amount.minor_units for one in by_return if not one.failure_code]
    assert (done, [one.wanted.minor_units for one in by_return]) == (given, [WORTH])
    told = [
        event
        for event in await shop.published(PaymentRefunded)
        if event.request_id == by_return[0].request_id
    ]
    failed = await shop.published(PaymentOperationFailed)
    assert [event.refund.minor_units for event in told] == given
    if given:
        assert (told[0].unrefunded.minor_units, told[0].unrefunded_reason) == (short, reason)
        assert failed == []
    else:
        assert [(event.kind, event.amount.minor_units, event.reason) for event in failed] == [
            ("refund", short, reason)
        ]
    await agree(till)


@pytest.mark.parametrize(
    ("outcome", "given", "reason"), [("won", [500], ""), ("lost", [], "charged_back")], ids=["won", "lost"]
)
async def test_one_that_the_provider_refuses_for_a_dispute_told_later_is_asked_for_anew_when_that_is_decided(
    till, shop, outcome, given, reason
):
    payment = await till.capture(await till.authorize(minor_units=WORTH))
    async with till.unheard():
        dispute = await till.disputes(payment, WORTH)
        await till.returned(payment, 500)
        await eventually(lambda: till.has(payment, (500, "FAILED")))
    assert (await unsettled(shop))[0].operation.failure_code == "disputed"

    await till.decides(dispute, outcome)
    await eventually(lambda: till.has(payment, (500, "FAILED"), (500, "SUCCEEDED" if given else "FAILED")))

    first, again = [one for one in (await till.get(payment)).operations if one.kind == "refund"]
    assert first.request_id == again.request_id and first.operation_id != again.operation_id
    told = await shop.published(PaymentRefunded)
    assert [(event.refund.minor_units, event.request_id) for event in told] == [
        (sum_, first.request_id) for sum_ in given
    ]
    assert [event.reason for event in await shop.published(PaymentOperationFailed)] == [
        "disputed",
        *filter(None, [reason]),
    ]
    assert [each.operation.failure_code for each in await unsettled(shop)] == [*filter(None, [reason])]
    await agree(till)


async def test_one_whose_refusal_is_heard_of_when_its_dispute_was_won_is_asked_for_anew_at_once(till):
    payment = await till.capture(await till.authorize(minor_units=WORTH))
    async with till.unheard():
        dispute = await till.disputes(payment, WORTH)
        await till.misbehaves(f"/v1/charges/{payment.provider_reference}/refund", "hang_up")
        await till.misbehaves("/v1/operations/", "error_500", 3)
        await till.returned(payment, 500)
        await eventually(lambda: till.has(payment, (500, "UNKNOWN")))
    await till.decides(dispute, "won")

    await eventually(lambda: till.has(payment, (500, "FAILED"), (500, "SUCCEEDED")))
    await agree(till)


async def test_two_returns_at_once_give_back_no_more_than_is_left(till):
    payment = await till.capture(await till.authorize(minor_units=WORTH))
    await till.refund(payment, minor_units=500)

    await at_once(till.returned(payment, 1000), till.returned(payment, 1000))

    async def both():
        found = await till.settled(payment)
        return found if found and len(refunds(found)) == 3 else None

    settled = await eventually(both)
    assert refunds(settled) == [(500, "SUCCEEDED"), (1000, "SUCCEEDED"), (500, "SUCCEEDED")]
    await agree(till)


async def test_what_is_left_is_taken_from_the_lines_that_came_back(till):
    hat, coat = new_id(), new_id()
    lines = [PaymentLine(product_id=product, gross=euros(1000)) for product in (hat, coat)]
    payment = await till.capture(await till.authorize(minor_units=WORTH, lines=lines))
    await till.refund(payment, minor_units=1, lines=[line_amount(coat, 1)])

    await till.applied(await till.returned(payment, 1000, amounts=[line_amount(coat, 1000)]))

    settled = await eventually(lambda: till.settled(payment))
    # The coat has a cent less, which the hat gives: the customer gets what the return is worth.
    assert refunds(settled) == [(1, "SUCCEEDED"), (1000, "SUCCEEDED")]
    await agree(till)
