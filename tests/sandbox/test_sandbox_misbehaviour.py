import asyncio
import json

import aiohttp
import pytest

# Long enough for a request to come to where it goes wrong.
SILENCE_SECONDS = 3.0


async def misbehave(merchant, path, kind, times=1):
    reply = await merchant.post("/v1/misbehave", {"path": path, "kind": kind, "times": times})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("kind", "error", "effect"),
    [
        ("silent_before", asyncio.TimeoutError, False),
        ("silent_after", asyncio.TimeoutError, True),
        ("hang_up", aiohttp.ClientError, True),
        ("malformed", json.JSONDecodeError, True),
    ],
)
async def test_a_request_goes_wrong_once_and_its_repetition_tells_the_truth(merchant, kind, error, effect):
    key = f"wrong-{kind}"
    await misbehave(merchant, "/v1/charges", kind)

    with pytest.raises(error):
        await merchant.charge(key=key, timeout=SILENCE_SECONDS)

    assert (await merchant.operation(key)).status == (200 if effect else 404)
    again = await merchant.charge(key=key)
    assert (again.status, again.body["status"]) == (200, "authorized")
    assert ("Idempotent-Replayed" in again.headers) is effect


@pytest.mark.parametrize(("kind", "status"), [("error_500", 500), ("error_429", 429)])
async def test_an_error_has_no_effect(merchant, kind, status):
    await misbehave(merchant, "/v1/charges", kind, 2)
    assert [(await merchant.charge(key=kind)).status for _ in range(3)] == [status, status, 200]


async def test_a_huge_answer_is_true_all_the_same(merchant):
    await misbehave(merchant, "/v1/charges", "huge")
    reply = await merchant.charge()
    assert len(reply.raw) > 1 << 20
    assert reply.body["status"] == "authorized"


async def test_only_the_path_that_was_named_goes_wrong(merchant):
    charge, other = (await merchant.charge()).body, (await merchant.charge()).body
    path = f"/v1/charges/{charge['id']}"
    await misbehave(merchant, f"{path}/capture", "error_500", 100)
    await misbehave(merchant, "/v1/operations/", "error_429")

    body = {"amount_minor_units": 1}
    assert (await merchant.post(f"{path}/capture", body)).status == 500
    assert (await merchant.get(path)).status == 200
    assert (await merchant.post(f"/v1/charges/{other['id']}/capture", body)).status == 200
    assert [(await merchant.operation("none")).status for _ in range(2)] == [429, 404]

    await misbehave(merchant, f"{path}/capture", "error_500", 0)
    assert (await merchant.post(f"{path}/capture", body)).status == 200


@pytest.mark.parametrize(
    ("field", "value"), [("path", "charges"), ("path", 1), ("kind", "lie"), ("times", -1), ("times", True)]
)
async def test_a_plan_that_makes_no_sense_is_refused(merchant, field, value):
    plan = {"path": "/v1/charges", "kind": "huge", "times": 1, field: value}
    refused = await merchant.post("/v1/misbehave", plan)
    assert (refused.status, refused.body["error"]["field"]) == (400, field)
