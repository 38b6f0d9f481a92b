"""How orders are placed: the statement that CreateOrder ends with, of one order or of many at once, and its values.

One by itself goes at once; what comes meanwhile goes together in the next (runtime/batches.py).
"""

from collections.abc import Sequence
from typing import Any

from commerce.order.v1.order_pb2 import Order
from google.protobuf.message import Message
from sqlalchemy import ARRAY, func, insert, literal_column, select, true
from sqlalchemy.dialects.postgresql import insert as upsert

from services.order.queries import XID, as_placed
from services.order.tables import customer_months, order_events, order_lines, orders
from services.runtime.batches import Batches, LeftOut
from services.runtime.columns import BIGINTS, DATES, INTEGERS, SMALLINTS, TEXTS, UUIDS
from services.runtime.service import Runtime
from services.runtime.statements import given, param
from services.runtime.tables import first_replies
from services.runtime.times import time_of
from services.runtime.work import End, Work, closing

# In sixteen an order costs PostgreSQL a fraction of what it costs alone, in more little less.
MOST = 32
# For what somebody holds that one of a batch needs; then each is placed by itself, and the others need not wait.
LONGEST_WAIT = "1s"

Values = dict[str, Any]

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
    "due_time",
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
_FIRST_EVENT = {"sequence": "1", "step": "'create'", "reason": "''"}
# What else is written about an order, or asked.
_BESIDE: dict[str, ARRAY[Any]] = {"month": DATES, "actor": TEXTS, "trace_id": TEXTS, "request_id": UUIDS}


def _value(many: Any, name: str) -> Any:
    """A column of the table of many orders; a parameter where there is but one."""
    if many is not None:
        return many.c[name]
    return param(f"order_{name}", orders.c[name].type if name in orders.c else _BESIDE[name].item_type)


def _values(many: Any, *names: str) -> dict[str, Any]:
    return {name: _value(many, name) for name in names}


def _placed(many: Any = None) -> Any:
    """The order, its lines, its first event, and one more in its customer's month."""
    order = _values(many, *_ORDER_COLUMNS) | {"feed": XID}
    event = (
        _values(many, "order_id", "state", "actor", "trace_id", "store_id")
        | {"time": _value(many, "create_time"), "feed": XID}
        | {name: literal_column(value) for name, value in _FIRST_EVENT.items()}
    )
    return [
        insert(orders).from_select(list(order), select(*order.values())).cte("new_order"),
        insert(order_lines).from_select(["order_id", *_LINE_COLUMNS], _lines(many)).cte("new_lines"),
        insert(order_events).from_select(list(event), select(*event.values())).cte("new_event"),
        _counted(many).cte("counted"),
    ]


def _lines(many: Any) -> Any:
    if many is None:
        return select(_value(many, "order_id"), given(*_LINE_COLUMNS.items()))
    lines = given(*_LINE_COLUMNS.items(), ("line_of", UUIDS))
    columns = (lines.c[name] for name in _LINE_COLUMNS)
    return select(lines.c.line_of, *columns).where(lines.c.line_of.in_(select(many.c.order_id)))


def _counted(many: Any) -> Any:
    key = _values(many, *(column.name for column in customer_months.primary_key), "store_id")
    time = _value(many, "create_time")
    columns = key | {
        "orders": literal_column("1") if many is None else func.count(),
        "cancelled": literal_column("0"),
        "paid": literal_column("0"),
        "first_order_time": time if many is None else func.min(time),
        "last_order_time": time if many is None else func.max(time),
    }
    rows = select(*columns.values())
    if many is not None:
        # Locked in one order everywhere, so that two batches cannot wait for each other.
        rows = rows.group_by(*key.values()).order_by(*key.values())
    month = upsert(customer_months).from_select(list(columns), rows)
    own, new = customer_months.c, month.excluded
    return month.on_conflict_do_update(
        index_elements=customer_months.primary_key,
        set_={
            "orders": own.orders + new.orders,
            "first_order_time": func.least(own.first_order_time, new.first_order_time),
            "last_order_time": func.greatest(own.last_order_time, new.last_order_time),
        },
    )


ORDER_PLACED = closing(select(literal_column("1").label("placed")).add_cte(*_placed()), "order placed")

_all = given(
    *((name, ARRAY(orders.c[name].type)) for name in _ORDER_COLUMNS),
    *_BESIDE.items(),
    name="all_orders",
    prefix="order_",
)
# Looked up one by one, however few the planner takes the replies for.
_reply = select(literal_column("1")).where(first_replies.c.request_id == _all.c.request_id).scalar_subquery()
# Who asks again, with a request_id that was answered, fails: by itself.
_new = select(_all).where(_reply.is_(None)).cte("new")
# It holds before anything is written, and until the statement ends.
_hurried = func.set_config(literal_column("'lock_timeout'"), literal_column(f"'{LONGEST_WAIT}'"), true())
ORDERS_PLACED = closing(
    select(_new.c.order_id.label("id"), _hurried).add_cte(*_placed(_new)), "orders placed", _new.c.order_id
)


class Writer:
    """Puts orders on record, by the values of ORDER_PLACED."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._batches = Batches("orders placed", self._place_one, self._place_many, MOST)

    async def place(self, work: Work, reply: Message, values: Values) -> None:
        """End a work with an order. One that has begun, for it uses a coupon, holds locks: nobody else waits for it."""
        end = End(work, values["order_order_id"], reply)
        if work.begun:
            await self._place_one((values, end))
        else:
            await self._batches.do((values, end))

    async def _place_one(self, one: tuple[Values, End]) -> None:
        values, end = one
        await end.work.commit(ORDER_PLACED, end.reply, **values)

    async def _place_many(self, batch: Sequence[tuple[Values, End]]) -> Sequence[LeftOut | None]:
        # Of two with one request_id the later one repeats what the first will have been answered.
        firsts = {values["order_request_id"].lower(): (values, end) for values, end in reversed(batch)}
        ends = [end for _, end in firsts.values()]
        values = values_of_many([values for values, _ in firsts.values()])
        held = await self._runtime.commit_together(ORDERS_PLACED, ends, **values)
        return [None if end in held else LeftOut() for _, end in batch]


def values_of_many(each: Sequence[Values]) -> Values:
    """Return the values of ORDERS_PLACED, of what ORDER_PLACED would be given for each."""
    return (
        {name: [values[name] for values in each] for name in each[0] if name not in _LINE_COLUMNS}
        | {name: [row for values in each for row in values[name]] for name in _LINE_COLUMNS}
        | {"line_of": [values["order_order_id"] for values in each for _ in values["position"]]}
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
