"""A relay that catches up: with what its process left behind, and with a stream that was lost meanwhile."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from functools import partial

import nats
import pytest
from commerce.customer.v1.customer_events_pb2 import CustomerCreated, CustomerUpdated
from commerce.customer.v1.customer_pb2 import Customer

from services.runtime import jetstream, outbox
from services.runtime.database import Database
from services.runtime.outbox import Relay
from services.runtime.settings import Settings
from services.runtime.work import Event
from tests.runtime.conftest import write
from tests.shop import eventually

CREATED = CustomerCreated.DESCRIPTOR.full_name
UPDATED = CustomerUpdated.DESCRIPTOR.full_name
KEEP_DAYS = 7
MANY = 2 * outbox.BATCH + 1


@asynccontextmanager
async def stopped(toy):
    """While this block lasts the toy's process does not run."""
    process = toy.clients.cluster.process("toy")
    await process.stop()
    try:
        yield
    finally:
        await process.start()
        await toy.clients.cluster.wait_ready("toy")


@asynccontextmanager
async def relaying(toy):
    """A relay of the toy's outbox at work, and what its stream holds."""
    settings = Settings.model_construct(stream_replicas=1, retention_days=KEEP_DAYS)
    database = Database(toy.clients.cluster.dsn("toy"), size=2, timeout=10)
    client = await nats.connect(toy.clients.cluster.nats_url)
    relay = Relay("toy", database, client, settings)
    work = asyncio.create_task(relay.run())
    try:
        yield relay, client.jetstream()
    finally:
        work.cancel()
        await asyncio.wait([work])
        await client.close()
        await database.stop()


@pytest.fixture
def one_sweep(monkeypatch):
    """A relay sweeps when it begins; the next time is far away."""
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 3_600)


@pytest.fixture
def late_notes(monkeypatch):
    """A relay notes what JetStream has when it must; otherwise it lets it be for long."""
    monkeypatch.setattr(outbox, "NOTE_SECONDS", 3_600)


async def put(toy, name, age="10 seconds", published=False):
    """An event on record of somebody with this name, written so long ago."""
    customer = Customer(store_id=toy.store_id, full_name="Ada", email=f"{name}@example.org")
    event = Event(uuid.uuid4(), CREATED, CustomerCreated(customer=customer).SerializeToString(), "")
    await toy.clients.rows(
        f"""INSERT INTO toy.outbox (event_id, type, payload, traceparent, create_time, publish_time)
        VALUES ($1, $2, $3, '', clock_timestamp() - interval '{age}',
          CASE WHEN $4 THEN clock_timestamp() - interval '{age}' END)""",
        event.event_id,
        event.type,
        event.payload,
        published,
    )
    return event


async def effects(toy):
    """Whose events took effect, in that order."""
    return [event.customer.email.partition("@")[0] for event in await toy.published(CustomerUpdated)]


async def messages(js):
    return (await js.stream_info(jetstream.STREAM)).state.messages


async def _holds(js, number):
    return await messages(js) == number


async def count(toy, condition):
    rows = await toy.clients.rows(f"SELECT count(*) FROM toy.outbox WHERE {condition}")
    return rows[0]["count"]


async def put_many(toy, publish_time):
    await toy.clients.rows(
        f"""INSERT INTO toy.outbox (event_id, type, payload, traceparent, create_time, publish_time)
        SELECT gen_random_uuid(), '{UPDATED}', '', '', clock_timestamp() - interval '1 hour',
          {publish_time} FROM generate_series(1, $1)""",
        MANY,
    )


async def test_what_a_process_left_behind_goes_out_in_the_order_in_which_it_happened(toy):
    async with stopped(toy):
        for name, age in (("third", 10), ("first", 30), ("second", 20)):
            await put(toy, name, f"{age} seconds")
        async with relaying(toy):
            await eventually(lambda: _is(count(toy, "publish_time IS NULL"), 0))

    assert await eventually(lambda: _has(effects(toy), 3)) == ["first", "second", "third"]


async def test_however_much_was_left_behind_all_of_it_goes_out_at_once(toy, one_sweep):
    async with stopped(toy):
        await put_many(toy, "NULL")
        async with relaying(toy):
            await eventually(lambda: _is(count(toy, "publish_time IS NULL"), 0))


async def test_what_went_out_is_noted_for_many_at_once_and_at_the_latest_when_the_relay_stops(
    toy, one_sweep, late_notes
):
    async with stopped(toy):
        async with relaying(toy) as (relay, js):
            await eventually(lambda: _is(count(toy, "publish_time IS NULL"), 0))
            before = await messages(js)
            for number in range(1, 6):
                relay.committed([await put(toy, f"together {number}", "0 seconds")])
                await eventually(partial(_holds, js, before + number))
            assert await count(toy, "publish_time IS NULL") == 5
        noted = "publish_time IS NOT NULL AND position('together'::bytea IN payload) > 0"
        assert await count(toy, noted) == 5
        assert (
            await count(toy, f"{noted} AND xmin = (SELECT xmin FROM toy.outbox WHERE {noted} LIMIT 1)") == 5
        )


async def test_what_a_lost_stream_had_is_sent_again_though_that_was_not_noted_yet(toy, late_notes):
    async with stopped(toy), relaying(toy) as (relay, js):
        await eventually(lambda: _is(count(toy, "publish_time IS NULL"), 0))
        before = await messages(js)
        relay.committed([await put(toy, "young", "0 seconds")])
        await eventually(partial(_holds, js, before + 1))

        await toy.clients.cluster.wipe_jetstream()

        assert await eventually(lambda: _ends_with(js, b"young"))


async def test_a_stream_that_was_lost_while_nobody_looked_gets_again_all_that_is_on_record(toy):
    # The rows of put_many; other tests leave old ones too.
    old = f"type = '{UPDATED}' AND publish_time < clock_timestamp() - interval '30 minutes'"
    async with stopped(toy):
        await put_many(toy, "clock_timestamp() - interval '1 hour'")
        async with relaying(toy):
            # It knows from here on to which stream its events went.
            await put(toy, "known")
            await eventually(lambda: _is(count(toy, "publish_time IS NULL"), 0))
        assert await count(toy, old) == MANY
        await toy.clients.cluster.wipe_jetstream()

        async with relaying(toy):
            await eventually(lambda: _is(count(toy, f"{old} OR publish_time IS NULL"), 0))


async def test_what_inboxes_may_have_forgotten_is_not_sent_again(toy):
    """A lost stream gets what is younger than the retention: an older event would be taken for new."""
    await write(toy)
    await put(toy, "forgotten", f"{KEEP_DAYS} days 1 minute", published=True)
    await put(toy, "remembered", f"{KEEP_DAYS - 1} days 23 hours", published=True)

    await toy.clients.cluster.wipe_jetstream()

    assert "remembered" in await eventually(lambda: _has(effects(toy), 2))
    await put(toy, "last")
    assert "forgotten" not in await eventually(lambda: _has(effects(toy), 3))


async def _is(found, expected):
    return await found == expected


async def _ends_with(js, words):
    """Whether the last of the events that tell of somebody new has these words; not while NATS is away."""
    try:
        return words in (await js.get_last_msg(jetstream.STREAM, CREATED)).data
    except jetstream.AWAY:
        return False


async def _has(found, number):
    whole = await found
    return whole if len(whole) >= number else None
