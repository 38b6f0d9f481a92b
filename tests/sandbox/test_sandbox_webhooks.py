import asyncio

from tests.shop import eventually


async def arrived(receiver, count):
    async def came():
        return len(receiver.events) >= count

    await eventually(came)
    await asyncio.sleep(0.5)  # What is not expected gets the time to come too.
    return receiver.events


async def test_only_what_no_reply_has_told_is_sent(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = (await merchant.charge("ok")).body
    await merchant.post(f"/v1/charges/{charge['id']}/capture", {"amount_minor_units": 1})
    await merchant.charge("declined")
    voided = (await merchant.charge("requires_action")).body
    await merchant.post(f"/v1/charges/{voided['id']}/void", {})
    waiting = (await merchant.charge("requires_action", key="told", reference="order-3ds")).body
    async with merchant.http.post(waiting["next_action_url"], json={"outcome": "fail"}) as said:
        assert said.status == 200

    [event] = await arrived(receiver, 1)

    assert event["type"] == "charge.declined"
    assert event["data"]["id"] == waiting["id"]
    assert (event["data"]["idempotency_key"], event["data"]["reference"]) == ("told", "order-3ds")
    assert event["data"]["decline_code"] == "authentication_failed"


async def test_every_change_is_sent_when_all_are_wanted(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url, webhooks="all")
    charge = (await merchant.charge("ok", key="all-authorize")).body
    path = f"/v1/charges/{charge['id']}"
    await merchant.post(f"{path}/capture", {"amount_minor_units": 10}, key="all-capture")
    await merchant.post(f"{path}/refund", {"amount_minor_units": 4}, key="all-refund-part")
    await merchant.post(f"{path}/refund", {"amount_minor_units": 6}, key="all-refund-rest")
    await merchant.post(f"{path}/refund", {"amount_minor_units": 1}, key="all-refused")

    events = await arrived(receiver, 4)

    assert sorted((event["type"], event["data"]["idempotency_key"]) for event in events) == [
        ("charge.authorized", "all-authorize"),
        ("charge.captured", "all-capture"),
        ("charge.refunded", "all-refund-part"),
        ("charge.refunded", "all-refund-rest"),
    ]
    sums = {event["data"]["idempotency_key"]: event["data"]["refunded_minor_units"] for event in events}
    assert (sums["all-refund-part"], sums["all-refund-rest"]) == (4, 10)


async def test_duplicate_webhook_sends_one_event_three_times(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = (await merchant.charge("duplicate_webhook")).body
    assert charge["status"] == "authorized"

    events = await arrived(receiver, 3)

    assert len(events) == 3
    assert events[0] == events[1] == events[2]
    assert events[0]["data"]["id"] == charge["id"]


async def test_a_webhook_is_sent_again_until_it_is_taken(open_sandbox, receiver):
    receiver.answers = [500, 404]
    merchant = open_sandbox(receiver.url, late_seconds="0")
    charge = (await merchant.charge("late_webhook")).body

    events = await arrived(receiver, 3)

    assert [event["id"] for event in events] == [events[0]["id"]] * 3
    assert (events[0]["type"], events[0]["data"]["id"]) == ("charge.authorized", charge["id"])
    first, second, third = receiver.arrivals
    # Half a second, then a whole one, each with a fifth of chance.
    assert second - first >= 0.4
    assert third - second >= 0.8


async def test_a_webhook_outlives_the_process_that_owes_it(open_sandbox, receiver):
    receiver.answers = [503]
    merchant = open_sandbox(receiver.url, late_seconds="0")
    await merchant.charge("late_webhook")
    await receiver.has("charge.authorized")

    merchant.sandbox.kill()
    await asyncio.to_thread(merchant.sandbox.start)

    # Killed before the failure was written down, it comes when the lease of the attempt has run out.
    events = await arrived(receiver, 2)
    assert len(events) == 2
    assert events[0] == events[1]


async def test_a_late_outcome_outlives_the_process_that_owes_it(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    reply = await merchant.charge("late_webhook", key="late", reference="order-late")
    merchant.sandbox.kill()
    await asyncio.to_thread(merchant.sandbox.start)

    [event] = await arrived(receiver, 1)

    assert event["type"] == "charge.authorized"
    assert event["data"]["id"] == reply.body["id"]
    assert (event["data"]["idempotency_key"], event["data"]["reference"]) == ("late", "order-late")
    assert (await merchant.operation("late")).body["status"] == "authorized"


async def test_a_wrong_amount_is_sent_besides_the_true_one(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url, webhooks="all")
    charge = (await merchant.charge("wrong_amount", key="wrong")).body
    assert (charge["status"], charge["amount_minor_units"]) == ("authorized", 1999)

    events = await arrived(receiver, 2)

    data = {event["data"]["amount_minor_units"]: event["data"] for event in events}
    assert data.keys() == {1999, 2099}
    assert data[2099]["authorized_minor_units"] == 2099
    assert {(one["id"], one["idempotency_key"]) for one in data.values()} == {(charge["id"], "wrong")}
    assert len({event["id"] for event in events}) == 2


async def test_a_webhook_about_nothing_is_sent_besides(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = (await merchant.charge("unknown_webhook")).body

    [event] = await arrived(receiver, 1)

    assert event["type"] == "charge.authorized"
    assert event["data"]["id"] != charge["id"]
    assert (await merchant.get(f"/v1/charges/{event['data']['id']}")).code == "charge_unknown"
    assert (await merchant.operation(event["data"]["idempotency_key"])).status == 404


async def test_all_events_of_a_charge_are_sent_again_with_the_same_ids(open_sandbox, receiver):
    merchant = open_sandbox(receiver.url)
    charge = (await merchant.charge("duplicate_webhook", key="again-authorize")).body
    path = f"/v1/charges/{charge['id']}"
    await merchant.post(f"{path}/capture", {"amount_minor_units": 700}, key="again-capture")
    await merchant.post(f"{path}/refund", {"amount_minor_units": 5000}, key="again-refused")
    await merchant.charge()
    first = {event["id"]: event for event in await arrived(receiver, 3)}
    receiver.events.clear()

    told = await merchant.post("/v1/webhooks/redeliver", {"charge_id": charge["id"]})
    once = {event["id"]: event for event in await arrived(receiver, 2)}
    receiver.events.clear()
    await merchant.post("/v1/webhooks/redeliver", {"charge_id": charge["id"]})
    twice = {event["id"]: event for event in await arrived(receiver, 2)}

    assert told.body == {"charge_id": charge["id"], "events": 2}
    assert len(receiver.events) == 2
    assert first.items() <= once.items()
    assert once == twice
    assert {(event["type"], event["data"]["idempotency_key"]) for event in once.values()} == {
        ("charge.authorized", "again-authorize"),
        ("charge.captured", "again-capture"),
    }
    unknown = await merchant.post("/v1/webhooks/redeliver", {"charge_id": "ch_none"})
    assert unknown.code == "charge_unknown"


async def test_the_shares_of_mixed_are_drawn_by_the_key(open_sandbox, receiver):
    shares = {"unknown_share": "0.2", "duplicate_share": "0.3", "late_share": "0.5"}
    merchant = open_sandbox(receiver.url, **shares, late_seconds="0")

    async def outcome(key):
        try:
            return (await merchant.charge("mixed", key=key, timeout=5)).body["status"]
        except TimeoutError:
            return "silent"

    keys = [f"mixed-{number}" for number in range(40)]
    outcomes = dict(zip(keys, await asyncio.gather(*map(outcome, keys)), strict=True))

    assert set(outcomes.values()) == {"silent", "authorized", "processing"}
    late = [key for key in keys if outcomes[key] == "processing"]
    duplicated = [key for key in keys if outcomes[key] == "authorized"]
    events = await arrived(receiver, len(late) + 2 * len(duplicated))
    assert sorted(event["data"]["idempotency_key"] for event in events) == sorted(late + duplicated * 2)
    for key in keys:
        assert (await merchant.operation(key)).body["status"] == "authorized"
