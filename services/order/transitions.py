"""Transitions: each move of an order, by a call, a reaction or the driver, is recorded here and told to watchers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from commerce.order.v1.order_pb2 import Order, OrderState, OrderUpdate
from sqlalchemy import case, func, insert, select, update

from services.order import coupons, life, rules, statistics
from services.order.queries import XID
from services.order.tables import order_events, orders
from services.runtime import logs, times
from services.runtime.columns import BIGINTS, BOOLEANS, SMALLINTS, TEXTS, TIME, TIMES, UUIDS
from services.runtime.hub import Hub, Update
from services.runtime.service import Runtime
from services.runtime.statements import given, param, statement
from services.runtime.telemetry import Trace
from services.runtime.work import End, Work, closing

_o = orders.c
# Transitions of many orders. Each holds only if nobody else has moved its order since it was read.
_moves = given(
    ("order_id", UUIDS),
    ("sequence", BIGINTS),
    ("step", TEXTS),
    ("state", SMALLINTS),
    ("reason", TEXTS),
    ("payment_id", UUIDS),
    ("next_action_url", TEXTS),
    ("due_time", TIMES),
    ("payment_expire_time", TIMES),
    ("unpaid_reason", TEXTS),
    ("keeps_reason", BOOLEANS),
    ("actor", TEXTS),
    ("trace_id", TEXTS),
)
_m = _moves.c
_moved = (
    update(orders)
    .where(_o.order_id == _m.order_id, _o.sequence == _m.sequence - 1)
    .values(
        state=_m.state,
        sequence=_m.sequence,
        reason=case((_m.keeps_reason, _o.reason), else_=_m.reason),
        payment_id=func.coalesce(_m.payment_id, _o.payment_id),
        next_action_url=_m.next_action_url,
        due_time=_m.due_time,
        attempts=0,
        last_error="",
        parked=False,
        payment_expire_time=func.coalesce(_m.payment_expire_time, _o.payment_expire_time),
        unpaid_reason=func.coalesce(_m.unpaid_reason, _o.unpaid_reason),
        update_time=param("time", TIME),
        feed=func.greatest(XID, _o.feed),
    )
    .returning(
        _o.order_id,
        _m.sequence,
        _m.step,
        _m.state,
        _m.reason,
        _m.actor,
        _m.trace_id,
        _o.store_id,
        _o.feed,
    )
    .cte("moved")
)
_told = (
    insert(order_events)
    .from_select(
        ["order_id", "sequence", "step", "state", "time", "actor", "reason", "trace_id", "store_id", "feed"],
        select(
            _moved.c.order_id,
            _moved.c.sequence,
            _moved.c.step,
            _moved.c.state,
            param("time", TIME),
            _moved.c.actor,
            _moved.c.reason,
            _moved.c.trace_id,
            _moved.c.store_id,
            _moved.c.feed,
        ),
    )
    .cte("told")
)
MOVED = statement(select(_moved.c.order_id).add_cte(_told), "orders moved")
# The whole work of moves that need nothing else.
MOVED_ALONE = closing(
    select(_moved.c.order_id.label("id")).add_cte(_told, statistics.changed_by(_moved)),
    "orders moved alone",
    _moved.c.order_id,
)


@dataclass(slots=True)
class Move:
    """One order's next transition. `order` is as it was read; `trace` is the one in which it moves."""

    order: Order
    step: str
    state: OrderState.ValueType
    actor: str
    trace: Trace | None
    reason: str = ""
    payment_id: str = ""
    next_action_url: str = ""
    due_time: datetime | None = None
    # Until when its payment is promised; None when that is no news.
    payment_expire_time: datetime | None = None
    # Why it is not paid for from here on, "" when it is; None when that is no news.
    unpaid_reason: str | None = None
    # Events that go out with it, besides the step's own (rules.EVENTS). They need not name their order.
    events: Sequence[Any] = ()
    # Of this transition; fixed when the move is made, so that recording it may be repeated.
    sequence: int = 0

    def __post_init__(self) -> None:
        self.sequence = self.order.sequence + 1

    @property
    def gives_coupon_back(self) -> bool:
        """Whether its order no longer uses the coupon that it has."""
        return self.state in life.FAILED and bool(self.order.coupon_code)


