"""The payment service's database in memory: every statement that its driver, janitor, reactions and webhooks run.

Each means what its SQL means: a row that is written stays locked until its transaction ends, a change holds only for the
version that it was worked out from, constraints refuse what they refuse in PostgreSQL, a commit is all or nothing, and
its answer may be lost.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from google.protobuf.message import Message

from services.payment import queries, rows, webhook_queries
from services.payment.payments import OPEN, OPERATION_PENDING
from services.payment.tables import operations, payments
from services.runtime.callers import Caller
from services.runtime.database import unavailable
from services.runtime.statements import Statement
from services.runtime.telemetry import Trace
from tests.simulation.loop import PROCESS
from tests.simulation.network import Network

Row = dict[str, Any]
Key = tuple[str, Any]
PAYMENTS, OPERATIONS = "payments", "operations"
OPERATION = {
    column.name: getattr(column, "element", column).name for column in queries.OPERATION
}


class TillDatabase:
    """Committed rows by table and key. `now` is the world's clock."""

    def __init__(self, network: Network, now: Callable[[], datetime]) -> None:
        self.network, self.now = network, now
        self.committed: dict[str, dict[Any, Row]] = {}
        self.outbox: list[Message] = []
        self.locks: dict[Key, Transaction] = {}

    def table(self, name: str) -> dict[Any, Row]:
        """The committed rows of a table."""
        return self.committed.setdefault(name, {})

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement by itself. Refused with UNAVAILABLE; then it may have been done."""
        found: list[Row] = []

        async def body(work: Transaction) -> None:
            found.extend(await work.rows(statement, **values))

        try:
            await self.carry_out(body)
        except OSError:
            raise unavailable() from None
        return found

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run one statement and return its first row."""
        return next(iter(await self.rows(statement, **values)), None)

    async def carry_out(self, body: Callable[[Any], Awaitable[None]], name: str = "") -> None:
        """Run a unit of work. Raises OSError when the database is away; then it may have committed."""
        work = Transaction(self)
        try:
            await body(work)
            await work.close()
        finally:
            work.end()

    def payment_rows(self, payment_id: str, see: "Transaction | None" = None) -> list[Row]:
        """A payment with its operations, as its query returns it."""
        payment, of_payment = None, []
        for key, row in see.seen(PAYMENTS) if see else self.table(PAYMENTS).items():
            payment = row if key == payment_id else payment
        for _, row in see.seen(OPERATIONS) if see else self.table(OPERATIONS).items():
            of_payment += [row] if row["payment_id"] == payment_id else []
        if payment is None:
            return []
        of_payment.sort(key=lambda row: row["operation_id"])
        labelled = [{label: row[name] for label, name in OPERATION.items()} for row in of_payment]
        return [payment | row for row in labelled] or [dict(payment)]


