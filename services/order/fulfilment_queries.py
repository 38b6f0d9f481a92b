"""Parcels and returns on record. Whoever writes here holds the order's lock (queries.ORDER_LOCKED)."""

from datetime import UTC
from typing import Any

from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_pb2 import LineQuantity, Order, OrderReturn, ReturnLine, Shipment
from sqlalchemy import Table, func, insert, select, update

from services.order import fulfilment_rules, life
from services.order.queries import Row
from services.order.tables import order_lines, order_returns, orders, shipments
from services.runtime.columns import INTEGERS, TIME, UUIDS
from services.runtime.database import Runs
from services.runtime.statements import Statement, given, param, statement
from services.runtime.times import timestamp

_o, _l, _s = orders.c, order_lines.c, shipments.c


def _parts(table: Table, time: str, name: str) -> Statement:
    """Return the statement of an order's parts, and how far the order is with each; one row at least."""
    return statement(
        select(_o.sequence, _o.refunded_minor_units.label("order_refunded"), table)
        .select_from(orders.outerjoin(table, table.c.order_id == _o.order_id))
        .where(_o.order_id == param("order_id"))
        .order_by(table.c[time]),
        name,
    )


def _recorded(table: Table, counted: str, name: str) -> Statement:
    """Return the statement that writes a part, and counts its units in a column of the order's lines."""
    units = given(("product_ids", UUIDS), ("quantities", INTEGERS)).c
    counts = (
        update(order_lines)
        .where(_l.order_id == param("order_id"), _l.product_id == units.product_ids)
        .values({counted: _l[counted] + units.quantities})
        .cte("counts")
    )
    later = ("deliver_time", "refunded_minor_units", "unrefunded_minor_units", "unrefunded_reason")
    values = {column.name: param(column.name) for column in table.c if column.name not in later}
    return statement(insert(table).values(values).add_cte(counts), name)


SHIPMENTS = _parts(shipments, "ship_time", "order shipments")
RETURNS = _parts(order_returns, "create_time", "order returns")
SHIPPED = _recorded(shipments, "shipped_quantity", "order shipped")
RETURNED = _recorded(order_returns, "returned_quantity", "order returned")
DELIVERED = statement(
    update(shipments)
    .where(_s.shipment_id == func.any(param("shipment_ids", UUIDS)))
    .values(deliver_time=param("time", TIME)),
    "shipments delivered",
)
ASSIGNED = statement(
    update(shipments).where(_s.shipment_id == param("shipment_id")).values(courier_id=param("courier_id")),
    "courier assigned",
)


async def complete(db: Runs, order: Order) -> bool:
    """Add an order's shipments and returns. False when it has moved since it was read: then read it again."""
    if order.state not in life.SENT:
        return True
    sent = await db.rows(SHIPMENTS, order_id=order.order_id)
    back: list[Row] = []
    if any(line.returned_quantity for line in order.lines):
        back = await db.rows(RETURNS, order_id=order.order_id)
    order.shipments.extend(_shipment(row) for row in sent if row["shipment_id"])
    order.returns.extend(_returned(row, order.total.currency_code) for row in back)
    read = (order.sequence, order.refunded.minor_units)
    return all((row["sequence"], row["order_refunded"]) == read for row in (*sent, *back))


def shipped(order: Order, parcel: Shipment) -> dict[str, Any]:
    """Return the values of SHIPPED."""
    return {
        "shipment_id": parcel.shipment_id,
        "order_id": order.order_id,
        "product_ids": [line.product_id for line in parcel.lines],
        "quantities": [line.quantity for line in parcel.lines],
        "carrier": parcel.carrier,
        "tracking_number": parcel.tracking_number,
        "courier_id": parcel.courier_id,
        "ship_time": parcel.ship_time.ToDatetime(tzinfo=UTC),
    }


def returned(order: Order, back: OrderReturn) -> dict[str, Any]:
    """Return the values of RETURNED."""
    return {
        "return_id": back.return_id,
        "order_id": order.order_id,
        "product_ids": [line.product_id for line in back.lines],
        "quantities": [line.quantity for line in back.lines],
        "restocks": [line.restock for line in back.lines],
        "refund_minor_units": back.refund.minor_units,
        "reason": back.reason,
        "create_time": back.create_time.ToDatetime(tzinfo=UTC),
    }


def _shipment(row: Row) -> Shipment:
    delivered = row["deliver_time"]
    return Shipment(
        shipment_id=str(row["shipment_id"]),
        lines=[
            LineQuantity(product_id=str(product_id), quantity=quantity)
            for product_id, quantity in zip(row["product_ids"], row["quantities"], strict=True)
        ],
        carrier=row["carrier"],
        tracking_number=row["tracking_number"],
        courier_id=row["courier_id"],
        status=fulfilment_rules.DELIVERED if delivered else fulfilment_rules.ON_THE_WAY,
        ship_time=timestamp(row["ship_time"]),
        deliver_time=timestamp(delivered) if delivered else None,
    )


def _returned(row: Row, currency_code: str) -> OrderReturn:
    lines = zip(row["product_ids"], row["quantities"], row["restocks"], strict=True)
    return OrderReturn(
        return_id=str(row["return_id"]),
        lines=[
            ReturnLine(product_id=str(product_id), quantity=quantity, restock=restock)
            for product_id, quantity, restock in lines
        ],
        refund=Money(currency_code=currency_code, minor_units=row["refund_minor_units"]),
        refunded=Money(currency_code=currency_code, minor_units=row["refunded_minor_units"]),
        unrefunded=Money(currency_code=currency_code, minor_units=row["unrefunded_minor_units"]),
        unrefunded_reason=row["unrefunded_reason"],
        reason=row["reason"],
        create_time=timestamp(row["create_time"]),
    )
