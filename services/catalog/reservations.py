"""Reservations: SQL with a name, and the one way in which they are settled.

Stock rows are locked first, all of a batch at once and in the order of product_id; then reservations are read, by a
statement of its own that sees what others committed before we had the locks; then everything is written. A reservation
with lines changes only under the locks of its stock rows, so what was read stays true. Only an order that had none
yet can gain one meanwhile: its key is inserted last, in the order of order_id, and whoever finds it taken starts over.
"""

from collections.abc import Iterable, Mapping, Sequence

import asyncpg
from commerce.catalog.v1.catalog_pb2 import ReservationState
from commerce.catalog.v1.stock_service_pb2 import ReservationRequest, ReservationResult
from sqlalchemy import ARRAY, SmallInteger, any_, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.catalog import rules
from services.catalog.rules import HELD, RELEASED, Offer, Reservation, Settlement
from services.catalog.tables import INTEGERS, products, reservations, stock
from services.runtime.database import Runs
from services.runtime.statements import param, statement
from services.runtime.tables import NOW, UUIDS

_OFFERS = statement(
    select(
        stock.c.product_id,
        stock.c.store_id,
        (stock.c.on_hand - stock.c.reserved).label("available"),
        products.c.price_minor_units,
        products.c.currency_code,
    )
    .join(products, products.c.product_id == stock.c.product_id)
    .where(stock.c.product_id == any_(param("product_ids", UUIDS)))
    .order_by(stock.c.product_id)
    .with_for_update(of=stock),
    "offers locked",
)
_reserved_products = select(func.unnest(reservations.c.product_ids)).where(
    reservations.c.order_id == any_(param("order_ids", UUIDS)), reservations.c.state != RELEASED
)
_LOCK = statement(
    select(stock.c.product_id)
    .where(stock.c.product_id == any_(func.array(_reserved_products.scalar_subquery(), type_=UUIDS)))
    .order_by(stock.c.product_id)
    .with_for_update(),
    "stock of reservations locked",
)
_RESERVATIONS = statement(
    select(
        reservations.c.order_id,
        reservations.c.state,
        reservations.c.product_ids,
        reservations.c.quantities,
    ).where(reservations.c.order_id == any_(param("order_ids", UUIDS))),
    "reservations",
)
_lines = (
    func.unnest(
        param("order_ids", UUIDS),
        param("store_ids", UUIDS),
        param("product_ids", UUIDS),
        param("quantities", INTEGERS),
    )
    .table_valued("order_id", "store_id", "product_id", "quantity", name="line")
    .render_derived(name="line")
)
_held = (
    upsert(reservations)
    .from_select(
        ["order_id", "store_id", "state", "product_ids", "quantities"],
        select(
            _lines.c.order_id,
            _lines.c.store_id,
            literal(HELD, SmallInteger),
            func.array_agg(_lines.c.product_id),
            func.array_agg(_lines.c.quantity),
        )
        .group_by(_lines.c.order_id, _lines.c.store_id)
        .order_by(_lines.c.order_id),
    )
    .on_conflict_do_nothing()
    .returning(reservations.c.order_id)
    .cte("held")
)
_moves = (
    func.unnest(param("moved", UUIDS), param("on_hand", INTEGERS), param("reserved", INTEGERS))
    .table_valued("product_id", "on_hand", "reserved", name="move")
    .render_derived(name="move")
)
_moved = (
    update(stock)
    .where(stock.c.product_id == _moves.c.product_id)
    .values(
        on_hand=stock.c.on_hand + _moves.c.on_hand,
        reserved=stock.c.reserved + _moves.c.reserved,
    )
    .cte("moved")
)
_HOLD = statement(select(_held.c.order_id).add_cte(_moved), "hold reservations")
_changes = (
    func.unnest(param("changed", UUIDS), param("states", ARRAY(SmallInteger)))
    .table_valued("order_id", "state", name="change")
    .render_derived(name="change")
)
_changed = (
    update(reservations)
    .where(reservations.c.order_id == _changes.c.order_id)
    .values(state=_changes.c.state, update_time=NOW)
    .cte("changed")
)
_unheard = (
    func.unnest(param("unheard", UUIDS)).table_valued("order_id", name="new").render_derived(name="new")
)
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
_SETTLE = statement(select(_remembered.c.order_id).add_cte(_moved, _changed), "settle reservations")


async def offers_locked(db: Runs, wanted: Iterable[ReservationRequest]) -> dict[str, Offer]:
    """Return what is offered of the products that are wanted; nobody else changes their stock until the work ends."""
    product_ids = {line.product_id.lower() for order in wanted for line in order.lines}
    rows = await db.rows(_OFFERS, product_ids=list(product_ids))
    return {
        str(row["product_id"]): Offer(
            str(row["store_id"]), row["currency_code"], row["price_minor_units"], row["available"]
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
        )
        for row in rows
    }


async def hold(db: Runs, held: Mapping[str, Reservation]) -> None:
    """Record new reservations and set their units aside."""
    if not held:
        return
    lines = [
        (order_id, reservation.store_id, product_id, quantity)
        for order_id, reservation in held.items()
        for product_id, quantity in reservation.units.items()
    ]
    reserved: dict[str, int] = {}
    for _, _, product_id, quantity in lines:
        reserved[product_id] = reserved.get(product_id, 0) + quantity
    rows = await db.rows(
        _HOLD,
        order_ids=[line[0] for line in lines],
        store_ids=[line[1] for line in lines],
        product_ids=[line[2] for line in lines],
        quantities=[line[3] for line in lines],
        moved=list(reserved),
        on_hand=[0] * len(reserved),
        reserved=list(reserved.values()),
    )
    _nobody_was_faster(len(rows) == len(held))


async def settle(db: Runs, steps: Sequence[tuple[str, str]]) -> list[ReservationResult]:
    """Commit or release the reservations of orders: steps are ("commit" or "release", order_id), taken in turn."""
    order_ids = {order_id.lower() for _, order_id in steps}
    locked = {str(row["product_id"]) for row in await db.rows(_LOCK, order_ids=list(order_ids))}
    known = await reservations_of(db, order_ids)
    _nobody_was_faster(
        all(locked.issuperset(each.units) for each in known.values() if each.state != RELEASED)
    )
    settlement = rules.settle(steps, known)
    await _record(db, settlement, known)
    return settlement.results


async def _record(db: Runs, settlement: Settlement, known: Mapping[str, Reservation]) -> None:
    if not settlement.states:
        return
    changed = {order_id: state for order_id, state in settlement.states.items() if order_id in known}
    unheard = settlement.states.keys() - changed.keys()
    rows = await db.rows(
        _SETTLE,
        moved=list(settlement.moves),
        on_hand=[move[0] for move in settlement.moves.values()],
        reserved=[move[1] for move in settlement.moves.values()],
        changed=list(changed),
        states=list(changed.values()),
        unheard=list(unheard),
    )
    _nobody_was_faster(len(rows) == len(unheard))


def _nobody_was_faster(sure: bool) -> None:
    """Start the whole work over, as after any serialization failure, when a reservation appeared in the meantime."""
    if not sure:
        raise asyncpg.SerializationError("an order gained a reservation in the meantime")
