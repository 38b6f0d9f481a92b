"""The payment service's database in memory: rows, locks, constraints and transactions.

A row that is written stays locked until its transaction ends, constraints refuse what they refuse in PostgreSQL, a
commit is all or nothing, and its answer may be lost. What each statement does is in till_statements.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import asyncpg
from google.protobuf.message import Message

from services.payment.payments import queries
from services.payment.rules.payment import OPEN
from services.runtime.callers import Caller
from services.runtime.database import unavailable
from services.runtime.statements import Statement
from services.runtime.telemetry import Trace
from services.runtime.work import End
from tests.simulation.loop import PROCESS
from tests.simulation.network import Network

Row = dict[str, Any]
Key = tuple[str, Any]
PAYMENTS, OPERATIONS = "payments", "operations"
# A row's columns by their labels, as the payment's query returns its operations.
OPERATION = {column.name: getattr(column, "element", column).name for column in queries.OPERATION}
Statements = Mapping[str, Callable[..., Awaitable[list[Row]]]]


class TillDatabase:
    """Committed rows by table and key. `now` is the world's clock."""

    def __init__(self, network: Network, now: Callable[[], datetime], statements: Statements) -> None:
        self.network, self.now, self.statements = network, now, statements
        self.committed: dict[str, dict[Any, Row]] = {}
        self.outbox: list[Message] = []
        self.locks: dict[Key, Transaction] = {}

    def table(self, name: str) -> dict[Any, Row]:
        """The committed rows of a table."""
        return self.committed.setdefault(name, {})

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement by itself. Refused with UNAVAILABLE; then it may have been done."""
        try:
            return await self._run(statement, **values)
        except OSError:
            raise unavailable() from None

    async def rows_once(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement by itself. Raises OSError; then it may have been done."""
        self.network.note(f"{statement.name} at once")
        return await self._run(statement, **values)

    async def _run(self, statement: Statement, **values: Any) -> list[Row]:
        found: list[Row] = []

        async def body(work: Transaction) -> None:
            found.extend(await work.rows(statement, **values))

        await self.carry_out(body)
        return found

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run one statement and return its first row."""
        return next(iter(await self.rows(statement, **values)), None)

    async def carry_out(self, body: Callable[[Any], Awaitable[None]], *names: str) -> None:
        """Run a unit of work. Raises OSError when the database is away; then it may have committed."""
        work = Transaction(self)
        try:
            await body(work)
            await work.close()
        finally:
            work.end()

    async def commit_together(self, last: Statement, ends: Sequence[End], **values: Any) -> list[End]:
        """End many works with one statement: those whose change it held."""
        self.network.note(f"{last.name} at once")
        held: list[End] = []

        async def body(work: Transaction) -> None:
            ids = {row["id"] for row in await work.rows(last, **values)}
            for end in ends:
                if end.id in ids:
                    await cast(Transaction, end.work).join(work, end.reply)
                    held.append(end)

        await self.carry_out(body)
        for end in held:
            end.work.committed = True
        return held

    def payment_rows(self, payment_id: str, see: "Transaction | None" = None) -> list[Row]:
        """A payment with its operations and disputes, as its query returns it."""
        payment, of_payment, disputes = None, [], []
        for key, row in see.seen(PAYMENTS) if see else self.table(PAYMENTS).items():
            payment = row if key == payment_id else payment
        for _, row in see.seen(OPERATIONS) if see else self.table(OPERATIONS).items():
            of_payment += [row] if row["payment_id"] == payment_id else []
        for _, row in see.seen("disputes") if see else self.table("disputes").items():
            disputes += [row] if row["payment_id"] == payment_id else []
        if payment is None:
            return []
        disputes.sort(key=lambda row: (row["open_time"], row["dispute_id"]))
        payment = payment | {
            "disputes": json.dumps(disputes, default=datetime.isoformat) if disputes else None
        }
        of_payment.sort(key=lambda row: (row["create_time"], row["operation_id"]))
        labelled = [{label: row[name] for label, name in OPERATION.items()} for row in of_payment]
        return [payment | row for row in labelled] or [dict(payment)]


class Transaction:
    """Stands where the runtime's Work and Call do; as a call it has a caller, and the key of its request."""

    def __init__(self, database: TillDatabase, caller: Caller | None = None, request_id: str = "") -> None:
        self._database, self._request_id = database, request_id
        self.caller = caller
        self.metadata: Mapping[str, str | bytes] = {}
        self._written: dict[Key, Row] = {}
        self._outbox: list[Message] = []
        self._after: list[Callable[[], None]] = []
        self.committed = False
        self._statements = 0
        process = PROCESS.get()
        if process is not None:
            process.on_death.append(self.end)

    @property
    def db(self) -> "Transaction":
        """As Work has it."""
        return self

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement in the transaction."""
        self._statements += 1
        await self._trip()
        run = self._database.statements.get(statement.name)
        if run is None:
            raise NotImplementedError(statement.name)
        found: list[Row] = await run(self, **values)
        return found

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run a statement and return its first row."""
        return next(iter(await self.rows(statement, **values)), None)

    def publish(self, event: Message, trace: Trace | None = None) -> None:
        """Send an event when this commits."""
        self._outbox.append(event)

    def after_commit(self, action: Callable[[], None]) -> None:
        """As Work does."""
        self._after.append(action)

    async def commit(self, last: Statement, reply: Message | None = None, **values: Any) -> None:
        """Run the last statement and commit."""
        await self.rows(last, **values)
        await self.close(reply)

    async def close(self, reply: Message | None = None) -> None:
        """Commit: all of it or nothing, with the first reply of a call."""
        if self.committed:
            return
        await self.join(self, reply)
        if self._statements > 1:
            await self._trip()
        self._check()
        for (table, key), row in self._written.items():
            self._database.table(table)[key] = row
        self._database.outbox.extend(self._outbox)
        self.committed = True
        self.end()
        await self._trip()
        for action in self._after:
            action()

    async def join(self, work: "Transaction", reply: Message | None) -> None:
        """Have the first reply, the events and what waits for the commit be those of a work."""
        if self._request_id:
            if await work.get("replies", self._request_id, lock=True):
                raise asyncpg.UniqueViolationError("first_replies_pkey")
            work.put("replies", self._request_id, {"reply": reply})
        if work is not self:
            work._outbox += self._outbox
            work._after += self._after

    async def roll_back(self, error: BaseException) -> None:
        """Undo everything."""
        self._outbox.clear()
        self._after.clear()
        self.end()

    def end(self) -> None:
        """Let go of the locks; what was not committed is forgotten."""
        for key in [key for key, owner in self._database.locks.items() if owner is self]:
            del self._database.locks[key]
        self._written.clear()

    # What statements do.

    async def get(self, table: str, key: Any, lock: bool = False) -> Row | None:
        """A row as this transaction sees it; with `lock`, once nobody else holds it."""
        while lock and self._database.locks.setdefault((table, key), self) is not self:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        found = self._written.get((table, key)) or self._database.table(table).get(key)
        return dict(found) if found else None

    def put(self, table: str, key: Any, row: Row) -> None:
        """Write a row that is locked."""
        assert self._database.locks.setdefault((table, key), self) is self, "written without its lock"
        self._written[table, key] = row

    def seen(self, table: str) -> Iterator[tuple[Any, Row]]:
        """The rows of a table as this transaction sees them."""
        mine = {key: row for (of, key), row in self._written.items() if of == table}
        yield from (self._database.table(table) | mine).items()

    def free(self, table: str, key: Any) -> bool:
        """Whether nobody holds a row."""
        return (table, key) not in self._database.locks

    def in_seconds(self, seconds: float) -> datetime:
        """The time so many seconds from now."""
        return self._database.now() + timedelta(seconds=seconds)

    def whole(self, payment_id: str) -> list[Row]:
        """A payment's rows as this transaction sees them."""
        return self._database.payment_rows(payment_id, self)

    def _check(self) -> None:
        """The constraints of the tables; two that began apart may meet here."""
        touched = {row["payment_id"] for (table, _), row in self._written.items() if table == OPERATIONS}
        mine = [row for _, row in self.seen(OPERATIONS) if row["payment_id"] in touched]
        for payment_id in touched:
            own = [row for row in mine if row["payment_id"] == payment_id]
            requests = [row["request_id"] for row in own if row["request_id"] and not row["settle_time"]]
            if sum(row["state"] in OPEN for row in own) > 1:
                raise asyncpg.UniqueViolationError("operations_one_open")
            if sum(row["kind"] == "authorize" for row in own) > 1:
                raise asyncpg.UniqueViolationError("operations_one_authorize")
            if len(requests) != len(set(requests)):
                raise asyncpg.UniqueViolationError("operations_one_attempt")
        posted: dict[Any, int] = {}
        for (table, key), row in self._written.items():
            if table == PAYMENTS:
                _sums(row)
            if table == "ledger":
                posted[key[0]] = posted.get(key[0], 0) + row["debit"] - row["credit"]
                if key in self._database.table("ledger"):
                    raise asyncpg.UniqueViolationError("ledger_entries_pkey")
        if any(posted.values()):
            raise asyncpg.CheckViolationError("a transaction does not balance")

    async def _trip(self) -> None:
        network = self._database.network
        await network.pause()
        if network.chance(network.faults.lost):
            raise ConnectionError("the database is away")


def _sums(row: Row) -> None:
    amount, captured, voided, refunded, disputed, charged_back = (
        row[f"{name}_minor_units"]
        for name in ("amount", "captured", "voided", "refunded", "disputed", "charged_back")
    )
    sound = 0 <= refunded <= captured and voided >= 0 and captured + voided <= amount
    if not (sound and disputed >= 0 <= charged_back and disputed + charged_back <= captured):
        raise asyncpg.CheckViolationError("payments_sums")
