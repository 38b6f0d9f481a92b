"""Events: once on record an event arrives, once, whatever dies on the way; one that cannot take effect is shown."""

import asyncio
import json
import signal
import uuid

import nats
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_events_pb2 import CustomerCreated, CustomerUpdated
from commerce.customer.v1.customer_pb2 import Customer
from commerce.customer.v1.customer_service_pb2 import CreateCustomerRequest

from services.runtime.consumers import ACK_WAIT_SECONDS
from tests.runtime.conftest import DELIVERIES, ask, write
from tests.shop import WAIT_SECONDS, eventually, refused

CREATED = CustomerCreated.DESCRIPTOR.full_name


async def effects(toy):
    """The reactions to CustomerCreated that took effect in this store, by the customer's address."""
    return [event.customer.email for event in await toy.published(CustomerUpdated)]


async def unpublished(toy):
    return await toy.clients.rows("SELECT 1 FROM toy.outbox WHERE publish_time IS NULL")


@pytest.fixture
async def js(toy):
    client = await nats.connect(toy.clients.cluster.nats_url)
    yield client.jetstream()
    await client.close()


async def test_an_event_comes_as_a_cloud_event_in_the_trace_of_its_call(toy, js):
    trace_id = uuid.uuid4().hex
    subscription = await js.subscribe(CREATED, ordered_consumer=True)
    await write(toy, metadata=(("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"),))

    async def ours():
        message = await subscription.next_msg(timeout=WAIT_SECONDS)
        event = CustomerCreated.FromString(message.data)
        return message.headers if event.customer.store_id == toy.store_id else None

    headers = await eventually(ours)
    await subscription.unsubscribe()
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == CREATED
    assert headers["ce-source"] == "/commerce/toy"
    assert headers["ce-id"] == headers["Nats-Msg-Id"]
    assert headers["traceparent"].split("-")[1] == trace_id


async def test_an_event_written_while_nats_is_away_arrives_when_it_is_back(toy):
    await toy.clients.cluster.process("nats").stop()
    try:
        written = (await write(toy)).customer.email
        await asyncio.sleep(0.5)
        assert await effects(toy) == []
    finally:
        await toy.clients.cluster.process("nats").start()

    assert await eventually(lambda: effects(toy)) == [written]
    await eventually(lambda: _none(unpublished(toy)))


async def test_an_event_counts_as_published_when_jetstream_has_said_so_and_not_before(toy):
    toy.clients.cluster.kill("nats", signal.SIGSTOP)
    try:
        written = (await write(toy)).customer.email
        await asyncio.sleep(0.5)
        assert len(await unpublished(toy)) == 1
    finally:
        toy.clients.cluster.kill("nats", signal.SIGCONT)

    assert await eventually(lambda: effects(toy)) == [written]
    await eventually(lambda: _none(unpublished(toy)))


async def test_an_event_whose_process_died_before_it_was_published_arrives(toy):
    """The row is all that a process leaves that dies right after its commit."""
    customer = Customer(store_id=toy.store_id, full_name="Ada", email="orphan@example.org")
    await toy.clients.rows(
        "INSERT INTO toy.outbox (event_id, type, payload, traceparent) VALUES ($1, $2, $3, '')",
        uuid.uuid4(),
        CREATED,
        CustomerCreated(customer=customer).SerializeToString(),
    )

    assert await eventually(lambda: effects(toy)) == ["orphan@example.org"]


async def test_an_event_that_commits_when_younger_ones_were_published_arrives(toy):
    """Ids are given before the commit: an older one may come later. No mark of how far we are would find it."""
    young = (await write(toy)).customer.email
    await eventually(lambda: _none(unpublished(toy)))
    customer = Customer(store_id=toy.store_id, full_name="Ada", email="late@example.org")
    await toy.clients.rows(
        "INSERT INTO toy.outbox (event_id, type, payload, traceparent) VALUES ($1, $2, $3, '')",
        uuid.UUID(int=uuid.uuid4().int >> 16),
        CREATED,
        CustomerCreated(customer=customer).SerializeToString(),
    )

    async def both():
        return sorted(await effects(toy)) == sorted([young, "late@example.org"])

    assert await eventually(both)


async def test_what_cannot_be_told_has_not_happened(toy):
    """The event and the effect are one transaction: what failed for its event is done when it is asked for again."""
    request = CreateCustomerRequest(
        store_id=toy.store_id, full_name="Ada", email="told@example.org", request_id=str(uuid.uuid4())
    )
    await toy.clients.rows(
        "ALTER TABLE toy.outbox ADD CONSTRAINT untold CHECK (position('told@'::bytea IN payload) = 0) NOT VALID"
    )
    try:
        with refused(ErrorReason.ERROR_REASON_INTERNAL):
            await toy.customers.CreateCustomer(request)
    finally:
        await toy.clients.rows("ALTER TABLE toy.outbox DROP CONSTRAINT untold")
    assert await toy.published() == []

    await toy.customers.CreateCustomer(request)

    assert len(await toy.published(CustomerCreated)) == 1


async def test_an_event_that_comes_twice_takes_effect_once(toy, js):
    event_id = str(uuid.uuid4())
    customer = Customer(store_id=toy.store_id, full_name="Ada", email="twice@example.org")
    for _ in range(3):  # Without Nats-Msg-Id: JetStream takes each for another message.
        headers = {"ce-id": event_id, "ce-type": CREATED}
        await js.publish(CREATED, CustomerCreated(customer=customer).SerializeToString(), headers=headers)
    await eventually(lambda: effects(toy))
    await asyncio.sleep(0.5)

    assert await effects(toy) == ["twice@example.org"]


