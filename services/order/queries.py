"""The order service's SQL, by name."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.order.v1.order_pb2 import Order, OrderEvent, OrderUpdate
from sqlalchemy import (
    BigInteger,
    Text,
    cast,
    func,
    select,
    update,
)

from services.order.tables import order_events, order_lines, order_settings, orders
from services.runtime.columns import BIGINTS, SMALLINTS, UUIDS
from services.runtime.statements import given, param, statement
from services.runtime.store_settings import StoreSettings
from services.runtime.times import timestamp

Row: TypeAlias = Mapping[str, Any]


_o, _l, _e = orders.c, order_lines.c, order_events.c
LINE = (
    _l.product_id,
    _l.sku,
    _l.name,
    _l.quantity,
    _l.unit_price_minor_units,
    _l.discount_minor_units.label("line_discount"),
    _l.tax_minor_units.label("line_tax"),
    _l.tax_rate_ppm,
    _l.shipped_quantity,
    _l.returned_quantity,
)
_WITH_LINES = orders.join(order_lines, _l.order_id == _o.order_id)
# What drives an order, feeds and counts is read where that is done: each column comes once more with every line.
_NOT_SHOWN = {"traceparent", "due_time", "attempts", "last_error", "parked", "captured_minor_units", "feed"}
_SHOWN = [column for column in _o if column.name not in _NOT_SHOWN]

ORDER = statement(
    select(*_SHOWN, *LINE)
    .select_from(_WITH_LINES)
    .where(_o.order_id == param("order_id"))
    .order_by(_l.position),
    "order",
)
ORDERS_LOCKED = statement(
    select(orders, *LINE)
    .select_from(_WITH_LINES)
    .where(_o.order_id == func.any(param("order_ids", UUIDS)))
    .order_by(_o.order_id, _l.position)
    .with_for_update(of=orders),
    "orders locked",
)
# The lines too: whoever waited for the lock would otherwise see them as they were before.
ORDER_LOCKED = statement(
    select(*_SHOWN, *LINE)
    .select_from(_WITH_LINES)
    .where(_o.order_id == param("order_id"))
    .order_by(_l.position)
    .with_for_update(of=(orders, order_lines)),
    "order locked",
)

# The id of the transaction, for the store's feed (tables.order_events).
XID = cast(cast(func.pg_current_xact_id(), Text), BigInteger)

SETTINGS = StoreSettings(order_settings)

# What an order costs, after a coupon was added to it.
_SUMS = ("total", "subtotal", "discount", "tax", "shipping", "shipping_tax")
_repriced_line = given(
    ("position", SMALLINTS), ("discount_minor_units", BIGINTS), ("tax_minor_units", BIGINTS)
)
_repriced_lines = (
    update(order_lines)
    .where(_l.order_id == param("order_id"), _l.position == _repriced_line.c.position)
    .values(
        discount_minor_units=_repriced_line.c.discount_minor_units,
        tax_minor_units=_repriced_line.c.tax_minor_units,
    )
    .cte("repriced_lines")
)
REPRICED = statement(
    update(orders)
    .where(_o.order_id == param("order_id"))
    .values({f"{name}_minor_units": param(f"order_{name}") for name in _SUMS})
    .values(coupon_code=param("coupon_code"))
    .add_cte(_repriced_lines),
    "order repriced",
)

EVENTS = statement(
    select(order_events, _o.sequence.label("latest"))
    .join(orders, _o.order_id == _e.order_id)
    .where(_e.order_id == param("order_id"), _e.sequence > param("after"))
    .order_by(_e.sequence)
    .limit(1000),
    "order events",
)
STATES = statement(
    select(_o.order_id, _o.state).where(_o.order_id == func.any(param("order_ids", UUIDS))), "orders' states"
)
LATEST = statement(
    select(_o.order_id, _o.sequence).where(_o.order_id == func.any(param("order_ids", UUIDS))),
    "orders latest",
)


def orders_of(rows: Iterable[Row]) -> list[Order]:
    """Fold rows of orders with their lines into orders, in the rows' order."""
    folded: dict[Any, Order] = {}
    for row in rows:
        order = folded.get(row["order_id"])
        if order is None:
            order = folded[row["order_id"]] = order_of(row)
        code = row["currency_code"]
        order.lines.add(
            product_id=str(row["product_id"]),
            sku=row["sku"],
            name=row["name"],
            quantity=row["quantity"],
            unit_price=Money(currency_code=code, minor_units=row["unit_price_minor_units"]),
            discount=Money(currency_code=code, minor_units=row["line_discount"]),
            tax=Money(currency_code=code, minor_units=row["line_tax"]),
            tax_rate_ppm=row["tax_rate_ppm"],
            shipped_quantity=row["shipped_quantity"],
            returned_quantity=row["returned_quantity"],
        )
    return list(folded.values())


def order_of(row: Row) -> Order:
    """Return an order without its lines."""

    def money(name: str) -> Money:
        return Money(currency_code=row["currency_code"], minor_units=row[f"{name}_minor_units"])

    order = Order(
        order_id=str(row["order_id"]),
        store_id=str(row["store_id"]),
        customer_id=str(row["customer_id"]),
        state=row["state"],
        total=money("total"),
        subtotal=money("subtotal"),
        discount=money("discount"),
        tax=money("tax"),
        tax_included=row["tax_included"],
        shipping=money("shipping"),
        shipping_tax=money("shipping_tax"),
        shipping_tax_rate_ppm=row["shipping_tax_rate_ppm"],
        refunded=money("refunded"),
        unpaid_reason=row["unpaid_reason"],
        coupon_code=row["coupon_code"],
        sequence=row["sequence"],
        create_time=timestamp(row["create_time"]),
        update_time=timestamp(row["update_time"]),
        payment_method=row["payment_method"],
        reason=row["reason"],
        payment_id=str(row["payment_id"] or ""),
        next_action_url=row["next_action_url"],
    )
    if row["expire_time"]:
        order.expire_time.CopyFrom(timestamp(row["expire_time"]))
    if row["payment_expire_time"]:
        order.payment_expire_time.CopyFrom(timestamp(row["payment_expire_time"]))
    if row["delivery_address"]:
        order.delivery_address.CopyFrom(PostalAddress.FromString(row["delivery_address"]))
    return order


def repriced(order: Order) -> dict[str, Any]:
    """Return the values of REPRICED."""
    return {f"order_{name}": getattr(order, name).minor_units for name in _SUMS} | {
        "order_id": order.order_id,
        "coupon_code": order.coupon_code,
        "position": list(range(1, len(order.lines) + 1)),
        "discount_minor_units": [line.discount.minor_units for line in order.lines],
        "tax_minor_units": [line.tax.minor_units for line in order.lines],
    }


def event_of(row: Row) -> OrderEvent:
    """Return a row of the timeline as the contract has it."""
    return OrderEvent(
        sequence=row["sequence"],
        step=row["step"],
        state=row["state"],
        time=timestamp(row["time"]),
        actor=row["actor"],
        reason=row["reason"],
        trace_id=row["trace_id"],
    )


def update_of(row: Row) -> OrderUpdate:
    """Return a row of the timeline as a watch sends it."""
    return OrderUpdate(
        order_id=str(row["order_id"]),
        sequence=row["sequence"],
        state=row["state"],
        time=timestamp(row["time"]),
        trace_id=row["trace_id"],
        reason=row["reason"],
        step=row["step"],
    )
