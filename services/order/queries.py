"""The order service's SQL, by name."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any, TypeAlias

from commerce.catalog.v1.catalog_pb2 import Product, ProductStatus
from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.order.v1.order_pb2 import Order, OrderEvent, OrderLine, OrderUpdate
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    SmallInteger,
    Text,
    and_,
    cast,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from services.order.tables import ID, TIME, customers, order_events, order_lines, orders, products
from services.runtime.statements import Statement, param, statement
from services.runtime.tables import NOW, TEXTS, UUIDS
from services.runtime.times import timestamp
from services.runtime.work import closing

Row: TypeAlias = Mapping[str, Any]

INTEGERS = ARRAY(Integer)
BIGINTS = ARRAY(BigInteger)
SMALLINTS = ARRAY(SmallInteger)
TIMES = ARRAY(TIME)


def _given(**columns: Any) -> Any:
    """Return arrays, given by name to a run, as one table."""
    arrays = (param(name, type_) for name, type_ in columns.items())
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived(name="given")


_o, _l, _e = orders.c, order_lines.c, order_events.c
_LINE = (
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

ORDER = statement(
    select(orders, *_LINE)
    .select_from(_WITH_LINES)
    .where(_o.order_id == param("order_id"))
    .order_by(_l.position),
    "order",
)
ORDERS_LOCKED = statement(
    select(orders, *_LINE)
    .select_from(_WITH_LINES)
    .where(_o.order_id == func.any(param("order_ids", UUIDS)))
    .order_by(_o.order_id, _l.position)
    .with_for_update(of=orders),
    "orders locked",
)
ORDER_LOCKED = statement(
    select(orders, *_LINE)
    .select_from(_WITH_LINES)
    .where(_o.order_id == param("order_id"))
    .order_by(_l.position)
    .with_for_update(of=orders),
    "order locked",
)


def _orders(name: str, *conditions: Any) -> Statement:
    """Return the statement of one page of a list: each kind of question has its own, and its own index."""
    page = (
        select(_o.order_id)
        .where(_o.store_id == param("store_id"), *conditions, _o.order_id < param("before"))
        .order_by(_o.order_id.desc())
        .limit(param("size", Integer))
        .subquery("page")
    )
    return statement(
        select(orders, *_LINE)
        .select_from(_WITH_LINES.join(page, page.c.order_id == _o.order_id))
        .order_by(_o.order_id.desc(), _l.position),
        name,
    )


_BY_STATE, _BY_CUSTOMER = _o.state == param("state"), _o.customer_id == param("customer_id")
ORDERS = {
    # (of one customer, in one state)
    (False, False): _orders("orders"),
    (False, True): _orders("orders by state", _BY_STATE),
    (True, False): _orders("orders by customer", _BY_CUSTOMER),
    (True, True): _orders("orders by customer and state", _BY_CUSTOMER, _BY_STATE),
}
NEWEST = "ffffffff-ffff-ffff-ffff-ffffffffffff"

# What CreateOrder must know, in one look: the customer, and the products asked for. Always one row at least.
_wanted = select(products).where(
    products.c.product_id == func.any(param("product_ids", UUIDS)), products.c.store_id == param("store_id")
)
_w = _wanted.subquery("wanted")
_buyer = (
    select(customers.c.customer_id)
    .where(customers.c.customer_id == param("customer_id"), customers.c.store_id == param("store_id"))
    .subquery("buyer")
)
_one = select(literal_column("1").label("one")).subquery("one")
BASKET = statement(
    select(_buyer.c.customer_id, _w).select_from(_one.outerjoin(_buyer, true()).outerjoin(_w, true())),
    "basket",
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
_bought = _given(**_LINE_COLUMNS)
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
ORDER_PLACED = closing(
    select(literal_column("1").label("placed")).add_cte(_new_order, _new_lines, _new_event), "order placed"
)

# Transitions of many orders. Each holds only if nobody else has moved its order since it was read.
_moves = _given(
    order_id=UUIDS,
    sequence=BIGINTS,
    step=TEXTS,
    state=SMALLINTS,
    reason=TEXTS,
    payment_id=UUIDS,
    next_action_url=TEXTS,
    due_time=TIMES,
    actor=TEXTS,
    trace_id=TEXTS,
)
_m = _moves.c
_moved = (
    update(orders)
    .where(_o.order_id == _m.order_id, _o.sequence == _m.sequence - 1)
    .values(
        state=_m.state,
        sequence=_m.sequence,
        reason=_m.reason,
        payment_id=func.coalesce(_m.payment_id, _o.payment_id),
        next_action_url=_m.next_action_url,
        due_time=_m.due_time,
        attempts=0,
        last_error="",
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
    .values(due_time=NOW + func.make_interval(0, 0, 0, 0, 0, 0, param("lease_seconds")))
    .returning(*orders.c)
    .cte("leased")
)
ORDERS_DUE = statement(
    select(_leased, *_LINE)
    .select_from(_leased.join(order_lines, _l.order_id == _leased.c.order_id))
    .order_by(_leased.c.order_id, _l.position),
    "orders due",
)
_later = _given(order_id=UUIDS, sequence=BIGINTS, wait_seconds=ARRAY(Integer))
ORDERS_LATER = statement(
    update(orders)
    .where(_o.order_id == _later.c.order_id, _o.sequence == _later.c.sequence)
    .values(
        due_time=NOW + func.make_interval(0, 0, 0, 0, 0, 0, _later.c.wait_seconds / 1000.0),
        attempts=_o.attempts + 1,
    ),
    "orders later",
)

EVENTS = statement(
    select(order_events)
    .where(_e.order_id == param("order_id"), _e.sequence > param("after"))
    .order_by(_e.sequence)
    .limit(1000),
    "order events",
)
LATEST = statement(
    select(_o.order_id, _o.sequence).where(_o.order_id == func.any(param("order_ids", UUIDS))),
    "orders latest",
)

_product = upsert(products).values({column.name: param(column.name) for column in products.c})
PRODUCT_KNOWN = statement(
    _product.on_conflict_do_update(
        index_elements=["product_id"],
        set_={
            name: _product.excluded[name]
            for name in (
                "sku",
                "name",
                "price_minor_units",
                "currency_code",
                "version",
                "archived",
                "tax_class",
            )
        },
        where=and_(products.c.version < _product.excluded.version),
    ),
    "product known",
)
CUSTOMER_KNOWN = statement(
    upsert(customers)
    .values(customer_id=param("customer_id"), store_id=param("store_id"))
    .on_conflict_do_nothing(),
    "customer known",
)


def copy_of(product: Product) -> dict[str, Any]:
    """Return the values of PRODUCT_KNOWN: what the order service keeps of a product."""
    return {
        "product_id": product.product_id,
        "store_id": product.store_id,
        "sku": product.sku,
        "name": product.name,
        "price_minor_units": product.price.minor_units,
        "currency_code": product.price.currency_code,
        "version": product.version,
        "archived": product.status == ProductStatus.PRODUCT_STATUS_ARCHIVED,
        "tax_class": product.tax_class,
    }


def orders_of(rows: Iterable[Row]) -> list[Order]:
    """Fold rows of orders with their lines into orders, in the rows' order."""
    folded: dict[Any, Order] = {}
    for row in rows:
        order = folded.get(row["order_id"])
        if order is None:
            order = folded[row["order_id"]] = _order(row)
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


