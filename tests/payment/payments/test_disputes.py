"""Disputes: the customer's bank takes money back, until it is decided who is right."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentDisputeClosed, PaymentDisputed
from commerce.payment.v1.payment_pb2 import DisputeStatus

from tests.payment.agreement import agree, balanced
from tests.payment.payments.test_ingest_webhook import problems, send
from tests.payment.till import done, refunds, said
from tests.shop import eventually, new_id, refused

TOTAL, FEE = 2_000, 1_500


@pytest.fixture
async def taken(till):
    return await till.capture(await till.authorize(minor_units=TOTAL))


def word(dispute):
    return DisputeStatus.Name(dispute.status).removeprefix("DISPUTE_STATUS_")


async def known(till, payment, *words):
    """The payment once we know of its disputes that they stand so."""

    async def told():
        found = await till.get(payment)
        return found if [word(each) for each in found.disputes] == list(words) else None

    return await eventually(told)


async def disputed(till, payment, minor_units=TOTAL, reason="fraudulent"):
    """The provider's id of a dispute that we know of."""
    dispute = await till.disputes(payment, minor_units, reason)
    before = (await till.get(payment)).disputes
    if not any(each.provider_reference == dispute for each in before):
        await eventually(lambda: _knows(till, payment, dispute))
    return dispute


async def _knows(till, payment, dispute):
    return any(each.provider_reference == dispute for each in (await till.get(payment)).disputes)


def news(payment, status, minor_units, dispute="dp_1", **changed):
    """What the provider sends about a dispute."""
    data = {
        "id": dispute,
        "charge_id": payment.provider_reference,
        "charge_idempotency_key": payment.operations[0].operation_id,
        "amount_minor_units": minor_units,
        "currency_code": "EUR",
        "reason": "fraudulent",
        "status": status,
        "created": 1,
        "fee_minor_units": FEE,
        **changed,
    }
    name = "opened" if status == "open" else status
    return {"id": f"evt_{new_id()}", "type": f"dispute.{name}", "created": 1, "data": data}


async def test_a_dispute_holds_the_money_back_and_is_told(till, shop, taken):
    reference = await disputed(till, taken, 1_200, "product_not_received")

    payment = await till.get(taken)
    assert (said(payment), payment.disputed.minor_units) == ("DISPUTED", 1_200)
    (dispute,) = payment.disputes
    assert (word(dispute), dispute.amount.minor_units, dispute.fee.minor_units) == ("OPEN", 1_200, FEE)
    assert (dispute.reason, dispute.provider_reference) == ("product_not_received", reference)
    assert dispute.HasField("open_time") and not dispute.HasField("close_time")
    (event,) = await shop.published(PaymentDisputed)
    assert event.dispute == dispute
    assert (event.payment.payment_id, event.payment.version) == (taken.payment_id, 5)
    await agree(till)
    balances = await balanced(shop)
    assert (balances["disputes"], balances["fees"]) == (1_200, FEE)
    assert balances["provider_clearing"] == TOTAL - 1_200 - FEE


async def test_a_dispute_that_is_won_gives_the_money_back_but_not_the_fee(till, shop, taken):
    await till.decides(await disputed(till, taken), "won")

    payment = await known(till, taken, "WON")
    assert (said(payment), payment.disputed.minor_units, payment.charged_back.minor_units) == (
        "CAPTURED",
        0,
        0,
    )
    assert payment.disputes[0].HasField("close_time")
    (event,) = await shop.published(PaymentDisputeClosed)
    assert event.dispute == payment.disputes[0]
    await agree(till)
    balances = await balanced(shop)
    assert (balances["disputes"], balances["fees"], balances["provider_clearing"]) == (0, FEE, TOTAL - FEE)
    assert said(await till.refund(taken)) == "REFUNDED"
    await agree(till)


async def test_a_dispute_that_is_lost_leaves_nothing_to_give_back(till, shop, taken):
    await till.decides(await disputed(till, taken), "lost")

    payment = await known(till, taken, "LOST")
    assert (said(payment), payment.disputed.minor_units) == ("DISPUTED", 0)
    assert payment.charged_back.minor_units == TOTAL
    (event,) = await shop.published(PaymentDisputeClosed)
    assert word(event.dispute) == "LOST"
    with refused(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="refund", state="DISPUTED"
    ):
        await till.refund(taken)
    await agree(till)
    assert (await balanced(shop))["disputes"] == TOTAL


