"""The relay: it brings events from the outbox to JetStream, at least once each, as CloudEvents 1.0 (binary mode).

The normal way is short: work that committed hands its events over in memory. What was lost on that way, because the
process or NATS died, is found in the table by age. `Nats-Msg-Id` makes the two ways one message.

That JetStream has events is noted in the table for many of them at once, some time later: who is killed meanwhile has
them sent twice.
"""

import asyncio
from collections import deque
from contextlib import ExitStack, suppress
from math import inf
from typing import Any
from uuid import UUID

from nats.aio.client import Client
from sqlalchemy import case, func, null, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.runtime import failpoints, jetstream, logs, semantics, telemetry, times
from services.runtime.bell import Bell
from services.runtime.columns import NOW, UUIDS
from services.runtime.database import Database
from services.runtime.refusals import Refusal
from services.runtime.settings import Settings
from services.runtime.statements import param, statement
from services.runtime.tables import event_streams, outbox
from services.runtime.work import Event

BATCH = 500
QUEUE = 10_000
STALE_SECONDS = 3.0
# Well before other replicas take them for stale.
NOTE_SECONDS = 1.0
SWEEP_SECONDS = 2.0
ACK_SECONDS = 5.0

_PUBLISHED = statement(
    update(outbox).where(outbox.c.event_id == func.any(param("event_ids", UUIDS))).values(publish_time=NOW),
    "outbox published",
)
_STALE = statement(
    select(outbox.c.event_id, outbox.c.type, outbox.c.payload, outbox.c.traceparent)
    .where(
        outbox.c.publish_time.is_(None),
        outbox.c.create_time < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, param("age_seconds")),
    )
    .order_by(outbox.c.create_time)
    .limit(BATCH),
    "outbox stale",
)
_KNOWN_STREAM = statement(
    select(event_streams.c.created).where(event_streams.c.name == jetstream.STREAM), "event stream known"
)
# What is older than the retention has left the consumers' inboxes, which would take it for new.
_young = outbox.c.create_time > func.now() - func.make_interval(0, 0, 0, param("days"))
_page = (
    select(outbox.c.event_id)
    .where(outbox.c.event_id > param("after"))
    .order_by(outbox.c.event_id)
    .limit(BATCH)
)
_SEND_AGAIN = statement(
    update(outbox)
    .where(outbox.c.event_id.in_(_page))
    .values(publish_time=case((_young, null()), else_=outbox.c.publish_time))
    .returning(outbox.c.event_id),
    "outbox send again",
)
_given = upsert(event_streams).values(name=jetstream.STREAM, created=param("created"))
_REMEMBER_STREAM = statement(
    _given.on_conflict_do_update(index_elements=["name"], set_={"created": _given.excluded.created}),
    "event stream remember",
)


