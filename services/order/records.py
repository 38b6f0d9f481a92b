"""What the driver needs of the database: orders that are due, and a place to record how they went on."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import asyncpg
from sqlalchemy import Integer, case, func, or_, select, update

from services.order import queries
from services.order.driving_rules import AT_ONCE, Driven, PutBack
from services.order.queries import LINE, Row
from services.order.tables import order_lines, orders
from services.order.transitions import Move, Transitions
from services.runtime import logs, telemetry
from services.runtime.columns import BIGINTS, BOOLEANS, INTEGERS, NOW, TEXTS, TIMES, UUIDS
from services.runtime.database import ATTEMPTS, AWAY, RETRIED, unavailable
from services.runtime.service import Runtime
from services.runtime.statements import given, param, statement
from services.runtime.telemetry import Trace

_o, _l = orders.c, order_lines.c

# The driver takes what is due; the lease is the new due time, so that a driver that dies loses its orders to the next.
_due = (
    select(_o.order_id)
    .where(_o.due_time <= func.now())
    .order_by(_o.due_time)
    .limit(param("size", Integer))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_leased = (
    update(orders)
    .where(_o.order_id == _due.c.order_id)
    .values(
        due_time=func.least(
            NOW + func.make_interval(0, 0, 0, 0, 0, 0, param("lease_seconds")),
            case((_o.expire_time > NOW, _o.expire_time)),
        )
    )
    .returning(*queries.WHOLE)
    .cte("leased")
)
_DUE = statement(
    select(_leased, *LINE)
    .select_from(_leased.outerjoin(order_lines, _l.order_id == _leased.c.order_id))
    .order_by(_leased.c.order_id, _l.position),
    "orders due",
)
_REREAD = statement(
    select(*queries.WHOLE, *LINE)
    .select_from(orders.outerjoin(order_lines, _l.order_id == _o.order_id))
    .where(_o.order_id == func.any(param("order_ids", UUIDS)))
    .order_by(_o.order_id, _l.position),
    "orders read again",
)
_back = given(
    ("order_id", UUIDS),
    ("sequence", BIGINTS),
    ("due_time", TIMES),
    ("attempts", INTEGERS),
    ("last_error", TEXTS),
    ("parked", BOOLEANS),
)
_LATER = statement(
    update(orders)
    .where(_o.order_id == _back.c.order_id, _o.sequence == _back.c.sequence)
    .values(
        due_time=_back.c.due_time,
        attempts=_back.c.attempts,
        last_error=_back.c.last_error,
        parked=_back.c.parked,
    ),
    "orders later",
)
# Longer than any lease or back-off; whoever waits for a customer or a provider is mostly due later.
_SOON_SECONDS = 30
_to_be_driven = (
    select(_o.store_id)
    .where(
        _o.due_time < func.now() + func.make_interval(0, 0, 0, 0, 0, 0, _SOON_SECONDS),
        or_(*(_o.state == state for state in AT_ONCE)),
        ~_o.parked,
    )
    .limit(param("most", Integer))
    .subquery("to_be_driven")
)
_WAITING = statement(
    select(_to_be_driven.c.store_id, func.count().label("orders")).group_by(_to_be_driven.c.store_id),
    "orders waiting",
)


class Records:
    """Orders as they are on record. Refused with UNAVAILABLE while PostgreSQL is away, but for `record`."""

    def __init__(self, runtime: Runtime, transitions: Transitions) -> None:
        self._runtime, self._transitions = runtime, transitions

    async def due(self, size: int, lease_seconds: float) -> list[Driven]:
        """Take orders that are due, the longest due first; they are due again when the lease ends."""
        rows = await self._runtime.database.rows(_DUE, size=size, lease_seconds=lease_seconds)
        return _driven(rows)

    async def reread(self, order_ids: Sequence[str]) -> list[Driven]:
        """Return orders as they are now."""
        return _driven(await self._runtime.database.rows(_REREAD, order_ids=order_ids))

    async def later(self, batch: Sequence[PutBack]) -> None:
        """Put orders back, but for those that somebody has moved since."""
        await self._runtime.database.rows(
            _LATER,
            order_id=[each.driven.order.order_id for each in batch],
            sequence=[each.driven.order.sequence for each in batch],
            due_time=[each.due_time for each in batch],
            attempts=[each.attempts for each in batch],
            last_error=[each.last_error for each in batch],
            parked=[each.parked for each in batch],
        )

    async def waiting(self, most: int) -> Counter[str]:
        """Return how many orders of each store are still to be reserved or paid, in whoever's hand; at most so many."""
        rows = await self._runtime.database.rows(_WAITING, most=most)
        return Counter({str(row["store_id"]): row["orders"] for row in rows})

    async def record(self, moves: Sequence[Move]) -> set[str]:
        """Record moves, one an order, and return the orders of those that held, brought up to date in place.

        While PostgreSQL is away, wait for it. A commit whose answer was lost does no harm: repeated, its moves no
        longer hold.
        """
        hindered = 0
        while True:
            try:
                with telemetry.span("drive record", parent=moves[0].trace):
                    held = await self._transitions.record_alone(self._runtime, moves)
                return {move.order.order_id for move in held}
            except (*AWAY, *RETRIED) as error:
                hindered += isinstance(error, RETRIED)
                # Somebody locks an order for long: each by itself, so that the others need not wait.
                alone = len(moves) > 1 and isinstance(error, asyncpg.LockNotAvailableError)
                if hindered == ATTEMPTS or alone:
                    raise unavailable() from error
                logs.log.warning("moves wait", error=type(error).__name__, orders=len(moves))
                await asyncio.sleep(0.1)


def _driven(rows: Sequence[Row]) -> list[Driven]:
    return [_one(list(own)) for _, own in groupby(rows, itemgetter("order_id"))]


def _one(rows: list[Row]) -> Driven:
    """Return an order, or what little can be read of it: one that is broken does not stop the others."""
    row, fault = rows[0], ""
    try:
        if row["product_id"] is None:
            raise ValueError("the order has no lines")
        (order,) = queries.orders_of(rows)
    except Exception as error:
        order = queries.order_of({**row, "delivery_address": b""})
        fault = logs.describe(error)
    return Driven(order, Trace.parse(row["traceparent"]), row["attempts"], row["last_error"], fault)