async def test_what_a_lost_dispute_has_left_can_be_given_back(till, taken):
    await till.decides(await disputed(till, taken, 1_200), "lost")
    assert said(await known(till, taken, "LOST")) == "CAPTURED"

    with refused(ErrorReason.ERROR_REASON_REFUND_TOO_LARGE, limit="800"):
        await till.refund(taken, minor_units=801)
    assert said(await till.refund(taken, minor_units=300)) == "PARTIALLY_REFUNDED"
    given = await till.refund(taken)

    # A dispute was lost, and nothing is left.
    assert (said(given), given.refunded.minor_units) == ("DISPUTED", 800)
    await agree(till)


@pytest.mark.parametrize(("method", "state"), [("dispute_won", "CAPTURED"), ("dispute_lost", "DISPUTED")])
async def test_what_the_provider_tells_by_itself_is_the_same(till, shop, method, state):
    payment = await till.capture(await till.authorize(method, minor_units=TOTAL))

    ended = await known(till, payment, method.removeprefix("dispute_").upper())

    assert said(ended) == state
    assert len(await shop.published(PaymentDisputed, PaymentDisputeClosed)) == 2
    await agree(till)


async def test_nothing_is_given_back_while_a_dispute_is_open(till, taken):
    await disputed(till, taken, 100)

    with refused(
        ErrorReason.ERROR_REASON_PAYMENT_OPERATION_NOT_ALLOWED, operation="refund", state="DISPUTED"
    ):
        await till.refund(taken, minor_units=100)

    assert len((await till.get(taken)).operations) == 2


@pytest.mark.parametrize(
    ("outcome", "state", "given"),
    [("won", "PARTIALLY_REFUNDED", "SUCCEEDED"), ("lost", "DISPUTED", "FAILED")],
)
async def test_a_return_waits_until_the_dispute_is_decided(till, taken, outcome, state, given):
    dispute = await disputed(till, taken, 1_800)
    await till.applied(await till.returned(taken, 200))
    waits = await till.get(taken)
    assert (said(waits), refunds(waits)) == ("DISPUTED", [(200, "WAITING")])
    if outcome == "lost":
        # Another one takes what is left, also what the return is worth.
        other = await disputed(till, taken, 200)
        await till.decides(other, "lost")
        await known(till, taken, "OPEN", "LOST")

    await till.decides(dispute, outcome)

    over = await till.until(taken, state)
    assert refunds(over) == [(200, given)]
    await agree(till)


async def test_a_refund_whose_answer_was_lost_is_known_also_when_a_dispute_came_meanwhile(till, taken):
    await till.misbehaves(f"/v1/charges/{taken.provider_reference}/refund", "silent_after")
    assert refunds(await till.refund(taken, minor_units=500)) == [(500, "UNKNOWN")]
    await till.misbehaves("/v1/operations/", "error_500", 3)

    dispute = await disputed(till, taken, 1_500)

    given = await till.until(taken, "DISPUTED")
    assert (refunds(given), given.refunded.minor_units) == ([(500, "SUCCEEDED")], 500)
    await agree(till)
    await till.decides(dispute, "won")
    assert said(await known(till, taken, "WON")) == "PARTIALLY_REFUNDED"
    await agree(till)


async def test_several_disputes_stand_beside_each_other(till, taken):
    first, second = await disputed(till, taken, 700), await disputed(till, taken, 600)
    payment = await till.get(taken)
    assert (said(payment), payment.disputed.minor_units) == ("DISPUTED", 1_300)

    await till.decides(first, "lost")
    payment = await known(till, taken, "LOST", "OPEN")
    assert (said(payment), payment.disputed.minor_units) == ("DISPUTED", 600)
    await till.decides(second, "won")

    payment = await known(till, taken, "LOST", "WON")
    assert (said(payment), payment.disputed.minor_units, payment.charged_back.minor_units) == (
        "CAPTURED",
        0,
        700,
    )
    await agree(till)


