"""One unit of work: a transaction that begins with its first statement, and the events that go out with it.

A call's first reply, and the events it publishes, are rows of the same transaction as its effect. Work that is one
statement carries them in that statement (`Work.commit`) and needs no BEGIN.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Table, insert, literal_column, select
from sqlalchemy.sql.base import Executable

from services.runtime import failpoints, telemetry
from services.runtime.callers import FINGERPRINT_BYTES, Caller
from services.runtime.columns import BYTES, TEXTS, UUIDS
from services.runtime.database import Connection, Database, Row, Runs, is_sound_after
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.statements import Statement, given, statement
from services.runtime.tables import first_replies, outbox

_EVENT = (("event_id", UUIDS), ("type", TEXTS), ("payload", BYTES), ("traceparent", TEXTS))
_REPLY = (("request_id", UUIDS), ("request_hash", BYTES), ("reply", BYTES))


def _inserted(table: Table, columns: Sequence[tuple[str, Any]], held: Any = None) -> Any:
    """Insert the rows of arrays, which are given by the columns' names after an underscore.

    Where they are of many works, each row is of the one that its table's "…_of" names, and goes in if that is `held`.
    """
    names = [name for name, _ in columns]
    if held is None:
        return insert(table).from_select(names, select(given(*columns, prefix="_")))
    rows = given(*columns, (f"{table.name}_of", UUIDS), name=f"{table.name}_rows", prefix="_")
    of = rows.c[f"{table.name}_of"].in_(select(held))
    found = select(*(rows.c[name] for name in names)).where(of)
    if table is first_replies:
        # In one order, so that two batches with the same request_ids cannot wait for each other.
        found = found.order_by(rows.c.request_id)
    return insert(table).from_select(names, found)


def closing(core: Any, name: str = "", held: Any = None) -> Statement:
    """Compile a statement that ends its work: it also writes the first reply and the events (see Work.commit).

    One that ends many works (see commit_together) says whose changes were `held`: a column of their ids.
    """
    events = _inserted(outbox, _EVENT, held).cte("events")
    closed: Executable = core.add_cte(events, _inserted(first_replies, _REPLY, held).cte("first_reply"))
    return statement(closed, name)


_CLOSE = closing(select(literal_column("1").label("closed")), "close")


@dataclass(frozen=True, slots=True)
class Event:
    """What the relay publishes."""

    event_id: Any
    type: str
    payload: bytes
    traceparent: str


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a call repeatable: its request_id and the hash of who asked for what."""

    request_id: str
    request_hash: bytes

    def is_of_same_caller(self, request_hash: bytes) -> bool:
        """Tell whether another hash is of a request of the same caller."""
        return self.request_hash[:FINGERPRINT_BYTES] == request_hash[:FINGERPRINT_BYTES]


ReactTogether = Callable[[Any, list[Any]], Awaitable[None]]


