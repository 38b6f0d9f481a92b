"""Consumers: a durable JetStream pull consumer a service; each event takes effect once.

The inbox row is written in the transaction of the effect, and the message is acknowledged after it. Events come in
batches that share one transaction; when one of them fails, each is tried by itself. One that keeps failing goes to
the dead letters, with an alarm in the log: it is never skipped in silence.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from services.runtime import failpoints, jetstream, logs, semantics, telemetry
from services.runtime.columns import UUIDS
from services.runtime.database import AWAY, RETRIED, Database
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.settings import Settings
from services.runtime.statements import given, param, statement
from services.runtime.tables import dead_letters, inbox
from services.runtime.work import Event, Reaction, Work

BATCH = 100
# How long the events of a killed process wait for another one; a batch that takes longer comes twice, and counts once.
ACK_WAIT_SECONDS = 10.0
RETRY_SECONDS, RETRY_MOST_SECONDS = 0.2, 30.0
# So many events' failures are remembered at most: another replica may have settled those that no longer come.
FAILURES = 10_000

_NEW = statement(
    upsert(inbox)
    .from_select(["event_id"], select(given(("event_id", UUIDS))))
    .on_conflict_do_nothing()
    .returning(inbox.c.event_id),
    "inbox",
)
_BURY = statement(
    upsert(dead_letters)
    .values(
        event_id=param("event_id"),
        type=param("type"),
        payload=param("payload"),
        traceparent=param("traceparent"),
        reason=param("reason"),
    )
    .on_conflict_do_nothing(),
    "dead letter",
)


@dataclass(frozen=True, slots=True)
class Received:
    """An event as it came."""

    message: Msg
    event: Event
    attempt: int


class Consumer:
    """Applies `reactions` to the events that other services publish."""

    def __init__(
        self,
        service: str,
        database: Database,
        client: Client,
        settings: Settings,
        reactions: Mapping[type[Message], Reaction],
        committed: Callable[[list[Event]], None],
    ) -> None:
        self._service, self._database, self._client, self._settings = service, database, client, settings
        self._js = client.jetstream()
        self._reactions = {
            kind.DESCRIPTOR.full_name: (kind, reaction) for kind, reaction in reactions.items()
        }
        self._committed = committed
        self._failures: Counter[UUID] = Counter()

    async def run(self) -> None:
        """React until cancelled. A subscription that broke, or went silent while events wait, is made anew."""
        while True:
            try:
                await self._subscribed()
            except (*jetstream.AWAY, *AWAY, Refusal) as error:
                logs.log.warning("reactions wait", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _subscribed(self) -> None:
        await jetstream.ensure_stream(self._js, self._settings.stream_replicas, self._settings.retention_days)
        config = ConsumerConfig(
            durable_name=self._service,
            filter_subjects=sorted(self._reactions),
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_ack_pending=1000,
        )
        await self._js.add_consumer(jetstream.STREAM, config)
        async with jetstream.Pull(self._client, self._service, BATCH) as pull:
            while True:
                messages = await pull.next()
                try:
                    batch = [await self._received(message) for message in messages]
                    await self._take([received for received in batch if received is not None])
                except (*AWAY, asyncio.CancelledError) as error:
                    # Whoever takes them next need not wait until our time to acknowledge them is over.
                    waits = 0.0 if isinstance(error, asyncio.CancelledError) else RETRY_SECONDS
                    await jetstream.give_back(messages, waits)
                    raise

    async def _received(self, message: Msg) -> Received | None:
        """Read a message. One that came from no outbox is put aside."""
        try:
            return _received(message)
        except (KeyError, ValueError) as error:
            await self._bury(Event(new_id(), message.subject, message.data, ""), error)
            await message.term()
            return None

    async def _take(self, batch: list[Received]) -> None:
        if not batch:
            return
        try:
            await self._apply(batch)
        except AWAY:
            raise
        except Exception:
            for received in batch:
                await self._take_one(received)
        else:
            for received in batch:
                await received.message.ack()

    async def _take_one(self, received: Received) -> None:
        event = received.event
        try:
            await self._apply([received])
        except AWAY:
            raise
        except Exception as error:
            if not self._is_given_up(event, error):
                logs.log.warning("event waits", type=event.type, error=type(error).__name__)
                delay = RETRY_SECONDS * 2 ** min(received.attempt, 10)
                await received.message.nak(delay=min(delay, RETRY_MOST_SECONDS))
                return
            await self._bury(event, error)
        self._failures.pop(event.event_id, None)
        await received.message.ack()

    def _is_given_up(self, event: Event, error: Exception) -> bool:
        """Count an event's own failures, here. JetStream counts deliveries, those that others hindered as well."""
        if isinstance(error, RETRIED):
            return False
        if len(self._failures) >= FAILURES:
            self._failures.clear()
        self._failures[event.event_id] += 1
        return self._failures[event.event_id] >= self._settings.delivery_attempts

    async def _apply(self, batch: list[Received]) -> None:
        kinds = {received.event.type.rpartition(".")[2] for received in batch} if failpoints.ARMED else ()
        work = Work(self._database, None, *kinds)
        try:
            rows = await work.rows(_NEW, event_id=[received.event.event_id for received in batch])
            new = {row["event_id"] for row in rows}
            for received in batch:
                if received.event.event_id in new:
                    new.discard(received.event.event_id)
                    await self._react(received.event, work)
            await work.close()
        except BaseException as error:
            await work.roll_back(error)
            raise
        self._committed(work.announced())

    async def _react(self, event: Event, work: Work) -> None:
        kind, reaction = self._reactions[event.type]
        parent = telemetry.Trace.parse(event.traceparent)
        attributes = semantics.processed(event.type, self._service)
        with telemetry.span(
            f"react {kind.DESCRIPTOR.name}", kind="consumer", parent=parent, attributes=attributes
        ) as span:
            span.set("messaging.message.id", str(event.event_id))
            await reaction(kind.FromString(event.payload), work)

    async def _bury(self, event: Event, error: Exception) -> None:
        logs.log.error("dead letter", type=event.type, event_id=str(event.event_id), exc_info=error)
        await self._database.rows(
            _BURY,
            event_id=event.event_id,
            type=event.type,
            payload=event.payload,
            traceparent=event.traceparent,
            reason=f"{type(error).__name__}: {error}"[:1000].replace("\0", ""),
        )


def _received(message: Msg) -> Received:
    headers = message.headers or {}
    event = Event(
        event_id=UUID(headers["ce-id"]),
        type=headers["ce-type"],
        payload=message.data,
        traceparent=headers.get("traceparent", ""),
    )
    return Received(message, event, message.metadata.num_delivered or 1)
