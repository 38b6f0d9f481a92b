"""Reservations: SQL with a name, and the one way in which they take steps.

Stock rows are locked first, all of a batch at once and in the order of product_id; then reservations are read, by a
statement of its own that sees what others committed before we had the locks; then everything is written. A reservation
with lines changes only under the locks of its stock rows, so what was read stays true. Only an order that had none
yet can gain one meanwhile: its key is inserted last, in the order of order_id, and whoever finds it taken starts over.

Who reserves locks the batch's customers before anything else, so that nobody counts their open reservations meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from commerce.catalog.v1.catalog_events_pb2 import ReservationExpired
from commerce.catalog.v1.catalog_pb2 import ReservationState
from commerce.catalog.v1.stock_service_pb2 import ReservationRequest, ReservationResult
from commerce.common.v1.error_reason_pb2 import ErrorReason
from sqlalchemy import (
    SmallInteger,
    any_,
    func,
    literal,
    null,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from services.catalog import levels, movements, rules
from services.catalog.levels import Move, Stock
from services.catalog.movements import HISTORY, MOVED, STOCK, Movements
from services.catalog.rules import HELD, RELEASED, Offer, Reservation, Return, Step, StepsTaken
from services.catalog.tables import products, reservations, stock
from services.runtime.columns import BIGINTS, INTEGERS, NOW, SMALLINTS, TIMES, UUIDS
from services.runtime.database import Overtaken, Runs
from services.runtime.refusals import Refusal
from services.runtime.statements import given, param, statement
from services.runtime.work import Work

_keys = func.unnest(param("keys", BIGINTS)).column_valued("key")
_LOCK_CUSTOMERS = statement(select(func.pg_advisory_xact_lock(_keys)), "customers locked")
_customers = given(("customer_id", UUIDS), name="customer")
# No more are counted than matter.
_open = (
    select(reservations.c.order_id)
    .where(reservations.c.customer_id == _customers.c.customer_id, reservations.c.expire_time.is_not(None))
    .limit(param("most"))
    .lateral("open")
)
_OPEN = statement(
    select(_customers.c.customer_id, func.count(_open.c.order_id).label("open"))
    .select_from(_customers.outerjoin(_open, true()))
    .group_by(_customers.c.customer_id),
    "open reservations",
)
_OFFERS = statement(
    STOCK.add_columns(products.c.price_minor_units, products.c.currency_code, products.c.status)
    .where(stock.c.product_id == any_(param("product_ids", UUIDS)))
    .order_by(stock.c.product_id)
    .with_for_update(of=stock),
    "offers locked",
)
_touched = (
    select(func.unnest(reservations.c.product_ids))
    .where(reservations.c.order_id == any_(param("order_ids", UUIDS)), reservations.c.state != RELEASED)
    .union_all(select(func.unnest(param("returned", UUIDS))))
)
# Nothing that is stepped makes fewer units available: nobody need know whether the product runs low.
_LOCK = statement(
    select(stock)
    .where(stock.c.product_id == any_(func.array(_touched.scalar_subquery(), type_=UUIDS)))
    .order_by(stock.c.product_id)
    .with_for_update(),
    "stock of reservations locked",
)
_RESERVATIONS = statement(
    select(
        reservations.c.order_id,
        reservations.c.store_id,
        reservations.c.state,
        reservations.c.product_ids,
        reservations.c.quantities,
        (reservations.c.expire_time < func.now()).label("overdue"),
    ).where(reservations.c.order_id == any_(param("order_ids", UUIDS))),
    "reservations",
)
_OVERDUE = statement(
    select(reservations.c.order_id)
    .where(reservations.c.expire_time < func.now())
    .order_by(reservations.c.expire_time)
    .limit(param("size")),
    "overdue reservations",
)
_LINE = {
    "order_id": UUIDS,
    "store_id": UUIDS,
    "customer_id": UUIDS,
    "expire_time": TIMES,
    "product_id": UUIDS,
    "quantity": INTEGERS,
}
_lines = given(*_LINE.items(), name="line")
_of_order = (_lines.c.order_id, _lines.c.store_id, _lines.c.customer_id, _lines.c.expire_time)
_held = (
    upsert(reservations)
    .from_select(
        ["order_id", "store_id", "customer_id", "expire_time", "state", "product_ids", "quantities"],
        select(
            *_of_order,
            literal(HELD, SmallInteger),
            func.array_agg(_lines.c.product_id),
            func.array_agg(_lines.c.quantity),
        )
        .group_by(*_of_order)
        .order_by(_lines.c.order_id),
    )
    .on_conflict_do_nothing()
    .returning(reservations.c.order_id)
    .cte("held")
)
_HOLD = statement(select(_held.c.order_id).add_cte(MOVED), "hold reservations")
_steps = given(("order_id", UUIDS), ("state", SMALLINTS), name="step", prefix="step_")
_stepped = (
    update(reservations)
    .where(reservations.c.order_id == _steps.c.order_id)
    .values(state=_steps.c.state, expire_time=null(), update_time=NOW)
    .cte("stepped")
)
_unheard = given(("order_id", UUIDS), name="new", prefix="new_")
_remembered = (
    upsert(reservations)
    .from_select(
        ["order_id", "state"],
        select(_unheard.c.order_id, literal(RELEASED, SmallInteger)).order_by(_unheard.c.order_id),
    )
    .on_conflict_do_nothing()
    .returning(reservations.c.order_id)
    .cte("remembered")
)
_STEPPED = statement(
    select(_remembered.c.order_id).add_cte(MOVED, HISTORY, _stepped), "take steps with reservations"
)


class Reservations:
    """Reservations of orders; `open_at_most` of one customer's may wait for their confirmation."""

    def __init__(self, movements: Movements, open_at_most: int) -> None:
        self._movements, self._open_at_most = movements, open_at_most

    async def room_locked(self, db: Runs, wanted: Sequence[ReservationRequest]) -> dict[str, int]:
        """Return how many more reservations each customer may open; nobody else opens one until the work ends."""
        customers = {UUID(order.customer_id) for order in wanted}
        # The last bits of a UUID are random: whoever shares them waits in vain, no more.
        keys = sorted(int.from_bytes(customer.bytes[8:], signed=True) for customer in customers)
        await db.rows(_LOCK_CUSTOMERS, keys=keys)
        rows = await db.rows(_OPEN, customer_id=list(customers), most=self._open_at_most)
        return {str(row["customer_id"]): self._open_at_most - row["open"] for row in rows}

    async def hold(self, work: Work, held: Mapping[str, Reservation], offers: Mapping[str, Offer]) -> None:
        """Record new reservations and set their units aside."""
        if not held:
            return
        moves: dict[str, Move] = {}
        for reservation in held.values():
            for product_id, quantity in reservation.units.items():
                moves.setdefault(product_id, Move()).reserved += quantity
        moved = [levels.moved(offers[product_id].stock, move) for product_id, move in moves.items()]
        rows = await work.rows(_HOLD, **_lines_of(held), **movements.values_of_moves(moved))
        _nobody_was_faster(len(rows) == len(held))
        self._movements.tell(work, moved)

    async def take_steps(
        self, work: Work, steps: Sequence[Step], actor: str, returned: Sequence[Return] = ()
    ) -> list[ReservationResult]:
        """Have orders' reservations take steps, in turn, and put on the shelf what came back."""
        order_ids = {step.order_id.lower() for step in steps}
        stocks, known = await _locked(work, order_ids, returned)
        taken = rules.take_steps(steps, known, returned)
        await self._record(work, taken, known, stocks, actor)
        return taken.results

    async def expire(self, work: Work, order_ids: Sequence[str]) -> None:
        """Give back what of these reservations was not confirmed in time."""
        stocks, known = await _locked(work, order_ids)
        overdue = {order_id: each for order_id, each in known.items() if each.overdue}
        taken = rules.take_steps([Step("expire", order_id) for order_id in overdue], known)
        await self._record(work, taken, known, stocks, "SERVICE catalog")
        for order_id, each in overdue.items():
            work.publish(ReservationExpired(order_id=order_id, store_id=each.store_id))

    async def _record(
        self,
        work: Work,
        taken: StepsTaken,
        known: Mapping[str, Reservation],
        stocks: Mapping[str, Stock],
        actor: str,
    ) -> None:
        if not taken.states and not taken.moves:
            return
        moved = [levels.moved(stocks[product_id], move) for product_id, move in taken.moves.items()]
        stepped = {order_id: state for order_id, state in taken.states.items() if order_id in known}
        unheard = taken.states.keys() - stepped.keys()
        rows = await work.rows(
            _STEPPED,
            step_order_id=list(stepped),
            step_state=list(stepped.values()),
            new_order_id=list(unheard),
            **movements.values_of(moved, actor),
        )
        _nobody_was_faster(len(rows) == len(unheard))
        self._movements.tell(work, moved)


