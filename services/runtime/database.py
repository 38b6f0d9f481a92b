"""A bounded pool of asyncpg connections that run statements prepared, without a reset round trip between users.

A connection that was interrupted in the middle of a call is closed, never reused: what it was doing is unknown.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Protocol, TypeAlias

import asyncpg
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime import failpoints, semantics, telemetry
from services.runtime.deadlines import Deadlines
from services.runtime.places import Turns
from services.runtime.refusals import Refusal
from services.runtime.statements import Statement

Row: TypeAlias = Mapping[str, Any]  # An asyncpg.Record.

AWAY = (
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,  # It has become a standby.
    asyncpg.InternalClientError,  # The server's last word came while the connection lay idle.
    OSError,
)


class Overtaken(Exception):
    """What the work had looked at has changed since, by somebody whose work is done: it begins again, and finds that.

    As every round is some other's progress, the rounds are bounded by what there is to do, and by the call's time.
    """


# What a statement or a transaction may run into through no fault of its own: it is worth doing again.
RETRIED = (
    Overtaken,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
)
# What hinders whoever works by itself, for a while: it comes back to it.
HINDERED = (Refusal, *AWAY, *RETRIED)
ATTEMPTS = 3

# A statement whose caller has gone ends soon, too: it must not hold locks, and a connection, for nobody.
_SETTINGS = {"client_connection_check_interval": "500ms"}
_numbers = count(1)
_deadlines = Deadlines()


class Runs(Protocol):
    """Whatever runs statements: the database itself, or one transaction of it."""

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement and return its rows."""
        ...

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run a statement and return its first row, if there is one."""
        ...


class Endpoint:
    """Where statements run, and what spans tell of each that runs there."""

    def __init__(self, dsn: str) -> None:
        self._attributes = semantics.database(dsn)
        self._known: dict[Statement, semantics.Attributes] = {}

    def attributes_of(self, statement: Statement) -> semantics.Attributes:
        """Return a statement's attributes, which are worked out once."""
        known = self._known.get(statement)
        if known is None:
            known = self._known[statement] = {**self._attributes, **semantics.query(statement.sql)}
        return known


class Connection:
    """One connection and the statements prepared on it."""

    __slots__ = ("_at", "_prepared", "raw", "timeout")

    def __init__(self, raw: asyncpg.Connection, timeout: float, at: Endpoint) -> None:
        self.raw = raw
        self.timeout = timeout
        self._at = at
        self._prepared: dict[Statement, Callable[..., Any]] = {}

    async def rows(
        self, statement: Statement, values: dict[str, Any], timeout: float | None = None
    ) -> list[Row]:
        """Run a statement, in a span of its own where the call is traced."""
        arguments = statement.arguments(values)
        current = telemetry.current()
        if current is None or not current.sampled:
            return await self._fetch(statement, arguments, timeout or self.timeout)
        attributes = self._at.attributes_of(statement)
        with telemetry.span(f"SQL {statement.name}", kind="client", attributes=attributes) as span:
            try:
                return await self._fetch(statement, arguments, timeout or self.timeout)
            except asyncpg.PostgresError as error:
                span.set("db.response.status_code", error.sqlstate)
                raise

    async def execute(self, command: str) -> None:
        """Run BEGIN, COMMIT or ROLLBACK."""
        with _deadlines.limit(time.monotonic() + self.timeout):
            await self.raw.execute(command)

    async def _fetch(self, statement: Statement, arguments: list[Any], timeout: float) -> list[Row]:
        if statement.fresh_plan:
            found: list[Row] = await self.raw.fetch(statement.sql, *arguments, timeout=timeout)
            return found
        fetch = self._prepared.get(statement)
        if fetch is None:
            # Without a name of its own it would be parsed and planned anew at each run.
            name = f"commerce_{next(_numbers)}"
            prepared = await self.raw.prepare(statement.sql, name=name, timeout=self.timeout)
            fetch = self._prepared[statement] = prepared.fetch
        try:
            # asyncpg's own timeout would set a timer for each statement.
            with _deadlines.limit(time.monotonic() + timeout):
                rows: list[Row] = await fetch(*arguments)
        except asyncpg.InvalidCachedStatementError:
            # A migration has changed its tables: it is prepared again when it is tried again.
            self._prepared.clear()
            raise
        return rows


