"""The order service's SQL, by name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.order.v1.order_pb2 import Order, OrderEvent, OrderLine, OrderUpdate
from sqlalchemy import (
    BigInteger,
    Text,
    case,
    cast,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from services.order.tables import customer_months, order_events, order_lines, orders
from services.runtime.columns import BIGINTS, BOOLEANS, ID, INTEGERS, SMALLINTS, TEXTS, TIME, TIMES, UUIDS
from services.runtime.statements import given, param, statement
from services.runtime.times import time_of, timestamp
from services.runtime.work import closing

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

_LINE_COLUMNS = {
    "position": SMALLINTS,
    "product_id": UUIDS,
    "sku": TEXTS,
    "name": TEXTS,
    "quantity": INTEGERS,
    "unit_price_minor_units": BIGINTS,
    "discount_minor_units": BIGINTS,
    "tax_minor_units": BIGINTS,
    "tax_rate_ppm": INTEGERS,
}
_bought = given(*_LINE_COLUMNS.items())
_ORDER_COLUMNS = [
    "order_id",
    "store_id",
    "customer_id",
    "state",
    "total_minor_units",
    "currency_code",
    "payment_method",
    "delivery_address",
    "sequence",
    "create_time",
    "update_time",
    "traceparent",
    "expire_time",
    "subtotal_minor_units",
    "discount_minor_units",
    "tax_minor_units",
    "tax_included",
    "shipping_minor_units",
    "shipping_tax_minor_units",
    "shipping_tax_rate_ppm",
    "coupon_code",
]
# The id of the transaction, for the store's feed (tables.order_events).
_XID = cast(cast(func.pg_current_xact_id(), Text), BigInteger)
_new_order = (
    insert(orders)
    .values({name: param(f"order_{name}") for name in _ORDER_COLUMNS})
    .values(due_time=param("due_time"), feed=_XID)
    .cte("new_order")
)
_new_lines = (
    insert(order_lines)
    .from_select(["order_id", *_LINE_COLUMNS], select(param("order_order_id", ID), _bought))
    .cte("new_lines")
)
_new_event = (
    insert(order_events)
    .values(
        order_id=param("order_order_id"),
        sequence=1,
        step="create",
        state=param("order_state"),
        time=param("order_create_time"),
        actor=param("actor"),
        reason="",
        trace_id=param("trace_id"),
        store_id=param("order_store_id"),
        feed=_XID,
    )
    .cte("new_event")
)
_month = upsert(customer_months).values(
    {name: param(f"order_{name}") for name in ("customer_id", "month", "currency_code", "store_id")}
    | {"orders": 1, "cancelled": 0, "paid": 0}
    | dict.fromkeys(("first_order_time", "last_order_time"), param("order_create_time"))
)
_counted = _month.on_conflict_do_update(
    index_elements=customer_months.primary_key,
    set_={
        "orders": customer_months.c.orders + 1,
        "first_order_time": func.least(customer_months.c.first_order_time, _month.excluded.first_order_time),
        "last_order_time": func.greatest(customer_months.c.last_order_time, _month.excluded.last_order_time),
    },
).cte("counted")
ORDER_PLACED = closing(
    select(literal_column("1").label("placed")).add_cte(_new_order, _new_lines, _new_event, _counted),
    "order placed",
)

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
        feed=func.greatest(_XID, _o.feed),
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


def placed(order: Order, bought: Sequence[OrderLine]) -> dict[str, Any]:
    """Return the values of ORDER_PLACED for an order and its lines."""
    moment = time_of(order.create_time)
    address = order.delivery_address.SerializeToString() if order.HasField("delivery_address") else b""
    return {
        "order_order_id": order.order_id,
        "order_store_id": order.store_id,
        "order_customer_id": order.customer_id,
        "order_state": order.state,
        "order_total_minor_units": order.total.minor_units,
        "order_currency_code": order.total.currency_code,
        "order_month": moment.date().replace(day=1),
        "order_payment_method": order.payment_method,
        "order_delivery_address": address,
        "order_sequence": order.sequence,
        "order_create_time": moment,
        "order_update_time": moment,
        "order_expire_time": time_of(order.expire_time),
        "order_subtotal_minor_units": order.subtotal.minor_units,
        "order_discount_minor_units": order.discount.minor_units,
        "order_tax_minor_units": order.tax.minor_units,
        "order_tax_included": order.tax_included,
        "order_shipping_minor_units": order.shipping.minor_units,
        "order_shipping_tax_minor_units": order.shipping_tax.minor_units,
        "order_shipping_tax_rate_ppm": order.shipping_tax_rate_ppm,
        "order_coupon_code": order.coupon_code,
        "position": list(range(1, len(bought) + 1)),
        "product_id": [line.product_id for line in bought],
        "sku": [line.sku for line in bought],
        "name": [line.name for line in bought],
        "quantity": [line.quantity for line in bought],
        "unit_price_minor_units": [line.unit_price.minor_units for line in bought],
        "discount_minor_units": [line.discount.minor_units for line in bought],
        "tax_minor_units": [line.tax.minor_units for line in bought],
        "tax_rate_ppm": [line.tax_rate_ppm for line in bought],
    }


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
