"""The order service's SQL, by name."""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, TypeAlias
from uuid import UUID

from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.order.v1.order_pb2 import Order, OrderEvent, OrderUpdate
from sqlalchemy import (
    BigInteger,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    not_,
    select,
    update,
)

from services.order import life
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
_line_of = itemgetter(*(column.name for column in LINE))
_WITH_LINES = orders.join(order_lines, _l.order_id == _o.order_id)
# What drives an order, feeds and counts is read where that is done: each column comes once more with every line.
_NOT_SHOWN = {"traceparent", "due_time", "attempts", "last_error", "parked", "captured_minor_units", "feed"}
# Whoever reads the lines has no use for what was placed.
WHOLE = [column for column in _o if column.name != "placed"]
_SHOWN = [column for column in WHOLE if column.name not in _NOT_SHOWN]

# What was placed stays as it was until a coupon changes its prices, or units are sent.
_HOLDS = and_(
    _o.placed.is_not(None),
    _o.coupon_code == literal_column("''"),
    *(_o.state != literal_column(f"{state:d}") for state in life.SENT),
)
_LINES = func.array(
    select(func.row(*LINE)).where(_l.order_id == _o.order_id).order_by(_l.position).scalar_subquery()
)
# An order to be shown is one row: with what was placed where that holds, else with its lines as they are.
SHOWN = (
    *_SHOWN,
    case((_HOLDS, _o.placed)).label("placed"),
    case((not_(_HOLDS), _LINES)).label("lines"),
)

ORDER = statement(select(*SHOWN).where(_o.order_id == param("order_id")), "order")
ORDERS_LOCKED = statement(
    select(*WHOLE, *LINE)
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
    """Return the orders of rows as SHOWN, or fold rows of orders with a line each, in the rows' order."""
    folded: dict[Any, Order] = {}
    for row in rows:
        order = folded.get(row["order_id"])
        if order is None:
            order = folded[row["order_id"]] = order_of(row)
        if "product_id" in row:
            _add_line(order, *_line_of(row))
    return list(folded.values())


def order_of(row: Row) -> Order:
    """Return an order, with the lines that come in the same row."""
    placed = row.get("placed")
    order = Order.FromString(placed) if placed else _placed(row)
    for line in row.get("lines") or ():
        _add_line(order, *line)
    order.state = row["state"]
    order.sequence = row["sequence"]
    order.update_time.CopyFrom(timestamp(row["update_time"]))
    order.refunded.currency_code = row["currency_code"]
    order.refunded.minor_units = row["refunded_minor_units"]
    order.unpaid_reason = row["unpaid_reason"]
    order.payment_method = row["payment_method"]
    order.reason = row["reason"]
    order.payment_id = str(row["payment_id"] or "")
    order.next_action_url = row["next_action_url"]
    if row["payment_expire_time"]:
        order.payment_expire_time.CopyFrom(timestamp(row["payment_expire_time"]))
    if row["delivery_address"]:
        order.delivery_address.CopyFrom(PostalAddress.FromString(row["delivery_address"]))
    return order


def _add_line(
    order: Order,
    product_id: UUID,
    sku: str,
    name: str,
    quantity: int,
    unit_price: int,
    discount: int,
    tax: int,
    tax_rate_ppm: int,
    shipped_quantity: int,
    returned_quantity: int,
) -> None:
    """Add a line to an order, from the values of LINE."""
    code = order.total.currency_code
    order.lines.add(
        product_id=str(product_id),
        sku=sku,
        name=name,
        quantity=quantity,
        unit_price=Money(currency_code=code, minor_units=unit_price),
        discount=Money(currency_code=code, minor_units=discount),
        tax=Money(currency_code=code, minor_units=tax),
        tax_rate_ppm=tax_rate_ppm,
        shipped_quantity=shipped_quantity,
        returned_quantity=returned_quantity,
    )


def _placed(row: Row) -> Order:
    """Return what `placed` holds of an order, but for its lines."""

    def money(name: str) -> Money:
        return Money(currency_code=row["currency_code"], minor_units=row[f"{name}_minor_units"])

    return Order(
        order_id=str(row["order_id"]),
        store_id=str(row["store_id"]),
        customer_id=str(row["customer_id"]),
        total=money("total"),
        subtotal=money("subtotal"),
        discount=money("discount"),
        tax=money("tax"),
        tax_included=row["tax_included"],
        shipping=money("shipping"),
        shipping_tax=money("shipping_tax"),
        shipping_tax_rate_ppm=row["shipping_tax_rate_ppm"],
        coupon_code=row["coupon_code"],
        create_time=timestamp(row["create_time"]),
        expire_time=timestamp(row["expire_time"]) if row["expire_time"] else None,
    )


# What an order's columns tell beside `placed`: what changes, and what is personal, which stands in one place only.
_TOLD = (
    "state",
    "sequence",
    "update_time",
    "refunded",
    "unpaid_reason",
    "payment_method",
    "reason",
    "payment_id",
    "next_action_url",
    "payment_expire_time",
    "delivery_address",
)


def as_placed(order: Order) -> bytes:
    """Return what is kept of an order as it is placed."""
    kept = Order()
    kept.CopyFrom(order)
    for name in _TOLD:
        kept.ClearField(name)  # type: ignore[arg-type]
    return kept.SerializeToString()


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
