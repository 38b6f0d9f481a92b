"""The order service's database in memory: the statements that its driver, reactions and streams run, and transactions.

Each statement means what its SQL means: rows are locked one by one in the order of their ids, a move holds only where
the order stands as it was read, a commit is all or nothing, and its answer may be lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from commerce.order.v1.order_pb2 import Order
from google.protobuf.message import Message

from services.order import life, queries, records, statistics, transitions
from services.runtime.database import unavailable
from services.runtime.hub import Update
from services.runtime.statements import Statement
from services.runtime.telemetry import Trace
from services.runtime.work import End
from tests.simulation.loop import PROCESS
from tests.simulation.network import Network, Outbox

Row = dict[str, Any]


class Database:
    """Orders, their events, the outbox. `now` is the world's clock."""

    def __init__(self, network: Network, now: Callable[[], datetime]) -> None:
        self._network, self._now = network, now
        self.orders: dict[str, Row] = {}
        self.events: dict[str, list[Row]] = {}
        self.outbox = Outbox()
        self.inbox: set[tuple[str, int]] = set()
        self.requests: dict[str, str] = {}
        self._locks: dict[str, Transaction] = {}

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement by itself. Refused with UNAVAILABLE; then it may have been done."""
        await self._trip()
        if statement is records._DUE:
            found = await self._due(**values)
        else:
            found = self._run(statement, values)
        await self._trip()
        return found

    def _run(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        if statement is records._REREAD:
            return [self.orders[order_id] for order_id in sorted(values["order_ids"])]
        if statement is records._LATER:
            return self._later(**values)
        if statement is records._WAITING:
            return []
        if statement is queries.EVENTS:
            return [row for row in self.events[values["order_id"]] if row["sequence"] > values["after"]]
        if statement is queries.LATEST:
            return [self.orders[order_id] for order_id in values["order_ids"]]
        raise NotImplementedError(statement.name)

    async def _trip(self) -> None:
        await self._network.pause()
        if self._network.chance(self._network.faults.lost):
            raise unavailable()

    async def _due(self, size: int, lease_seconds: float) -> list[Row]:
        now = self._now()
        due = [
            row
            for row in self.orders.values()
            if row["due_time"] and row["due_time"] <= now and row["order_id"] not in self._locks
        ]
        taken = sorted(due, key=lambda row: row["due_time"])[:size]
        for row in taken:
            lease = now + timedelta(seconds=lease_seconds)
            row["due_time"] = min(lease, row["expire_time"]) if row["expire_time"] > now else lease
        return [dict(row) for row in sorted(taken, key=lambda row: row["order_id"])]

    def _later(self, **columns: list[Any]) -> list[Row]:
        for values in _given(columns):
            row = self.orders[values["order_id"]]
            if row["sequence"] == values["sequence"]:
                row.update({name: values[name] for name in ("due_time", "attempts", "last_error", "parked")})
        return []

    # Transactions.

    async def carry_out(self, body: Callable[[Any], Awaitable[None]], *names: str) -> None:
        """Run a unit of work. Raises OSError when the database is away; then it may have committed."""
        work = Transaction(self)
        process = PROCESS.get()
        if process is not None:
            process.on_death.append(work.end)
        try:
            await body(work)
            await work.close()
        finally:
            work.end()

    async def end_together(self, last: Statement, ends: Sequence[End], **values: Any) -> list[End]:
        """End many works with a statement, which moves their orders. Raises as `carry_out`."""
        assert last is transitions.MOVED_ALONE
        held: list[End] = []

        async def body(work: Any) -> None:
            moves = {name: column for name, column in values.items() if not name.startswith("month_")}
            ids = {row["order_id"] for row in await work.rows(transitions.MOVED, **moves)}
            held.extend(end for end in ends if end.id in ids)
            for end in held:
                work.take_over(end.work)

        await self.carry_out(body)
        return held

    def lock(self, order_id: str, work: "Transaction") -> bool:
        """Lock a row, unless somebody else has it."""
        return self._locks.setdefault(order_id, work) is work

    def unlock(self, work: "Transaction") -> None:
        """Let go of everything that a transaction has locked."""
        for order_id in [key for key, owner in self._locks.items() if owner is work]:
            del self._locks[order_id]

    def insert(self, order: Order, request_id: str, due_time: datetime) -> None:
        """Place an order: its row, its first event, its request_id."""
        self.requests[request_id] = order.order_id
        self.orders[order.order_id] = _row(order, due_time)
        self.events[order.order_id] = [
            _event(order.order_id, 1, "create", order.state, self._now(), "client")
        ]


class Transaction:
    """Stands where the runtime's Work does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orders: dict[str, Row] = {}
        self._told: list[Row] = []
        self._outbox: list[Message] = []
        self._after: list[Callable[[], None]] = []
        self._gathered: dict[Any, list[Any]] = {}

    @property
    def db(self) -> "Transaction":
        """As Work has it."""
        return self

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Run a statement in the transaction."""
        await self._trip()
        if statement is queries.STATES:
            return [
                dict(self._database.orders[each])
                for each in values["order_ids"]
                if each in self._database.orders
            ]
        if statement is queries.ORDERS_LOCKED:
            found = [await self._locked(order_id) for order_id in sorted(values["order_ids"])]
            return [dict(row) for row in found if row is not None]
        if statement is transitions.MOVED:
            return [moved for move in _moves(values) if (moved := await self._move(**move))]
        if statement is statistics.CHANGED:
            return []
        raise NotImplementedError(statement.name)

    async def row(self, statement: Statement, **values: Any) -> Row | None:
        """Run a statement and return its first row."""
        return next(iter(await self.rows(statement, **values)), None)

    async def _locked(self, order_id: str) -> Row | None:
        if order_id not in self._database.orders:
            return None
        while not self._database.lock(order_id, self):  # noqa: ASYNC110 (it is short, in a world's time)
            await asyncio.sleep(0.001)
        return self._orders.get(order_id) or self._database.orders[order_id]

    async def _move(self, order_id: str, sequence: int, **change: Any) -> Row | None:
        row = await self._locked(order_id)
        if row is None or row["sequence"] != sequence - 1:
            return None
        step, actor, payment_id = change.pop("step"), change.pop("actor"), change.pop("payment_id")
        for name in ("trace_id", "keeps_reason", "unpaid_reason", "payment_expire_time"):
            change.pop(name)
        row = dict(
            row, sequence=sequence, attempts=0, last_error="", update_time=change.pop("time"), **change
        )
        row["payment_id"] = payment_id or row["payment_id"]
        self._orders[order_id] = row
        self._told.append(
            _event(order_id, sequence, step, row["state"], row["update_time"], actor, row["reason"])
        )
        return row

    def take_over(self, work: Any) -> None:
        """Commit with this what another is to publish and to do after its commit."""
        self._outbox += work._outbox
        self._after += work._after

    def publish(self, event: Message, trace: Trace | None = None) -> None:
        """Send an event when this commits."""
        self._outbox.append(event)

    def gather(self, settle: Any, item: Any) -> None:
        """As Work does."""
        self._gathered.setdefault(settle, []).append(item)

    def after_commit(self, action: Callable[[], None]) -> None:
        """As Work does."""
        self._after.append(action)

    async def close(self) -> None:
        """Commit: all of it or nothing."""
        while self._gathered:
            settle, items = self._gathered.popitem()
            await settle(self, items)
        await self._trip()
        self._database.orders.update(self._orders)
        for event in self._told:
            self._database.events[event["order_id"]].append(event)
        self._database.outbox.extend(self._outbox)
        self.end()
        await self._trip()
        for action in self._after:
            action()

    def end(self) -> None:
        """Let go of the locks; what was not committed is forgotten."""
        self._database.unlock(self)

    async def _trip(self) -> None:
        network = self._database._network
        await network.pause()
        if network.chance(network.faults.lost):
            raise ConnectionError("the database is away")


def updates(rows: Iterable[Row]) -> list[Update]:
    """Return events as the hub's source does."""
    found = list(rows)
    return [
        Update(row["sequence"], row["order_id"].encode(), row["state"] in life.ENDS and row is found[-1])
        for row in found
    ]


