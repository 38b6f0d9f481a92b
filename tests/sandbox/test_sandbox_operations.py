import asyncio


async def authorized(merchant):
    return f"/v1/charges/{(await merchant.charge()).body['id']}"


async def move(merchant, path, amount, key=None):
    return await merchant.post(path, {"amount_minor_units": amount}, key)


async def test_captures_in_parts_up_to_what_was_authorized(merchant):
    charge = await authorized(merchant)
    first = await move(merchant, f"{charge}/capture", 1500)
    too_much = await move(merchant, f"{charge}/capture", 500)
    last = await move(merchant, f"{charge}/capture", 499)

    assert (first.body["status"], first.body["captured_minor_units"]) == ("captured", 1500)
    assert (too_much.status, too_much.code) == (409, "amount_exceeds_authorized")
    assert last.body["captured_minor_units"] == 1999


async def test_refunds_in_parts_up_to_what_was_captured(merchant):
    charge = await authorized(merchant)
    early = await move(merchant, f"{charge}/refund", 1)
    await move(merchant, f"{charge}/capture", 1000)
    part = await move(merchant, f"{charge}/refund", 400)
    too_much = await move(merchant, f"{charge}/refund", 601)
    rest = await move(merchant, f"{charge}/refund", 600)

    assert (early.status, early.code) == (409, "step_not_allowed")
    assert (part.body["status"], part.body["refunded_minor_units"]) == ("refunded", 400)
    assert (too_much.status, too_much.code) == (409, "amount_exceeds_captured")
    assert rest.body["refunded_minor_units"] == 1000


async def test_a_void_of_an_untouched_charge_ends_it(merchant):
    charge = await authorized(merchant)

    voided = await merchant.post(f"{charge}/void", {})

    assert (voided.body["status"], voided.body["voided_minor_units"]) == ("voided", 1999)
    assert (await move(merchant, f"{charge}/capture", 1)).code == "step_not_allowed"
    assert (await merchant.post(f"{charge}/void", {})).code == "step_not_allowed"


async def test_a_void_after_a_capture_gives_up_the_rest(merchant):
    charge = await authorized(merchant)
    await move(merchant, f"{charge}/capture", 1500)

    released = await merchant.post(f"{charge}/void", {}, key="release")

    assert (released.status, released.body["status"]) == (200, "captured")
    assert (released.body["captured_minor_units"], released.body["voided_minor_units"]) == (1500, 499)
    assert (await move(merchant, f"{charge}/capture", 1)).code == "amount_exceeds_authorized"
    assert (await move(merchant, f"{charge}/refund", 1500)).status == 200
    found = (await merchant.operation("release")).body
    assert (found["operation"], found["status"], found["charge_status"]) == ("void", "captured", "refunded")


async def test_nothing_is_left_to_void_when_all_is_captured(merchant):
    charge = await authorized(merchant)
    await move(merchant, f"{charge}/capture", 1999)

    refused = await merchant.post(f"{charge}/void", {})

    assert (refused.status, refused.code) == (409, "step_not_allowed")
    assert refused.body["error"]["charge_status"] == "captured"


async def test_the_rest_is_captured_after_a_refund_of_the_first_part(merchant):
    charge = await authorized(merchant)
    await move(merchant, f"{charge}/capture", 1000)
    await move(merchant, f"{charge}/refund", 1000)

    rest = await move(merchant, f"{charge}/capture", 999)

    assert (rest.body["status"], rest.body["captured_minor_units"]) == ("captured", 1999)
    assert (await move(merchant, f"{charge}/refund", 1000)).code == "amount_exceeds_captured"
    assert (await move(merchant, f"{charge}/refund", 999)).status == 200


async def test_captures_against_a_void_take_what_they_took_and_no_more(merchant):
    charge = await authorized(merchant)
    captures = (move(merchant, f"{charge}/capture", 300) for _ in range(4))

    *replies, voided = await asyncio.gather(*captures, merchant.post(f"{charge}/void", {}))

    assert voided.status == 200
    booked = (await merchant.get(charge)).body
    assert booked["captured_minor_units"] == 300 * sum(reply.status == 200 for reply in replies)
    assert booked["captured_minor_units"] + booked["voided_minor_units"] == 1999


async def test_each_operation_has_a_reference_of_its_own(merchant):
    charge = await authorized(merchant)
    done = [
        await move(merchant, f"{charge}/capture", 700, key="own-capture"),
        await move(merchant, f"{charge}/capture", 700, key="own-capture-2"),
        await merchant.post(f"{charge}/void", {}, key="own-void"),
        await move(merchant, f"{charge}/refund", 5, key="own-refund"),
    ]
    references = [reply.body["operation_reference"] for reply in done]

    assert [reference.partition("_")[0] for reference in references] == ["cap", "cap", "void", "re"]
    assert len(set(references)) == 4
    for key, reference in zip(
        ("own-capture", "own-capture-2", "own-void", "own-refund"), references, strict=True
    ):
        assert (await merchant.operation(key)).body["operation_reference"] == reference
    refused = await move(merchant, f"{charge}/capture", 5000, key="own-refused")
    assert refused.status == 409
    assert (await merchant.operation("own-refused")).body["operation_reference"] is None


async def test_a_refusal_is_recorded_like_any_outcome(merchant):
    charge = await authorized(merchant)
    refused = await move(merchant, f"{charge}/refund", 5, key="refund-refused")
    await move(merchant, f"{charge}/capture", 5)

    again = await move(merchant, f"{charge}/refund", 5, key="refund-refused")

    assert (again.status, again.raw) == (409, refused.raw)
    found = (await merchant.operation("refund-refused")).body
    assert (found["operation"], found["status"]) == ("refund", "refused")
    assert found["error"]["code"] == "step_not_allowed"
    assert (found["charge_status"], found["refunded_minor_units"]) == ("captured", 0)


async def test_each_operation_is_found_by_its_own_key(merchant):
    charge = (await merchant.charge(key="life-authorize")).body
    await move(merchant, f"/v1/charges/{charge['id']}/capture", 1999, key="life-capture")
    await move(merchant, f"/v1/charges/{charge['id']}/refund", 99, key="life-refund")

    found = [(await merchant.operation(f"life-{name}")).body for name in ("authorize", "capture", "refund")]

    assert [one["status"] for one in found] == ["authorized", "captured", "refunded"]
    assert {one["id"] for one in found} == {charge["id"]}
    assert {one["charge_status"] for one in found} == {"refunded"}