def _order(row: Row) -> Order:
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
        refunded=money("refunded"),
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
    if row["delivery_address"]:
        order.delivery_address.CopyFrom(PostalAddress.FromString(row["delivery_address"]))
    return order


def placed(order: Order, bought: Sequence[OrderLine]) -> dict[str, Any]:
    """Return the values of ORDER_PLACED for an order and its lines."""
    moment = order.create_time.ToDatetime(tzinfo=UTC)
    address = order.delivery_address.SerializeToString() if order.HasField("delivery_address") else b""
    return {
        "order_order_id": order.order_id,
        "order_store_id": order.store_id,
        "order_customer_id": order.customer_id,
        "order_state": order.state,
        "order_total_minor_units": order.total.minor_units,
        "order_currency_code": order.total.currency_code,
        "order_payment_method": order.payment_method,
        "order_delivery_address": address,
        "order_sequence": order.sequence,
        "order_create_time": moment,
        "order_update_time": moment,
        "order_expire_time": order.expire_time.ToDatetime(tzinfo=UTC),
        "order_subtotal_minor_units": order.subtotal.minor_units,
        "order_discount_minor_units": order.discount.minor_units,
        "order_tax_minor_units": order.tax.minor_units,
        "order_tax_included": order.tax_included,
        "order_shipping_minor_units": order.shipping.minor_units,
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