class Relay:
    """Publishes this service's events. `committed` takes the events of work that has committed."""

    def __init__(self, service: str, database: Database, client: Client, settings: Settings) -> None:
        self._source = f"/commerce/{service}"
        self._database, self._client, self._settings = database, client, settings
        self._js = client.jetstream()
        self._queue: deque[Event] = deque()
        # What JetStream has and the table does not say yet, and when that is noted, by the loop's clock.
        self._acknowledged: list[UUID] = []
        self._note_time = inf
        self._bell = Bell()
        self._created = ""

    def committed(self, events: list[Event]) -> None:
        """Take events that are on record; past a bound they are left to the sweep."""
        if events and len(self._queue) < QUEUE:
            self._queue.extend(events)
            self._bell.ring()

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            await self._publish()
        finally:
            with suppress(Refusal):  # Then they are sent twice.
                await self._note()

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            try:
                while self._queue and loop.time() < min(self._note_time, next_sweep):
                    batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                    await self._send(batch)
                if loop.time() >= min(self._note_time, next_sweep):
                    await self._note()
                if loop.time() >= next_sweep:
                    await self._look_at_stream()
                    while await self._sweep():
                        pass
                    next_sweep = loop.time() + SWEEP_SECONDS
            except (*jetstream.AWAY, Refusal) as error:
                if self._client.is_closed:
                    raise  # The client gave up for good: a new process gets a new one.
                logs.log.warning("events wait", error=type(error).__name__)
                await asyncio.sleep(0.5)
                next_sweep = loop.time()
            if not self._queue:
                await self._bell.wait(max(0.0, min(self._note_time, next_sweep) - loop.time()))

    async def _send(self, events: list[Event]) -> None:
        """Publish events and keep which JetStream has acknowledged; the others stay for the sweep."""
        if not self._client.is_connected:
            raise ConnectionError("NATS is away")
        acks: list[asyncio.Future[Any]] = []
        await _reach("before", events)
        try:
            with ExitStack() as spans:
                for event in events:
                    headers = self._headers(event, _traceparent(event, spans))
                    acks.append(await self._js.publish_async(event.type, event.payload, headers=headers))
                await asyncio.wait(acks, timeout=ACK_SECONDS)
        finally:
            for ack in acks:
                ack.cancel()  # One that stays open holds one of the client's places for ever.
        await _reach("after", events)
        done = [event.event_id for event, ack in zip(events, acks, strict=True) if _succeeded(ack)]
        if done and not self._acknowledged:
            self._note_time = asyncio.get_running_loop().time() + NOTE_SECONDS
        self._acknowledged += done
        if len(self._acknowledged) >= BATCH:
            await self._note()
        if len(done) < len(events):
            raise TimeoutError

    async def _note(self) -> None:
        """Write down what JetStream has. What cannot be noted now is kept."""
        while batch := self._acknowledged[:BATCH]:
            await self._database.rows(_PUBLISHED, event_ids=batch)
            del self._acknowledged[:BATCH]
        self._note_time = inf

    async def _sweep(self) -> bool:
        """Publish what is on record and was not published in good time. Return whether there may be more."""
        rows = await self._database.rows(_STALE, age_seconds=STALE_SECONDS)
        if rows:
            await self._send(
                [Event(row["event_id"], row["type"], row["payload"], row["traceparent"]) for row in rows]
            )
        return len(rows) == BATCH

    async def _look_at_stream(self) -> None:
        """Send everything again when the stream is not the one that our events went to."""
        info = await jetstream.ensure_stream(
            self._js, self._settings.stream_replicas, self._settings.retention_days
        )
        created = jetstream.created(info)
        if created == self._created:
            return
        known = await self._database.row(_KNOWN_STREAM)
        # That another replica has done it is not enough where we published to the lost stream until now.
        if self._created or (known is not None and known["created"] != created):
            logs.log.warning("the event stream was lost: sending again what is on record")
            await self._send_again()
        await self._database.rows(_REMEMBER_STREAM, created=created)
        self._created = created

    async def _send_again(self) -> None:
        """Mark what is on record as not published, page by page: it may be millions of rows."""
        after = UUID(int=0)
        while rows := await self._database.rows(_SEND_AGAIN, after=after, days=self._settings.retention_days):
            after = max(row["event_id"] for row in rows)

    def _headers(self, event: Event, traceparent: str) -> dict[str, str]:
        headers = {
            "Nats-Msg-Id": str(event.event_id),
            "ce-specversion": "1.0",
            "ce-id": str(event.event_id),
            "ce-source": self._source,
            "ce-type": event.type,
            "ce-time": times.now().isoformat(),
            "content-type": "application/protobuf",
        }
        if traceparent:
            headers["traceparent"] = traceparent
        return headers


def _traceparent(event: Event, spans: ExitStack) -> str:
    """Return what the consumers' spans come under: where the event is traced, a span of its publishing."""
    trace = telemetry.Trace.parse(event.traceparent)
    if trace is None or not trace.sampled:
        return event.traceparent
    name = f"publish {event.type.rpartition('.')[2]}"
    attributes = semantics.published(event.type)
    span = spans.enter_context(telemetry.span(name, kind="producer", parent=trace, attributes=attributes))
    span.set("messaging.message.id", str(event.event_id))
    return span.trace.traceparent


async def _reach(when: str, events: list[Event]) -> None:
    if failpoints.ARMED:
        for event in events:
            await failpoints.reach(f"{when} publish {event.type.rpartition('.')[2]}")


def _succeeded(ack: asyncio.Future[Any]) -> bool:
    return not ack.cancelled() and ack.exception() is None
