"""A bounded pool of asyncpg connections that run statements prepared, without a reset round trip between users.

A connection that was interrupted in the middle of a call is closed, never reused: what it was doing is unknown.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias

import asyncpg
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime import telemetry
from services.runtime.refusals import Refusal
from services.runtime.statements import Statement

Row: TypeAlias = Mapping[str, Any]  # An asyncpg.Record.

AWAY = (
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # The server's last word came while the connection lay idle.
    ConnectionError,
    OSError,
)

# What a transaction may run into through no fault of its own: it is worth doing again.
RETRIED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,
)


class Runs(Protocol):
    """Whatever runs statements: the database itself, or one transaction of it."""

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement and return its rows."""
        ...

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run a statement and return its first row, if there is one."""
        ...


class Connection:
    """One connection and the statements prepared on it."""

    __slots__ = ("_prepared", "raw", "timeout")

    def __init__(self, raw: asyncpg.Connection, timeout: float) -> None:
        self.raw = raw
        self.timeout = timeout
        self._prepared: dict[Statement, Callable[..., Any]] = {}

    async def rows(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        """Run a statement, in a span of its own where the call is traced."""
        arguments = statement.arguments(values)
        current = telemetry.current()
        if current is None or not current.sampled:
            return await self._fetch(statement, arguments)
        with telemetry.span(f"SQL {statement.name}", kind="client") as span:
            span.set("db.system.name", "postgresql")
            span.set("db.query.text", statement.sql)
            return await self._fetch(statement, arguments)

    async def _fetch(self, statement: Statement, arguments: list[Any]) -> list[Row]:
        if statement.fresh_plan:
            found: list[Row] = await self.raw.fetch(statement.sql, *arguments, timeout=self.timeout)
            return found
        fetch = self._prepared.get(statement)
        if fetch is None:
            prepared = await self.raw.prepare(statement.sql, timeout=self.timeout)
            fetch = self._prepared[statement] = prepared.fetch
        rows: list[Row] = await fetch(*arguments, timeout=self.timeout)
        return rows


class Database:
    """The service's own schema, through at most `size` connections."""

    def __init__(self, dsn: str, size: int, timeout: float) -> None:
        self._dsn, self._size, self._timeout = dsn, size, timeout
        self._idle: list[Connection] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

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

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement by itself and return its rows. Refused with UNAVAILABLE while PostgreSQL is away."""
        try:
            async with self.connection() as connection:
                return await connection.rows(statement, values)
        except AWAY as error:
            raise unavailable() from error

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run one statement by itself and return its first row, if there is one."""
        rows = await self.rows(statement, **values)
        return rows[0] if rows else None

    async def take(self) -> Connection:
        """Wait for a connection. Whoever takes one gives it back."""
        while True:
            if self._idle:
                return self._idle.pop()
            if self._open < self._size:
                return await self._connect()
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # It was our turn: the next one's now.
                raise

    async def _connect(self) -> Connection:
        self._open += 1
        try:
            raw = await asyncpg.connect(self._dsn, timeout=self._timeout, statement_cache_size=0)
        except BaseException:
            self._open -= 1
            self._wake()
            raise
        return Connection(raw, self._timeout)

    def give(self, connection: Connection, keep: bool = True) -> None:
        """Take a connection back, or close it when it is not to be kept."""
        if keep and self._size and not connection.raw.is_closed() and not connection.raw.is_in_transaction():
            self._idle.append(connection)
        else:
            self._open -= 1
            connection.raw.terminate()
            if not keep:
                self._forget_idle()
        self._wake()

    def _forget_idle(self) -> None:
        """Drop idle connections that the server closed too; one broken connection seldom comes alone."""
        alive = [connection for connection in self._idle if not connection.raw.is_closed()]
        self._open -= len(self._idle) - len(alive)
        self._idle = alive

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def is_sound_after(error: BaseException) -> bool:
    """Tell whether a connection may be used again: not when it broke, nor when a statement was interrupted."""
    return isinstance(error, Exception) and not isinstance(error, (*AWAY, TimeoutError))


def unavailable() -> Refusal:
    """Refuse because PostgreSQL is away; it is worth coming back."""
    return Refusal(ErrorReason.ERROR_REASON_UNAVAILABLE, "The database is away", retry_seconds=1)