class Work:
    """Runs statements in one transaction and gathers what goes out with it. Not for use by two tasks at once."""

    def __init__(self, database: Database, key: Key | None = None, *names: str) -> None:
        self._database = database
        self._key = key
        self._names = names  # What failpoints call it.
        self._connection: Connection | None = None
        self._events: list[Event] = []
        self._after: list[Callable[[], None]] = []
        self._gathered: dict[ReactTogether, tuple[telemetry.Trace | None, list[Any]]] = {}
        self.committed = False

    @property
    def begun(self) -> bool:
        """Whether a statement was run in its transaction, which may hold locks."""
        return self._connection is not None

    @property
    def db(self) -> "Work":
        """Where handlers run their statements."""
        return self

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement in the transaction and return its rows."""
        connection = self._connection or await self._begin()
        return await connection.rows(statement, values)

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run a statement in the transaction and return its first row, if there is one."""
        rows = await self.rows(statement, **values)
        return rows[0] if rows else None

    def publish(self, event: Message, trace: telemetry.Trace | None = None) -> None:
        """Send an event when, and only when, this work commits; in the current trace unless another is given."""
        trace = trace or telemetry.current()
        traceparent = trace.traceparent if trace else ""
        self._events.append(
            Event(new_id(), event.DESCRIPTOR.full_name, event.SerializeToString(), traceparent)
        )

    def gather(self, react: ReactTogether, item: Any) -> None:
        """Have `react(work, items)` called once before the commit, with every item that was gathered for it.

        Reactions of a batch share a transaction: rows that each would lock by itself, in the order in which events
        happen to come, are locked for all of them at once, in an order that cannot deadlock. What that takes shows in
        the trace of the first.
        """
        self._gathered.setdefault(react, (telemetry.current(), []))[1].append(item)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do something quick once this work has committed: wake a worker, tell watchers. It may be lost in a crash."""
        self._after.append(action)

    async def commit(self, last: Statement, reply: Message | None = None, **values: Any) -> list[Row]:
        """End the work with a statement made by `closing`; by itself it is its own transaction."""
        await self._react()
        everything = values | self._closing(reply)
        if self._connection is None:
            if failpoints.ARMED:
                await self._reach("before")
            async with self._database.connection() as connection:
                rows = await connection.rows(last, everything)
            self.committed = True
            if failpoints.ARMED:
                await self._reach("after")
        else:
            rows = await self._connection.rows(last, everything)
            await self._commit()
        return rows

    async def close(self, reply: Message | None = None) -> None:
        """Commit what was done, with the events and the reply, unless that has happened."""
        if self.committed:
            return
        await self._react()
        if self._events or self._key:
            await self.commit(_CLOSE, reply)
        elif self._connection is not None:
            await self._commit()
        self.committed = True

    async def roll_back(self, error: BaseException) -> None:
        """Undo everything; nothing is published. An interrupted connection is closed, which undoes it too."""
        self._events.clear()
        self._after.clear()
        self._gathered.clear()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            keep = is_sound_after(error)
            if keep:
                await connection.execute("ROLLBACK")
        except BaseException:
            keep = False
            raise
        finally:
            self._database.give(connection, keep)

    def announced(self) -> list[Event]:
        """Run what waits for the commit and return the events that are now on record."""
        for action in self._after:
            action()
        return self._events

    async def _react(self) -> None:
        while self._gathered:
            react, (trace, items) = self._gathered.popitem()
            with telemetry.span("react", parent=trace) if trace else nullcontext():
                await react(self, items)

    def _closing(self, reply: Message | None) -> dict[str, Any]:
        key = self._key
        return {
            "_event_id": [event.event_id for event in self._events],
            "_type": [event.type for event in self._events],
            "_payload": [event.payload for event in self._events],
            "_traceparent": [event.traceparent for event in self._events],
            "_request_id": [key.request_id] if key else [],
            "_request_hash": [key.request_hash] if key else [],
            "_reply": [reply.SerializeToString() if reply is not None else b""] if key else [],
        }

    async def _reach(self, when: str) -> None:
        for name in self._names:
            await failpoints.reach(f"{when} commit {name}")

    async def _begin(self) -> Connection:
        connection = await self._database.take()
        try:
            await connection.execute("BEGIN")
        except BaseException:
            self._database.give(connection, keep=False)
            raise
        self._connection = connection
        return connection

    async def _commit(self) -> None:
        assert self._connection is not None
        if failpoints.ARMED:
            await self._reach("before")
        await self._connection.execute("COMMIT")
        self._database.give(self._connection)
        self._connection = None
        self.committed = True
        if failpoints.ARMED:
            await self._reach("after")


class Call(Work):
    """What a handler gets beside its request: the caller, the database, and a place for events."""

    def __init__(
        self,
        database: Database,
        caller: Caller,
        metadata: Mapping[str, str | bytes],
        key: Key | None,
        *names: str,
    ) -> None:
        super().__init__(database, key, *names)
        self.caller = caller
        self.metadata = metadata

    async def visible(
        self, statement: Statement, not_found: Callable[[str], Refusal], *, db: Runs | None = None, **key: str
    ) -> list[Row]:
        """Return the rows of something that the caller may see, by its store and, if it has one, its customer.

        Another's is answered like what does not exist: with `not_found` of the last part of its key. The statement
        runs in the call's transaction unless `db` is given.
        """
        rows = await (db or self).rows(statement, **key)
        if not rows or not self.caller.may_see(str(rows[0]["store_id"]), str(rows[0].get("customer_id", ""))):
            *_, last = key.values()
            raise not_found(last)
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """How one of many works ends: what it changes, by its id, and the first reply where there is a call."""

    work: Work
    id: str
    reply: Message | None = None


async def commit_together(
    database: Database, last: Statement, ends: Sequence[End], **values: Any
) -> list[End]:
    """End many works, in which nothing was run, with one statement; return those whose change it held.

    The statement is made by `closing` for many, and returns the `id` of each that was held. The others have not ended.
    """
    everything = values | _closings(ends)
    if failpoints.ARMED:
        for end in ends:
            await end.work._reach("before")
    async with database.connection() as connection:
        rows = await connection.rows(last, everything)
    ids = {str(row["id"]) for row in rows}
    held = [end for end in ends if end.id in ids]
    for end in held:
        end.work.committed = True
    if failpoints.ARMED:
        for end in held:
            await end.work._reach("after")
    return held


def _closings(ends: Sequence[End]) -> dict[str, Any]:
    gathered: dict[str, list[Any]] = {"_outbox_of": [], "_first_replies_of": []}
    for end in ends:
        one = end.work._closing(end.reply)
        gathered["_outbox_of"] += [end.id] * len(one["_event_id"])
        gathered["_first_replies_of"] += [end.id] * len(one["_request_id"])
        for name, values in one.items():
            gathered.setdefault(name, []).extend(values)
    return gathered


Reaction = Callable[[Any, Work], Awaitable[None]]
