import asyncio


async def test_the_same_request_gets_the_same_bytes_and_one_effect(merchant):
    first = await merchant.charge(key="twice")
    second = await merchant.charge(key="twice")

    assert second.raw == first.raw
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len([c for c in await merchant.book() if c["idempotency_key"] == "twice"]) == 1


async def test_a_key_cannot_be_used_for_another_request(merchant):
    charge = (await merchant.charge(key="taken")).body
    path = f"/v1/charges/{charge['id']}/capture"

    other_amount = await merchant.charge(key="taken", amount_minor_units=1)
    other_operation = await merchant.post(path, {"amount_minor_units": 1999}, key="taken")

    for refused in (other_amount, other_operation):
        assert (refused.status, refused.code) == (409, "idempotency_key_reused")
    assert (await merchant.booked(charge["id"]))["captured_minor_units"] == 0


async def test_a_bad_request_does_not_use_up_its_key(merchant):
    assert (await merchant.charge(key="fresh", amount_minor_units=0)).status == 400
    assert (await merchant.charge(key="fresh")).body["status"] == "authorized"


async def test_concurrent_requests_with_one_key_take_effect_once(merchant):
    replies = await asyncio.gather(*(merchant.charge(key="together") for _ in range(30)))
    assert len({reply.raw for reply in replies}) == 1

    path = f"/v1/charges/{replies[0].body['id']}/capture"
    body = {"amount_minor_units": 100}
    captures = await asyncio.gather(*(merchant.post(path, body, key="capture-once") for _ in range(30)))

    assert len({reply.raw for reply in captures}) == 1
    assert sum("Idempotent-Replayed" not in reply.headers for reply in captures) == 1
    assert (await merchant.booked(replies[0].body["id"]))["captured_minor_units"] == 100


async def test_concurrent_captures_with_keys_of_their_own_stop_at_the_authorized_sum(merchant):
    charge = (await merchant.charge(amount_minor_units=100)).body
    path = f"/v1/charges/{charge['id']}/capture"

    replies = await asyncio.gather(*(merchant.post(path, {"amount_minor_units": 30}) for _ in range(10)))

    assert sorted(reply.status for reply in replies) == [200] * 3 + [409] * 7
    assert (await merchant.booked(charge["id"]))["captured_minor_units"] == 90


async def test_concurrent_refunds_with_keys_of_their_own_stop_at_the_captured_sum(merchant):
    charge = (await merchant.charge(amount_minor_units=100)).body
    path = f"/v1/charges/{charge['id']}"
    await merchant.post(f"{path}/capture", {"amount_minor_units": 95})

    refunds = (merchant.post(f"{path}/refund", {"amount_minor_units": 30}) for _ in range(10))
    replies = await asyncio.gather(*refunds)

    assert sorted(reply.status for reply in replies) == [200] * 3 + [409] * 7
    assert {reply.code for reply in replies if reply.status == 409} == {"amount_exceeds_captured"}
    assert (await merchant.booked(charge["id"]))["refunded_minor_units"] == 90


async def test_a_refund_that_is_repeated_after_others_adds_up_once(merchant):
    charge = (await merchant.charge()).body
    path = f"/v1/charges/{charge['id']}"
    await merchant.post(f"{path}/capture", {"amount_minor_units": 1999})
    first = await merchant.post(f"{path}/refund", {"amount_minor_units": 500}, key="first-part")
    await merchant.post(f"{path}/refund", {"amount_minor_units": 700}, key="second-part")

    again = await merchant.post(f"{path}/refund", {"amount_minor_units": 500}, key="first-part")
    other = await merchant.post(f"{path}/refund", {"amount_minor_units": 501}, key="first-part")

    assert (again.status, again.raw) == (200, first.raw)
    assert again.body["refunded_minor_units"] == 500
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    assert (await merchant.booked(charge["id"]))["refunded_minor_units"] == 1200
    found = (await merchant.operation("first-part")).body
    assert (found["operation"], found["status"], found["refunded_minor_units"]) == (
        "refund",
        "refunded",
        1200,
    )