async def test_a_service_killed_in_the_middle_of_many_events_applies_each_once(toy):
    written = []
    for _ in range(4):
        written += [(await write(toy)).customer.email for _ in range(5)]
        toy.clients.cluster.kill("toy", signal.SIGKILL)
        await toy.clients.cluster.wait_ready("toy")

    async def all_of_them():
        return sorted(await effects(toy)) if len(await effects(toy)) >= len(written) else None

    assert await eventually(all_of_them) == sorted(written)


async def test_when_the_stream_is_lost_everything_on_record_is_sent_again_and_takes_effect_once(toy, js):
    written = (await write(toy)).customer.email
    await eventually(lambda: effects(toy))

    await toy.clients.cluster.wipe_jetstream()

    async def sent_again():
        subscription = await js.subscribe(CREATED, ordered_consumer=True)
        try:
            while True:
                message = await subscription.next_msg(timeout=1)
                if CustomerCreated.FromString(message.data).customer.email == written:
                    return True
        except (nats.errors.Error, TimeoutError):
            return False
        finally:
            await subscription.unsubscribe()

    async def there():
        try:
            return await sent_again()
        except nats.errors.Error:
            return False

    await eventually(there)
    later = (await write(toy)).customer.email

    async def both():
        found = await effects(toy)
        return found if later in found else None

    assert await eventually(both) == [written, later]


async def test_an_event_that_keeps_failing_is_put_aside_with_its_reason_and_an_alarm(toy):
    before = (await write(toy)).customer.email
    await write(toy, "poison")
    after = (await write(toy)).customer.email

    async def buried():
        rows = await toy.clients.rows("SELECT * FROM toy.dead_letters")
        return [
            row
            for row in rows
            if CustomerCreated.FromString(row["payload"]).customer.store_id == toy.store_id
        ]

    (letter,) = await eventually(buried)
    tried = await ask(toy, f"tries {CustomerCreated.FromString(letter['payload']).customer.email}")
    # At each delivery first with its batch, then by itself.
    assert int(tried.next_page_token) == 2 * DELIVERIES
    assert (letter["type"], letter["reason"]) == (CREATED, "ValueError: it is poison")
    log = toy.clients.cluster.home.log("toy").read_text().splitlines()
    lines = [json.loads(line) for line in log if str(letter["event_id"]) in line]
    assert [line["level"] for line in lines if line["event"] == "dead letter"] == ["error"]

    async def both():
        return sorted(await effects(toy)) if len(await effects(toy)) == 2 else None

    assert await eventually(both) == sorted([before, after])


# A delivery that meets a deadlock is tried twice, one that finds the database away once.
@pytest.mark.parametrize(("hindrance", "times"), [("deadlock", 2 * DELIVERIES + 1), ("away", DELIVERIES + 1)])
async def test_what_is_no_fault_of_an_event_does_not_count_however_often_it_happens(toy, hindrance, times):
    """Deadlocks with others, or a database that is away: the event waits, and takes effect in the end."""
    written = (await write(toy, f"{hindrance} {times}")).customer.email

    assert await eventually(lambda: effects(toy), 90) == [written]

    tried = await ask(toy, f"tries {written}")
    assert int(tried.next_page_token) == times + 1
    letters = await toy.clients.rows(
        "SELECT FROM toy.dead_letters WHERE position(convert_to($1, 'UTF8') IN payload) > 0", written
    )
    assert not letters


@pytest.mark.parametrize(("hindrance", "times"), [("deadlock", 2 * DELIVERIES), ("away", DELIVERIES)])
async def test_what_hindered_an_event_leaves_it_all_the_attempts_it_has(toy, hindrance, times):
    """Then it fails of its own, in its batch and by itself: once less than it may."""
    written = (await write(toy, f"{hindrance} {times} {2 * (DELIVERIES - 1)}")).customer.email

    assert await eventually(lambda: effects(toy)) == [written]


async def test_an_event_in_the_hands_of_a_process_that_stops_is_anothers_at_once(toy):
    """It has not been acknowledged: JetStream would keep it back until that time is over."""
    cluster = toy.clients.cluster
    written = (await write(toy, f"ponder {cluster.process('toy').pid}")).customer.email

    async def in_hand():
        return (await ask(toy, f"tries {written}")).next_page_token != "0"

    await eventually(in_hand)
    cluster.kill("toy", signal.SIGTERM)
    await cluster.wait_ready("toy")

    assert await eventually(lambda: effects(toy), ACK_WAIT_SECONDS / 2) == [written]


async def test_a_message_that_no_outbox_sent_is_put_aside_and_stops_nothing(toy, js):
    words = uuid.uuid4().bytes
    await js.publish(CREATED, words)
    after = (await write(toy)).customer.email

    assert await eventually(lambda: effects(toy)) == [after]
    (letter,) = await eventually(
        lambda: toy.clients.rows("SELECT * FROM toy.dead_letters WHERE payload = $1", words)
    )
    assert (letter["type"], letter["reason"]) == (CREATED, "KeyError: 'ce-id'")


async def _none(rows):
    return not await rows
