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


async def test_voids_only_when_nothing_is_captured(merchant):
    fresh, taken = await authorized(merchant), await authorized(merchant)
    await move(merchant, f"{taken}/capture", 1)

    voided = await merchant.post(f"{fresh}/void", {})
    refused = await merchant.post(f"{taken}/void", {})

    assert (voided.body["status"], voided.body["voided_minor_units"]) == ("voided", 1999)
    assert (refused.status, refused.code) == (409, "step_not_allowed")
    assert refused.body["error"]["charge_status"] == "captured"
    assert (await move(merchant, f"{fresh}/capture", 1)).code == "step_not_allowed"


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
