import asyncio
import time


async def over(charge):
    """The clock of the provider is ours."""
    await asyncio.sleep(max(0, charge["expires"] - time.time()) + 0.01)


async def test_an_authorization_and_a_challenge_say_when_they_end(merchant):
    for method, seconds in (("ok", 7 * 86_400), ("requires_action", 900)):
        charge = (await merchant.charge(method)).body
        assert seconds <= charge["expires"] - charge["created"] <= seconds + 1
    assert (await merchant.charge("declined")).body["expires"] is None


async def test_a_challenge_that_is_passed_gives_an_authorization_with_its_own_end(merchant):
    charge = (await merchant.charge("requires_action")).body
    async with merchant.http.post(charge["next_action_url"], json={"outcome": "pass"}) as said:
        passed = await said.json()
    assert passed["expires"] - charge["created"] >= 7 * 86_400


async def test_an_authorization_expires_and_is_told(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = (await merchant.charge("expiring", key="expiring")).body

    [event] = await receiver.has("charge.expired")

    assert event["data"]["id"] == charge["id"]
    assert event["data"]["idempotency_key"] == "expiring"
    path = f"/v1/charges/{charge['id']}"
    assert (await merchant.get(path)).body["status"] == "expired"
    capture = await merchant.post(f"{path}/capture", {"amount_minor_units": 1})
    void = await merchant.post(f"{path}/void", {})
    for refused in (capture, void):
        assert (refused.status, refused.code) == (409, "authorization_expired")
        assert refused.body["error"]["charge_status"] == "expired"
    found = (await merchant.operation("expiring")).body
    assert (found["status"], found["charge_status"]) == ("authorized", "expired")


async def test_the_rest_of_a_partly_captured_charge_expires_and_its_status_stays(open_sandbox):
    merchant = open_sandbox(authorization_seconds="4")
    charge = await merchant.captured(amount=1000)
    path = f"/v1/charges/{charge['id']}"
    await over(charge)

    refused = await merchant.post(f"{path}/capture", {"amount_minor_units": 1})
    refund = await merchant.post(f"{path}/refund", {"amount_minor_units": 1000})

    assert (refused.code, refused.body["error"]["charge_status"]) == ("authorization_expired", "captured")
    assert (refund.status, refund.body["voided_minor_units"]) == (200, 0)


async def test_a_capture_in_the_second_of_the_expiry_is_on_one_side_of_it(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charges = [(await merchant.charge("expiring")).body for _ in range(20)]
    await asyncio.sleep(max(0, charges[0]["expires"] - time.time() - 0.02))

    captures = (
        merchant.post(f"/v1/charges/{charge['id']}/capture", {"amount_minor_units": 5}) for charge in charges
    )
    replies = await asyncio.gather(*captures)

    await over(charges[-1])
    for charge, reply in zip(charges, replies, strict=True):
        status = "captured" if reply.status == 200 else "expired"
        if reply.status != 200:
            assert reply.code == "authorization_expired"
            assert reply.body["error"]["charge_status"] == "expired"
        await merchant.becomes(f"/v1/charges/{charge['id']}", status=status)


async def test_a_challenge_expires_and_cannot_be_passed_any_more(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = (await merchant.charge("challenge_expiring", key="unanswered")).body

    [event] = await receiver.has("charge.expired")

    assert event["data"]["id"] == charge["id"]
    assert (await merchant.operation("unanswered")).body["status"] == "expired"
    said = await merchant.send("POST", f"/v1/challenges/{charge['id']}", {}, json={"outcome": "pass"})
    assert (said.status, said.code) == (409, "step_not_allowed")
    assert said.body["error"]["charge_status"] == "expired"


async def test_the_settings_say_how_long_both_last(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url, authorization_seconds="1", challenge_seconds="1")
    charge = (await merchant.charge("ok")).body
    challenge = (await merchant.charge("hosted")).body
    await merchant.becomes(f"/v1/charges/{charge['id']}", status="expired")
    await merchant.becomes(f"/v1/charges/{challenge['id']}", status="expired", authorized_minor_units=0)


async def test_an_expiry_that_is_due_when_the_provider_is_down_comes_with_its_start(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = (await merchant.charge("expiring")).body
    merchant.sandbox.kill()
    await over(charge)

    await asyncio.to_thread(merchant.sandbox.start)

    [event] = await receiver.has("charge.expired")
    assert event["data"]["id"] == charge["id"]