class Transitions:
    """Records moves in the work that they belong to, publishes their events and announces them when it commits."""

    def __init__(self, hub: Hub, ring: Callable[[str], None]) -> None:
        """Announce to the watchers of orders through the hub; `ring` wakes those of a store."""
        self._hub, self._ring = hub, ring

    async def record(self, work: Work, moves: Sequence[Move]) -> list[Move]:
        """Record moves and return those that held: an order that somebody else has moved since is left alone.

        The orders of the moves that held are brought up to date in place.
        """
        now = times.now()
        # In one order everywhere, so that two batches cannot wait for each other.
        moves = sorted(moves, key=lambda move: move.order.order_id)
        rows = await work.rows(MOVED, **_values(moves, now))
        held = {str(row["order_id"]) for row in rows}
        done = [move for move in moves if move.order.order_id in held]
        await coupons.free(work, [move.order for move in done if move.gives_coupon_back])
        await statistics.change(work, [(move.order, rules.bought(move.step, move.order)) for move in done])
        for move in done:
            _publish(work, move)
            _bring_up_to_date(move, now)
            work.after_commit(partial(self._tell, move))
        return done

    async def record_alone(self, runtime: Runtime, moves: Sequence[Move]) -> list[Move]:
        """Do what `record` does as a work of its own: one statement, unless a coupon is given back."""
        if any(move.gives_coupon_back for move in moves):
            return await self._record_with_coupons(runtime, moves)
        now = times.now()
        moves = sorted(moves, key=lambda move: move.order.order_id)
        ends = {move.order.order_id: self._end(runtime, move, now) for move in moves}
        bought = [(move.order, rules.bought(move.step, move.order)) for move in moves]
        values = _values(moves, now) | statistics.values_of(bought)
        held = await runtime.end_together(MOVED_ALONE, list(ends.values()), **values)
        return [move for move in moves if ends[move.order.order_id] in held]

    async def _record_with_coupons(self, runtime: Runtime, moves: Sequence[Move]) -> list[Move]:
        held: list[Move] = []

        async def record(work: Work) -> None:
            held.extend(await self.record(work, moves))

        await runtime.carry_out(record, *sorted({_called(move) for move in moves}))
        return held

    def _end(self, runtime: Runtime, move: Move, now: datetime) -> End:
        work = runtime.work(_called(move))
        _publish(work, move)
        work.after_commit(partial(_bring_up_to_date, move, now))
        work.after_commit(partial(self._tell, move))
        return End(work, move.order.order_id)

    def _tell(self, move: Move) -> None:
        self.announce(move.order, move.step, move.reason, move.trace)
        if move.state in life.FAILED:
            _log(move)

    def announce(self, order: Order, step: str, reason: str, trace: Trace | None) -> None:
        """Tell the watchers of an order where it stands, once that is on record."""
        message = OrderUpdate(
            order_id=order.order_id,
            sequence=order.sequence,
            state=order.state,
            time=order.update_time,
            trace_id=trace.trace_id if trace else "",
            reason=reason,
            step=step,
        )
        final = order.state in life.ENDS
        self._hub.announce(order.order_id, Update(order.sequence, message.SerializeToString(), final))
        self._ring(order.store_id)


def _called(move: Move) -> str:
    """What failpoints call the work of a move by itself."""
    return f"record {move.step}"


def _publish(work: Work, move: Move) -> None:
    for event in rules.told(move.step, move.order, move.sequence, move.reason, move.events):
        work.publish(event, move.trace)


def _bring_up_to_date(move: Move, now: datetime) -> None:
    order = move.order
    order.state = move.state
    order.sequence = move.sequence
    if move.step not in life.NOTES:
        order.reason = move.reason
    order.next_action_url = move.next_action_url
    order.payment_id = move.payment_id or order.payment_id
    order.update_time.CopyFrom(times.timestamp(now))
    if move.payment_expire_time is not None:
        order.payment_expire_time.CopyFrom(times.timestamp(move.payment_expire_time))
    if move.unpaid_reason is not None:
        order.unpaid_reason = move.unpaid_reason


def _log(move: Move) -> None:
    """An order that ends without a sale leaves a line, to be found by its id and by its trace."""
    order = move.order
    logs.log.info(
        "order ended",
        order_id=order.order_id,
        store_id=order.store_id,
        state=life.name_of(move.state),
        reason=move.reason,
        actor=move.actor,
        **({"trace_id": move.trace.trace_id} if move.trace else {}),
    )


def _values(moves: Sequence[Move], now: datetime) -> dict[str, Any]:
    return {
        "order_id": [move.order.order_id for move in moves],
        "sequence": [move.sequence for move in moves],
        "step": [move.step for move in moves],
        "state": [move.state for move in moves],
        "reason": [move.reason for move in moves],
        "payment_id": [move.payment_id or None for move in moves],
        "next_action_url": [move.next_action_url for move in moves],
        "due_time": [move.due_time for move in moves],
        "payment_expire_time": [move.payment_expire_time for move in moves],
        "unpaid_reason": [move.unpaid_reason for move in moves],
        "keeps_reason": [move.step in life.NOTES for move in moves],
        "actor": [move.actor for move in moves],
        "trace_id": [move.trace.trace_id if move.trace else "" for move in moves],
        "time": now,
    }
