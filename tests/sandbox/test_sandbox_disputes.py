import asyncio

import pytest


async def dispute(merchant, charge, amount, key=None):
    body = {"charge_id": charge["id"], "amount_minor_units": amount, "reason": "fraudulent"}
    return await merchant.post("/v1/disputes", body, key)


async def decide(merchant, dispute_id, outcome, key=None):
    return await merchant.post(f"/v1/disputes/{dispute_id}", {"outcome": outcome}, key)


async def held(merchant, charge):
    return (await merchant.get(f"/v1/charges/{charge['id']}")).body["disputed_minor_units"]


@pytest.mark.parametrize(("outcome", "held_after"), [("won", 0), ("lost", 1200)])
async def test_a_dispute_withdraws_at_once_and_only_a_won_one_gives_back(merchant, outcome, held_after):
    charge = await merchant.captured()
    opened = await dispute(merchant, charge, 1200)
    path = f"/v1/disputes/{opened.body['id']}"
    assert (opened.status, opened.body["status"]) == (200, "open")
    assert (opened.body["fee_minor_units"], opened.body["currency_code"]) == (1500, "EUR")
    assert await held(merchant, charge) == 1200
    assert (await merchant.get(path)).body == opened.body

    decided = await decide(merchant, opened.body["id"], outcome)

    assert decided.body == {**opened.body, "status": outcome} == (await merchant.get(path)).body
    assert await held(merchant, charge) == held_after
    assert (await merchant.get(f"/v1/charges/{charge['id']}")).body["status"] == "captured"
    again = await decide(merchant, opened.body["id"], "won")
    assert (again.status, again.code) == (409, "step_not_allowed")
    assert again.body["error"]["dispute_status"] == outcome


async def test_what_is_disputed_cannot_be_refunded(merchant):
    charge = await merchant.captured()
    opened = (await dispute(merchant, charge, 1500)).body
    refund = f"/v1/charges/{charge['id']}/refund"

    refused = await merchant.post(refund, {"amount_minor_units": 500})
    rest = await merchant.post(refund, {"amount_minor_units": 499})
    await decide(merchant, opened["id"], "won")
    given_back = await merchant.post(refund, {"amount_minor_units": 1500})

    assert (refused.status, refused.code) == (409, "amount_disputed")
    assert (rest.status, given_back.status) == (200, 200)


async def test_disputes_stop_at_what_was_captured_and_not_refunded(merchant):
    authorized = (await merchant.charge()).body
    charge = await merchant.captured(amount=1000)
    await merchant.post(f"/v1/charges/{charge['id']}/refund", {"amount_minor_units": 400})

    assert (await dispute(merchant, authorized, 1)).code == "amount_exceeds_captured"
    assert (await dispute(merchant, charge, 601)).code == "amount_exceeds_captured"
    assert (await dispute(merchant, charge, 600)).status == 200
    assert (await dispute(merchant, charge, 1)).code == "amount_exceeds_captured"


async def test_disputes_against_refunds_never_take_more_than_was_captured(merchant):
    charge = await merchant.captured(amount=1000)
    refund = f"/v1/charges/{charge['id']}/refund"

    await asyncio.gather(
        *(
            task
            for _ in range(6)
            for task in (
                dispute(merchant, charge, 150),
                merchant.post(refund, {"amount_minor_units": 150}),
            )
        )
    )

    now = (await merchant.get(f"/v1/charges/{charge['id']}")).body
    assert now["refunded_minor_units"] + now["disputed_minor_units"] == 900


async def test_a_dispute_is_opened_and_decided_once_per_key(merchant):
    charge = await merchant.captured()
    first = await dispute(merchant, charge, 100, key="dispute-once")
    again = await dispute(merchant, charge, 100, key="dispute-once")
    assert again.raw == first.raw
    assert await held(merchant, charge) == 100
    decided = await decide(merchant, first.body["id"], "won", key="decide-once")
    assert (await decide(merchant, first.body["id"], "won", key="decide-once")).raw == decided.raw
    assert (await decide(merchant, first.body["id"], "lost", key="decide-once")).status == 409
    assert await held(merchant, charge) == 0


async def test_a_dispute_that_nobody_knows_is_not_found(merchant):
    assert (await merchant.get("/v1/disputes/dp_none")).code == "dispute_unknown"
    assert (await decide(merchant, "dp_none", "won")).code == "dispute_unknown"
    assert (await dispute(merchant, {"id": "ch_none"}, 1)).code == "charge_unknown"


async def test_a_dispute_is_told_by_webhook(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url, dispute_fee_minor_units="700")
    charge = await merchant.captured(key="disputed-charge")
    opened = (await dispute(merchant, charge, 10)).body
    await decide(merchant, opened["id"], "won")

    events = await receiver.has("dispute.opened", "dispute.won")

    assert events[0]["data"] == {**opened, "charge_idempotency_key": "disputed-charge"}
    assert (events[1]["data"]["status"], events[1]["data"]["fee_minor_units"]) == ("won", 700)


@pytest.mark.parametrize(("outcome", "held_after"), [("won", 0), ("lost", 500)])
async def test_a_method_is_disputed_by_itself_after_its_first_capture(
    open_sandbox, receiver, outcome, held_after
):
    merchant = open_sandbox(receiver.url)
    charge = await merchant.captured(f"dispute_{outcome}", 400)
    path = f"/v1/charges/{charge['id']}"
    await merchant.post(f"{path}/capture", {"amount_minor_units": 100})

    opened, decided = await receiver.has("dispute.opened", f"dispute.{outcome}")

    assert opened["data"]["amount_minor_units"] == 500
    assert decided["data"] == {**opened["data"], "status": outcome}
    assert await held(merchant, charge) == held_after
    assert len(receiver.events) == 2


async def test_a_dispute_to_come_outlives_the_process(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = await merchant.captured("dispute_lost")
    merchant.sandbox.kill()
    await asyncio.to_thread(merchant.sandbox.start)

    _, lost = await receiver.has("dispute.opened", "dispute.lost")

    assert lost["data"]["charge_id"] == charge["id"]
    assert await held(merchant, charge) == 1999


async def test_what_was_refunded_before_is_not_disputed(merchant):
    charge = await merchant.captured("dispute_lost")
    await merchant.post(f"/v1/charges/{charge['id']}/refund", {"amount_minor_units": 1999})
    other = await merchant.captured("dispute_lost")
    await merchant.becomes(f"/v1/charges/{other['id']}", disputed_minor_units=1999)
    assert await held(merchant, charge) == 0