async def offers_locked(db: Runs, wanted: Iterable[ReservationRequest]) -> dict[str, Offer]:
    """Return what is offered of the products that are wanted; nobody else changes their stock until the work ends."""
    product_ids = {line.product_id.lower() for order in wanted for line in order.lines}
    rows = await db.rows(_OFFERS, product_ids=list(product_ids))
    return {
        str(row["product_id"]): Offer(
            movements.stock_from(row),
            row["currency_code"],
            row["price_minor_units"],
            archived=row["status"] != rules.ACTIVE,
        )
        for row in rows
    }


async def reservations_of(db: Runs, order_ids: Iterable[str]) -> dict[str, Reservation]:
    """Return the reservations that orders have, by order_id."""
    rows = await db.rows(_RESERVATIONS, order_ids=list(order_ids))
    return {
        str(row["order_id"]): Reservation(
            ReservationState.ValueType(row["state"]),
            dict(zip(map(str, row["product_ids"]), row["quantities"], strict=True)),
            store_id=str(row["store_id"] or ""),
            overdue=bool(row["overdue"]),
        )
        for row in rows
    }


async def overdue(db: Runs, size: int) -> list[str]:
    """Return up to `size` orders whose reservations were not confirmed in time, those first that wait longest."""
    return [str(row["order_id"]) for row in await db.rows(_OVERDUE, size=size)]