class Transaction:
    """Stands where the runtime's Work and Call do; as a call it has a caller, and the key of its request."""

    def __init__(self, database: TillDatabase, caller: Caller | None = None, request_id: str = "") -> None:
        self._database, self._request_id = database, request_id
        self.caller, self.metadata = caller, {}
        self._written: dict[Key, Row] = {}
        self._outbox: list[Message] = []
        self._after: list[Callable[[], None]] = []
        self.committed = False
        process = PROCESS.get()
        if process is not None:
            process.on_death.append(self.end)

    @property
    def db(self) -> "Transaction":
        """As Work has it."""
        return self

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement in the transaction."""
        await self._trip()
        run = _STATEMENTS.get(statement.name)
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
        if self._request_id:
            if await self.get("replies", self._request_id, lock=True):
                raise asyncpg.UniqueViolationError("first_replies_pkey")
            self.put("replies", self._request_id, {"reply": reply})
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
            requests = [row["request_id"] for row in own if row["request_id"]]
            if sum(row["state"] in OPEN for row in own) > 1:
                raise asyncpg.UniqueViolationError("operations_one_open")
            if sum(row["kind"] == "authorize" for row in own) > 1:
                raise asyncpg.UniqueViolationError("operations_one_authorize")
            if len(requests) != len(set(requests)):
                raise asyncpg.UniqueViolationError("operations_one_a_request")
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


# The statements.


async def _payment_recorded(work: Transaction, due_seconds: float, **values: Any) -> list[Row]:
    operation_id, traceparent = values.pop("operation_id"), values.pop("traceparent")
    if not await _insert_payment(work, values):
        return []
    operation = _operation(
        operation_id=operation_id,
        payment_id=values["payment_id"],
        kind="authorize",
        state=OPERATION_PENDING,
        amount_minor_units=values["amount_minor_units"],
        attempts=1,
        traceparent=traceparent,
        create_time=values["create_time"],
        due_time=work.in_seconds(due_seconds),
        gateway=values["gateway"],
    )
    work.put(OPERATIONS, operation_id, operation)
    return [{"operation_id": operation_id}]


async def _tombstone(work: Transaction, **values: Any) -> list[Row]:
    return [{"payment_id": values["payment_id"]}] if await _insert_payment(work, values) else []


async def _insert_payment(work: Transaction, values: Row) -> bool:
    if await work.get("orders", values["order_id"], lock=True):
        return False
    work.put("orders", values["order_id"], {"payment_id": values["payment_id"]})
    work.put(PAYMENTS, values["payment_id"], {column.name: values[column.name] for column in payments.c})
    return True


async def _payment(work: Transaction, payment_id: str) -> list[Row]:
    return work.whole(str(payment_id))


async def _payment_of_order(work: Transaction, order_id: str) -> list[Row]:
    order = await work.get("orders", order_id)
    return work.whole(order["payment_id"]) if order else []


async def _locked(work: Transaction, payment_id: str | None) -> list[Row]:
    row = await work.get(PAYMENTS, payment_id, lock=True) if payment_id else None
    return [{"payment_id": row["payment_id"]}] if row else []


async def _locked_by_order(work: Transaction, order_id: str) -> list[Row]:
    order = await work.get("orders", order_id)
    return await _locked(work, order["payment_id"] if order else None)


async def _locked_by_operation(work: Transaction, operation_id: str) -> list[Row]:
    operation = await work.get(OPERATIONS, operation_id)
    return await _locked(work, operation["payment_id"] if operation else None)


async def _locked_by_reference(work: Transaction, gateway: str, provider_reference: str) -> list[Row]:
    wanted = (gateway, provider_reference)
    found = [
        key for key, row in work.seen(PAYMENTS) if (row["gateway"], row["provider_reference"]) == wanted
    ]
    return await _locked(work, found[0] if found and provider_reference else None)


async def _operation_recorded(work: Transaction, due_seconds: float, **values: Any) -> list[Row]:
    payment = await work.get(PAYMENTS, values["payment_id"], lock=True)
    assert payment is not None
    payment |= {"version": payment["version"] + 1, "update_time": values["create_time"]}
    work.put(PAYMENTS, payment["payment_id"], payment)
    values |= {"due_time": work.in_seconds(due_seconds), "gateway": payment["gateway"]}
    work.put(OPERATIONS, values["operation_id"], _operation(**values))
    return [{"operation_id": values["operation_id"]}]


async def _payment_changed(work: Transaction, **values: Any) -> list[Row]:
    payment = await work.get(PAYMENTS, values["payment_id"], lock=True)
    if payment is None or payment["version"] != values["version"]:
        raise asyncpg.NotNullViolationError("version")
    payment |= {name: values[name] for name in rows.CHANGING} | {"version": payment["version"] + 1}
    work.put(PAYMENTS, payment["payment_id"], payment)
    operation = await work.get(OPERATIONS, values["operation_id"], lock=True)
    assert operation is not None
    operation |= {
        "state": values["operation_state"],
        "settle_time": values["settle_time"],
        "due_time": work.in_seconds(values["due_seconds"]),
        "provider_reference": values["operation_reference"],
        "failure_code": values["failure_code"],
    }
    work.put(OPERATIONS, operation["operation_id"], operation)
    if values["begun_id"]:
        begun = await work.get(OPERATIONS, values["begun_id"], lock=True)
        assert begun is not None
        begun |= {"state": OPERATION_PENDING, "due_time": work.in_seconds(0)}
        work.put(OPERATIONS, begun["operation_id"], begun)
    _following(work, operation, values)
    _booked(work, payment, values)
    return [{"payment_id": payment["payment_id"]}]


def _following(work: Transaction, operation: Row, values: Row) -> None:
    given = zip(values["next_id"], values["next_kind"], values["next_amount"], strict=True)
    for operation_id, kind, amount in given:
        following = _operation(
            operation_id=str(operation_id),
            payment_id=operation["payment_id"],
            kind=kind,
            state=OPERATION_PENDING,
            amount_minor_units=amount,
            attempts=0,
            traceparent=values["traceparent"],
            create_time=values["update_time"],
            due_time=work.in_seconds(0),
            gateway=operation["gateway"],
            lines=values["next_lines"],
        )
        work.put(OPERATIONS, str(operation_id), following)


def _booked(work: Transaction, payment: Row, values: Row) -> None:
    names = ("transaction_ids", "positions", "kinds", "accounts", "debits", "credits", "product_ids")
    for transaction_id, position, kind, account, debit, credit, product_id in zip(
        *(values[name] for name in names), strict=True
    ):
        entry = {
            "payment_id": payment["payment_id"],
            "kind": kind,
            "account": account,
            "debit": debit,
            "credit": credit,
            "product_id": product_id,
        }
        work.put("ledger", (str(transaction_id), position), entry)


async def _operations_due(
    work: Transaction, size: int, lease_seconds: float, full: list[str]
) -> list[Row]:
    now = work.in_seconds(0)
    due = [
        row
        for key, row in work.seen(OPERATIONS)
        if row["state"] in OPEN and row["due_time"] <= now and row["gateway"] not in full
        if work.free(OPERATIONS, key)
    ]
    taken = sorted(due, key=lambda row: row["due_time"])[:size]
    for row in taken:
        leased = {"attempts": row["attempts"] + 1, "due_time": work.in_seconds(lease_seconds)}
        work.put(OPERATIONS, row["operation_id"], row | leased)
    return [dict(row) for row in taken]


async def _operation_taken(work: Transaction, operation_id: str, lease_seconds: float) -> list[Row]:
    row = await work.get(OPERATIONS, operation_id, lock=True)
    if row and row["state"] in OPEN:
        leased = {"attempts": row["attempts"] + 1, "due_time": work.in_seconds(lease_seconds)}
        work.put(OPERATIONS, operation_id, row | leased)
    return []


async def _operation_later(work: Transaction, operation_id: str, due_seconds: float) -> list[Row]:
    row = await work.get(OPERATIONS, operation_id, lock=True)
    if row and row["state"] in OPEN:
        work.put(OPERATIONS, operation_id, row | {"due_time": work.in_seconds(due_seconds)})
    return []


async def _gateway_changed(
    work: Transaction, payment_id: str, version: int, operation_id: str, gateway: str
) -> list[Row]:
    payment = await work.get(PAYMENTS, payment_id, lock=True)
    operation = await work.get(OPERATIONS, operation_id, lock=True)
    if payment is None or operation is None or payment["version"] != version:
        return []
    work.put(PAYMENTS, payment_id, payment | {"gateway": gateway, "version": version + 1})
    work.put(OPERATIONS, operation_id, operation | {"gateway": gateway})
    return [{"operation_id": operation_id}]


async def _payments_expiring(work: Transaction, size: int) -> list[Row]:
    now = work.in_seconds(0)
    found = [row for _, row in work.seen(PAYMENTS) if row["expire_time"] and row["expire_time"] <= now]
    return sorted(found, key=lambda row: row["expire_time"])[:size]


async def _expiry_later(work: Transaction, payment_id: str, seconds: float) -> list[Row]:
    row = await work.get(PAYMENTS, payment_id, lock=True)
    assert row is not None
    work.put(PAYMENTS, payment_id, row | {"expire_time": work.in_seconds(seconds)})
    return []


async def _disputes(work: Transaction, payment_id: str) -> list[Row]:
    found = [row for _, row in work.seen("disputes") if row["payment_id"] == payment_id]
    return sorted(found, key=lambda row: (row["open_time"], row["dispute_id"]))


async def _dispute_known(work: Transaction, **values: Any) -> list[Row]:
    known = await work.get("disputes", values["dispute_id"], lock=True)
    changed = {name: values[name] for name in ("status", "close_time")}
    work.put("disputes", values["dispute_id"], known | changed if known else values)
    return []


async def _webhook_stored(
    work: Transaction, gateway: str, provider_event_id: str, payload: bytes
) -> list[Row]:
    key = (gateway, provider_event_id)
    if await work.get("webhooks", key, lock=True):
        return []
    work.put("webhooks", key, {"payload": payload, "problem": ""})
    return [{"provider_event_id": provider_event_id}]


async def _webhook_parked(
    work: Transaction, gateway: str, provider_event_id: str, problem: str
) -> list[Row]:
    row = await work.get("webhooks", (gateway, provider_event_id), lock=True)
    assert row is not None
    work.put("webhooks", (gateway, provider_event_id), row | {"problem": problem})
    return []


_STATEMENTS: Mapping[str, Callable[..., Awaitable[list[Row]]]] = {
    queries.PAYMENT_RECORDED.name: _payment_recorded,
    queries.TOMBSTONE.name: _tombstone,
    queries.PAYMENT.name: _payment,
    queries.PAYMENT_OF_ORDER.name: _payment_of_order,
    queries.PAYMENT_LOCKED.name: _locked,
    queries.PAYMENT_OF_ORDER_LOCKED.name: _locked_by_order,
    queries.PAYMENT_OF_OPERATION_LOCKED.name: _locked_by_operation,
    queries.PAYMENT_OF_REFERENCE_LOCKED.name: _locked_by_reference,
    queries.OPERATION_RECORDED.name: _operation_recorded,
    queries.PAYMENT_CHANGED.name: _payment_changed,
    queries.OPERATIONS_DUE.name: _operations_due,
    queries.OPERATION_TAKEN.name: _operation_taken,
    queries.OPERATION_LATER.name: _operation_later,
    queries.GATEWAY_CHANGED.name: _gateway_changed,
    queries.PAYMENTS_EXPIRING.name: _payments_expiring,
    queries.EXPIRY_LATER.name: _expiry_later,
    queries.DISPUTES.name: _disputes,
    queries.DISPUTE_KNOWN.name: _dispute_known,
    webhook_queries.WEBHOOK_STORED.name: _webhook_stored,
    webhook_queries.WEBHOOK_PARKED.name: _webhook_parked,
}


def _operation(**values: Any) -> Row:
    empty: Row = {
        "settle_time": None,
        "request_id": None,
        "provider_reference": "",
        "reason": "",
        "failure_code": "",
        "lines": json.dumps([]),
        "final": False,
    }
    return empty | {name: value for name, value in values.items() if name in operations.c}
