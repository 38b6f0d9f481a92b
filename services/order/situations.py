"""What operators see of an order: what it waits for, how its step failed last, and when it is tried again."""

from datetime import UTC, datetime
from typing import Any

from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.operations_service_pb2 import OrderSituation
from commerce.order.v1.order_pb2 import OrderState
from sqlalchemy import BigInteger, Integer, and_, cast, func, select, union_all, update

from services.order import driving_rules, life
from services.order.queries import Row
from services.order.tables import order_events, order_returns, orders
from services.runtime.statements import param, statement
from services.runtime.times import timestamp

STUCK_ATTEMPTS = 3

_o, _e, _r = orders.c, order_events.c, order_returns.c
# Neither lines nor address: an order that cannot be read is explained, too.
_COLUMNS = (
    _o.order_id,
    _o.store_id,
    _o.state,
    _o.parked,
    _o.attempts,
    _o.last_error,
    _o.due_time,
    _o.update_time,
    _o.expire_time,
    _o.payment_id,
    _o.reason,
    _o.unpaid_reason,
    _o.currency_code,
    _e.trace_id,
    *(
        select(each)
        .where(_r.order_id == _o.order_id, _r.unrefunded_minor_units > 0)
        .correlate(orders)
        .scalar_subquery()
        .label(name)
        for name, each in (
            ("unrefunded", cast(func.sum(_r.unrefunded_minor_units), BigInteger)),
            ("unrefunded_reason", func.string_agg(_r.unrefunded_reason.distinct(), "; ")),
        )
    ),
)
_situations = select(*_COLUMNS).select_from(
    orders.outerjoin(order_events, and_(_e.order_id == _o.order_id, _e.sequence == _o.sequence))
)


def _longest(*conditions: Any) -> Any:
    """Return the orders that have not moved for the longest time; each condition has its own partial index."""
    chosen = select(_o.order_id).where(*conditions).order_by(_o.update_time).limit(param("size", Integer))
    return select(chosen.subquery())


_stuck = union_all(
    _longest(_o.parked),
    _longest(_o.unpaid_reason != "", ~_o.parked),
    _longest(_o.due_time.is_not(None), ~_o.parked, _o.attempts >= STUCK_ATTEMPTS, _o.last_error != ""),
).subquery("stuck")
ORDERS_STUCK = statement(
    _situations.join(_stuck, _stuck.c.order_id == _o.order_id)
    .order_by(_o.update_time, _o.order_id)
    .limit(param("size", Integer)),
    "orders stuck",
)
SITUATION = statement(_situations.where(_o.order_id == param("order_id")), "situation")
SITUATION_LOCKED = statement(
    _situations.where(_o.order_id == param("order_id")).with_for_update(of=orders), "situation locked"
)
ORDER_RETRIED = statement(
    update(orders)
    .where(_o.order_id == param("order_id"))
    .values(parked=False, attempts=0, due_time=func.now()),
    "order retried",
)

WAITS_FOR = {
    life.PENDING: "for its units to be reserved",
    life.RESERVED: "for its payment to be authorized",
    life.AWAITING_CUSTOMER: "for its customer to confirm the payment",
    life.PAYMENT_UNKNOWN: "for the provider to say what became of the payment",
    life.CONFIRMED: "for the store to accept it",
    life.ACCEPTED: "for the store to ship it",
    life.SHIPPED: "for its parcels to be at the door",
    life.DELIVERED: "for nothing: it is at the door",
}


def situation_of(row: Row, now: datetime) -> OrderSituation:
    """Return what an order waits for."""
    state = OrderState.ValueType(row["state"])
    failing = bool(row["last_error"])
    situation = OrderSituation(
        order_id=str(row["order_id"]),
        store_id=str(row["store_id"]),
        state=state,
        waits_for=WAITS_FOR.get(state, "for nothing: it has ended") + _then(row, state, now),
        parked=row["parked"],
        attempts=row["attempts"] if failing else 0,
        last_error=row["last_error"],
        update_time=timestamp(row["update_time"]),
        trace_id=row["trace_id"] or "",
        payment_id=str(row["payment_id"] or ""),
        reason=row["reason"],
        unpaid_reason=row["unpaid_reason"],
        unrefunded_reason=(row["unrefunded_reason"] or "")[:500],
    )
    if row["unrefunded"]:
        unrefunded = Money(currency_code=row["currency_code"], minor_units=row["unrefunded"])
        situation.unrefunded.CopyFrom(unrefunded)
    if row["due_time"]:
        situation.due_time.CopyFrom(timestamp(row["due_time"]))
    if row["expire_time"] and state in driving_rules.DRIVEN:
        situation.expire_time.CopyFrom(timestamp(row["expire_time"]))
    return situation


def _then(row: Row, state: OrderState.ValueType, now: datetime) -> str:
    """Say what happens next, and when."""
    due, expires = row["due_time"], row["expire_time"]
    if row["unpaid_reason"]:
        return f"; it is not paid for: {row['unpaid_reason']}"
    if row["parked"]:
        ends = f"; it expires at {_said(expires)}" if due else ""
        return f"; the driver has given up: mend what failed, then retry it{ends}"
    if due is None:
        return ""
    if expires and expires <= now:
        return "; its time is over and it is about to expire"
    if due <= now:
        return "; the driver is about to look"
    if row["last_error"] and row["attempts"]:
        return f"; that failed, and is tried again at {_said(due)} at the latest"
    if state in driving_rules.AT_ONCE:
        return f"; a driver has it in hand until {_said(due)}"
    return f"; it is asked for again at {_said(due)}"


def _said(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