def _given(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _moves(values: dict[str, Any]) -> list[dict[str, Any]]:
    time = values.pop("time")
    return [move | {"time": time} for move in _given(values)]


def _row(order: Order, due_time: datetime) -> Row:
    (line,) = order.lines
    amounts = ("discount", "tax", "shipping", "shipping_tax", "refunded", "captured")
    return {
        "order_id": order.order_id,
        "store_id": order.store_id,
        "customer_id": order.customer_id,
        "state": order.state,
        "sequence": order.sequence,
        "payment_method": order.payment_method,
        "total_minor_units": order.total.minor_units,
        "subtotal_minor_units": order.total.minor_units,
        "currency_code": order.total.currency_code,
        **{f"{name}_minor_units": 0 for name in amounts},
        "tax_included": False,
        "shipping_tax_rate_ppm": 0,
        "payment_expire_time": None,
        "unpaid_reason": "",
        "coupon_code": "",
        "delivery_address": b"",
        "reason": "",
        "payment_id": None,
        "next_action_url": "",
        "create_time": order.create_time.ToDatetime(tzinfo=due_time.tzinfo),
        "update_time": order.create_time.ToDatetime(tzinfo=due_time.tzinfo),
        "expire_time": order.expire_time.ToDatetime(tzinfo=due_time.tzinfo),
        "traceparent": "",
        "due_time": due_time,
        "attempts": 0,
        "last_error": "",
        "parked": False,
        "product_id": line.product_id,
        "sku": "",
        "name": "",
        "quantity": line.quantity,
        "unit_price_minor_units": line.unit_price.minor_units,
        "line_discount": 0,
        "line_tax": 0,
        "tax_rate_ppm": 0,
        "shipped_quantity": 0,
        "returned_quantity": 0,
    }


def _event(
    order_id: str, sequence: int, step: str, state: int, time: datetime, actor: str, reason: str = ""
) -> Row:
    return {
        "order_id": order_id,
        "sequence": sequence,
        "step": step,
        "state": state,
        "time": time,
        "actor": actor,
        "reason": reason,
        "trace_id": "",
    }
