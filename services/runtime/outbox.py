"""The relay: it brings events from the outbox to JetStream, at least once each, as CloudEvents 1.0 (binary mode).

The normal way is short: work that committed hands its events over in memory. What was lost on that way, because the
process or NATS died, is found in the table by age. `Nats-Msg-Id` makes the two ways one message.
"""

import asyncio
from collections import deque
from contextlib import ExitStack
from datetime import UTC, datetime

from nats.js import JetStreamContext
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.runtime import jetstream, logs, telemetry
from services.runtime.bell import Bell
from services.runtime.database import Database
from services.runtime.refusals import Refusal
from services.runtime.settings import Settings
from services.runtime.statements import param, statement
from services.runtime.tables import NOW, UUIDS, event_streams, outbox
from services.runtime.work import Event

BATCH = 500
QUEUE = 10_000
STALE_SECONDS = 3.0
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
        outbox.c.create_time < NOW - func.make_interval(0, 0, 0, 0, 0, 0, param("age_seconds")),
    )
    .order_by(outbox.c.create_time)
    .limit(BATCH)
    .with_for_update(skip_locked=True),
    "outbox stale",
)
_KNOWN_STREAM = statement(
    select(event_streams.c.created).where(event_streams.c.name == jetstream.STREAM), "event stream known"
)
_SEND_AGAIN = statement(
    update(outbox).where(outbox.c.publish_time.is_not(None)).values(publish_time=None), "outbox send again"
)
_given = upsert(event_streams).values(name=jetstream.STREAM, created=param("created"))
_REMEMBER_STREAM = statement(
    _given.on_conflict_do_update(index_elements=["name"], set_={"created": _given.excluded.created}),
    "event stream remember",
)


class Relay:
    """Publishes this service's events. `committed` takes the events of work that has committed."""

    def __init__(self, service: str, database: Database, js: JetStreamContext, settings: Settings) -> None:
        self._source = f"/commerce/{service}"
        self._database, self._js, self._settings = database, js, settings
        self._queue: deque[Event] = deque()
        self._bell = Bell()
        self._created = ""

    def committed(self, events: list[Event]) -> None:
        """Take events that are on record; past a bound they are left to the sweep."""
        if events and len(self._queue) < QUEUE:
            self._queue.extend(events)
            self._bell.ring()

    async def run(self) -> None:
        """Publish until cancelled."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            try:
                while self._queue:
                    batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                    await self._send(batch)
                if loop.time() >= next_sweep:
                    await self._look_at_stream()
                    while await self._sweep():
                        pass
                    next_sweep = loop.time() + SWEEP_SECONDS
            except (*jetstream.AWAY, Refusal) as error:
                logs.log.warning("events wait", error=type(error).__name__)
                await asyncio.sleep(0.5)
                next_sweep = loop.time()
            await self._bell.wait(max(0.0, next_sweep - loop.time()))

    async def _send(self, events: list[Event]) -> None:
        """Publish events and note which JetStream has acknowledged; the others stay for the sweep."""
        with ExitStack() as spans:
            acks = [
                await self._js.publish_async(
                    event.type, event.payload, headers=self._headers(event, _traceparent(event, spans))
                )
                for event in events
            ]
            answers = await asyncio.wait_for(asyncio.gather(*acks, return_exceptions=True), ACK_SECONDS)
        done = [event.event_id for event, answer in zip(events, answers, strict=True) if not _failed(answer)]
        if done:
            await self._database.rows(_PUBLISHED, event_ids=done)
        if len(done) < len(events):
            raise TimeoutError

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
        if jetstream.created(info) == self._created:
            return
        self._created = jetstream.created(info)
        known = await self._database.row(_KNOWN_STREAM)
        if known is not None and known["created"] == self._created:
            return
        if known is not None:
            logs.log.warning("the event stream was lost: sending again what is on record")
            await self._database.rows(_SEND_AGAIN)
        await self._database.rows(_REMEMBER_STREAM, created=self._created)

    def _headers(self, event: Event, traceparent: str) -> dict[str, str]:
        headers = {
            "Nats-Msg-Id": str(event.event_id),
            "ce-specversion": "1.0",
            "ce-id": str(event.event_id),
            "ce-source": self._source,
            "ce-type": event.type,
            "ce-time": datetime.now(UTC).isoformat(),
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
    span = spans.enter_context(telemetry.span(name, kind="producer", parent=trace))
    span.set("messaging.system", "nats")
    span.set("messaging.message.id", str(event.event_id))
    return span.trace.traceparent


def _failed(answer: object) -> bool:
    if isinstance(answer, asyncio.CancelledError):
        raise answer
    return isinstance(answer, BaseException)
