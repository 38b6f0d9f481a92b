"""How an order is placed: the statement that CreateOrder ends with, and the values that it takes."""

from typing import Any

from commerce.order.v1.order_pb2 import Order
from sqlalchemy import func, insert, literal_column, select
from sqlalchemy.dialects.postgresql import insert as upsert

from services.order.queries import XID, as_placed
from services.order.tables import customer_months, order_events, order_lines, orders
from services.runtime.columns import BIGINTS, ID, INTEGERS, SMALLINTS, TEXTS, UUIDS
from services.runtime.statements import given, param
from services.runtime.times import time_of
from services.runtime.work import closing

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
    "placed",
]
_new_order = (
    insert(orders)
    .values({name: param(f"order_{name}") for name in _ORDER_COLUMNS})
    .values(due_time=param("due_time"), feed=XID)
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
        feed=XID,
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


def placed(order: Order) -> dict[str, Any]:
    """Return the values of ORDER_PLACED, but for those of the call."""
    moment = time_of(order.create_time)
    address = order.delivery_address.SerializeToString() if order.HasField("delivery_address") else b""
    bought = order.lines
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
        "order_placed": as_placed(order),
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