class Database:
    """The service's own schema, through at most `size` connections."""

    def __init__(self, dsn: str, size: int, timeout: float) -> None:
        self._dsn, self._size, self._timeout = dsn, size, timeout
        self._endpoint = Endpoint(dsn)
        self._idle: list[Connection] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    async def start(self) -> None:
        """Open the first connection, so that a wrong address is found at the start."""
        async with self.connection():
            pass

    async def stop(self) -> None:
        """Close what is idle; what is in use closes when it comes back."""
        self._size = 0
        for connection in self._idle:
            await connection.raw.close(timeout=2)
        self._idle.clear()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for as long as the block lasts."""
        connection = await self.take()
        try:
            yield connection
        except BaseException as error:
            self.give(connection, keep=is_sound_after(error))
            raise
        self.give(connection)

    async def rows(self, statement: Statement, _timeout: float | None = None, **values: Any) -> list[Row]:
        """Run one statement by itself and return its rows. Refused with UNAVAILABLE while PostgreSQL is away."""
        if failpoints.ARMED:
            await failpoints.reach(f"before sql {statement.name}")
        for _ in range(ATTEMPTS):
            try:
                connection = self._ready() or await self.take()
                try:
                    rows = await connection.rows(statement, values, _timeout)
                except BaseException as error:
                    self.give(connection, keep=is_sound_after(error))
                    raise
                self.give(connection)
            except RETRIED as error:
                hindered = error
            except AWAY as error:
                raise unavailable() from error
            else:
                if failpoints.ARMED:
                    await failpoints.reach(f"after sql {statement.name}")
                return rows
        raise unavailable() from hindered

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run one statement by itself and return its first row, if there is one."""
        rows = await self.rows(statement, **values)
        return rows[0] if rows else None

    async def rows_once(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement by itself, for someone who knows what else to do when it fails, in whatever way."""
        async with self.connection() as connection:
            return await connection.rows(statement, values)

    async def take(self) -> Connection:
        """Wait for a connection; who waits longest is served first. Whoever takes one gives it back."""
        ready = self._ready()
        if ready is not None:
            return ready
        if self._open < self._size:
            self._open += 1
            return await self._connect()
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            connection = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._pass_on(waiter.result())  # It was our turn: the next one's now.
            raise
        return connection or await self._connect()

    def _ready(self) -> Connection | None:
        while self._idle:
            idle = self._idle.pop()
            if not idle.raw.is_closed():
                return idle
            self._open -= 1  # The server closed it while it lay idle.
        return None

    async def _connect(self) -> Connection:
        try:
            raw = await asyncpg.connect(
                self._dsn,
                timeout=self._timeout,
                statement_cache_size=0,
                server_settings=_SETTINGS,
            )
        except BaseException:
            self._pass_on(None)
            raise
        return Connection(raw, self._timeout, self._endpoint)

    def give(self, connection: Connection, keep: bool = True) -> None:
        """Take a connection back, or close it when it is not to be kept."""
        if keep and self._size and not connection.raw.is_closed() and not connection.raw.is_in_transaction():
            self._pass_on(connection)
        else:
            connection.raw.terminate()
            self._pass_on(None)

    def _pass_on(self, connection: Connection | None) -> None:
        """Hand a connection, or the room for one, to whoever has waited longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is None:
            self._open -= 1
        else:
            self._idle.append(connection)


class Searches:
    """The database for statements that look through much.

    They have few of its connections, which the stores take in turns, and less time.
    """

    def __init__(self, database: Database, connections: int, timeout: float) -> None:
        self._database, self._timeout = database, timeout
        self._turns = Turns(connections)

    async def rows(self, store: str, statement: Statement, values: dict[str, Any]) -> list[Row]:
        """Run one statement by itself, when it is the store's turn."""
        async with self._turns.turn(store):
            return await self._database.rows(statement, self._timeout, **values)


def is_sound_after(error: BaseException) -> bool:
    """Tell whether a connection may be used again: not when it broke, nor when a statement was interrupted."""
    return isinstance(error, Exception) and not isinstance(error, (*AWAY, TimeoutError))


def unavailable() -> Refusal:
    """Refuse because PostgreSQL is away, or what it was asked for is in use; it is worth coming back."""
    return Refusal(ErrorReason.ERROR_REASON_UNAVAILABLE, "The database is away or busy", retry_seconds=1)