async def test_what_is_still_promised_can_be_taken_while_a_dispute_is_open(till):
    payment = await till.capture(await till.authorize(minor_units=TOTAL), minor_units=800)
    dispute = await disputed(till, payment, 800)

    taken = await till.capture(payment, minor_units=200)
    assert (said(taken), taken.captured.minor_units) == ("DISPUTED", 1_000)
    await agree(till)
    await till.decides(dispute, "won")

    assert said(await known(till, payment, "WON")) == "PARTIALLY_CAPTURED"


async def test_the_rest_can_be_given_up_when_a_dispute_took_all_there_was(till):
    payment = await till.capture(await till.authorize(minor_units=TOTAL), minor_units=800)
    await till.decides(await disputed(till, payment, 800), "lost")
    assert said(await known(till, payment, "LOST")) == "PARTIALLY_CAPTURED"

    over = await till.void(payment)

    assert (said(over), done(over)[-1]) == ("DISPUTED", ("void", "SUCCEEDED"))
    await agree(till)


async def test_a_cancelled_orders_money_goes_back_when_the_dispute_is_won(till, taken):
    dispute = await disputed(till, taken)
    await till.applied(await till.cancelled(taken))
    assert said(await till.get(taken)) == "DISPUTED"

    await till.decides(dispute, "won")

    assert refunds(await till.until(taken, "REFUNDED")) == [(TOTAL, "SUCCEEDED")]
    await agree(till)


async def test_a_dispute_that_is_decided_before_we_hear_of_it_is_told_at_once(till, shop, taken):
    lost, opened = news(taken, "lost", 500), news(taken, "open", 500)

    await send(shop, lost)
    await send(shop, opened)
    await send(shop, news(taken, "lost", 500))

    payment = await till.get(taken)
    assert [word(each) for each in payment.disputes] == ["LOST"]
    assert (said(payment), payment.charged_back.minor_units) == ("CAPTURED", 500)
    assert [*await problems(shop, lost), *await problems(shop, opened)] == ["", ""]
    told = await shop.published(PaymentDisputed, PaymentDisputeClosed)
    assert [type(event) for event in told] == [PaymentDisputed, PaymentDisputeClosed]
    assert len({event.payment.version for event in told}) == 1
    assert (await balanced(shop))["disputes"] == 500


@pytest.mark.parametrize(
    ("status", "minor_units", "changed", "problem"),
    [
        (
            "open",
            TOTAL + 1,
            {},
            f"the disputed amount is {TOTAL / 100 + 0.01:.2f} EUR there and {TOTAL / 100:.2f} EUR here",
        ),
        ("open", 500, {"currency_code": "USD"}, "the currency is USD there and EUR here"),
        (
            "lost",
            500,
            {"charge_id": "ch_other", "charge_idempotency_key": ""},
            "neither the operation nor the charge is ours",
        ),
    ],
)
async def test_a_dispute_that_cannot_be_is_parked(till, shop, taken, status, minor_units, changed, problem):
    sent = news(taken, status, minor_units, **changed)

    await send(shop, sent)

    assert await problems(shop, sent) == [problem]
    assert said(await till.get(taken)) == "CAPTURED"
    assert await shop.published(PaymentDisputed) == []


async def test_disputes_of_more_than_there_is_are_parked(till, shop, taken):
    await send(shop, news(taken, "open", 1_500))
    sent = news(taken, "open", 501, dispute="dp_2")

    await send(shop, sent)

    assert await problems(shop, sent) == ["the disputed amount is 5.01 EUR there and 5.00 EUR here"]
    assert (await till.get(taken)).disputed.minor_units == 1_500


async def test_a_dispute_is_decided_once(till, shop, taken):
    await send(shop, news(taken, "won", 500))
    otherwise, another_sum = news(taken, "lost", 500), news(taken, "won", 400)

    await send(shop, otherwise)
    await send(shop, another_sum)

    assert await problems(shop, otherwise) == ["the dispute was decided otherwise before"]
    assert await problems(shop, another_sum) == ["the disputed amount is 4.00 EUR there and 5.00 EUR here"]
    assert said(await till.get(taken)) == "CAPTURED"


async def test_a_dispute_of_money_that_nobody_took_is_parked(till, shop):
    payment = await till.authorize(minor_units=TOTAL)
    sent = news(payment, "open", TOTAL)

    await send(shop, sent)

    assert await problems(shop, sent) == ["a dispute of a payment of which nothing was taken: AUTHORIZED"]
    assert said(await till.get(payment)) == "AUTHORIZED"