async def _locked(
    db: Runs, order_ids: Iterable[str], returned: Iterable[Return] = ()
) -> tuple[dict[str, Stock], dict[str, Reservation]]:
    """Return the stock of the orders' products, which nobody else changes meanwhile, and their reservations."""
    order_ids = list(order_ids)
    back = {product_id for each in returned for product_id in each.units}
    stocks = movements.stocks_from(await db.rows(_LOCK, order_ids=order_ids, returned=list(back)))
    for product_id in back - stocks.keys():
        raise Refusal(
            ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND,
            f"There is no product {product_id}, of which units came back",
            product_id=product_id,
        )
    known = await reservations_of(db, order_ids)
    _nobody_was_faster(
        all(stocks.keys() >= each.units.keys() for each in known.values() if each.state != RELEASED)
    )
    return stocks, known


def _lines_of(held: Mapping[str, Reservation]) -> dict[str, Any]:
    lines = [
        (order_id, each.store_id, each.customer_id, each.expire_time, product_id, quantity)
        for order_id, each in held.items()
        for product_id, quantity in each.units.items()
    ]
    return dict(zip(_LINE, map(list, zip(*lines, strict=True)), strict=True))


def _nobody_was_faster(sure: bool) -> None:
    """Start the whole work over when a reservation appeared in the meantime."""
    if not sure:
        raise Overtaken("an order gained a reservation in the meantime")
