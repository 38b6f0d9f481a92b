"""Lists of orders: each kind of question has its own statement, and goes on after the last order of the page before.

Ids are UUIDv7, so the order of ids is the order of time: what is placed meanwhile moves nothing to another page. Only a
coupon that is added meanwhile does, where totals are sorted.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from commerce.order.v1.order_pb2 import Order
from commerce.order.v1.order_service_pb2 import ListOrdersRequest, OrderSorting
from sqlalchemy import Integer, select, tuple_

from services.order.queries import SHOWN
from services.order.tables import orders
from services.runtime.bounds import Bounds
from services.runtime.ids import LAST_ID, first_id
from services.runtime.statements import Statement, param, statement

NEWEST, OLDEST = OrderSorting.ORDER_SORTING_NEWEST_FIRST, OrderSorting.ORDER_SORTING_OLDEST_FIRST
DESCENDING = (NEWEST, OrderSorting.ORDER_SORTING_LARGEST_FIRST)
# What is asked for by these alone, newest first, an index holds in order, whatever their values.
PLAIN = (("store_id",), ("store_id", "state"), ("store_id", "customer_id"), ("customer_id",))

# Where a list begins, by whether it falls.
_START = {True: (LAST_ID, 2**63 - 1), False: (str(first_id(0)), -1)}

_o = orders.c
_EQUAL = {name: _o[name] == param(name) for name in ("store_id", "state", "customer_id", "currency_code")}
_BOUNDS = Bounds(time="placed", amount="total")
_PLACED = _BOUNDS.of_time(_o.order_id, _o.create_time)
_TOTAL = _BOUNDS.of_amount(_o.total_minor_units)


def question(
    asked: ListOrdersRequest, position: Sequence[str] | None = None
) -> tuple[Statement, dict[str, Any]]:
    """Return the statement of a list that goes on after a position, and its values but for `size`."""
    order_by = asked.order_by or NEWEST
    given = tuple(name for name in _EQUAL if getattr(asked, name))
    after_id, after_total = position or _START[order_by in DESCENDING]
    values = {name: getattr(asked, name) for name in given}
    values |= {"after_order_id": after_id, "after_total_minor_units": int(after_total)}
    if given in PLAIN and order_by == NEWEST and not _BOUNDS.bound_time(asked):
        return _page(given, order_by), values
    return _page(given, order_by, bounded=True), values | _BOUNDS.values(asked)


def position(order: Order) -> list[str]:
    """Return where a list stands after an order."""
    return [order.order_id, str(order.total.minor_units)]


@cache
def _page(given: Sequence[str], order_by: OrderSorting.ValueType, bounded: bool = False) -> Statement:
    """Make the statement of a kind of question. Which index answers one with bounds depends on what is looked for."""
    keys = [_o.order_id] if order_by in (NEWEST, OLDEST) else [_o.total_minor_units, _o.order_id]
    falls = order_by in DESCENDING
    place, after = tuple_(*keys), tuple_(*(param(f"after_{key.name}", key.type) for key in keys))
    conditions = [_EQUAL[name] for name in given]
    if bounded:
        conditions += (*_PLACED, *_TOTAL) if "currency_code" in given else _PLACED
    page = (
        select(*SHOWN)
        .where(*conditions, place < after if falls else place > after)
        .order_by(*(key.desc() if falls else key for key in keys))
        .limit(param("size", Integer))
    )
    return statement(page, f"orders by {', '.join(given)}", fresh_plan=bounded)
