"""How much each customer buys a month: kept in the transactions that place and move orders, so that it is exact."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date
from typing import Any

from commerce.common.v1.money_pb2 import Money
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import Order
from sqlalchemy import ARRAY, Date, select, tuple_, update

from services.order import prices
from services.order.queries import BIGINTS, INTEGERS
from services.order.rules import Bought
from services.order.tables import customer_months
from services.runtime.statements import given, param, statement
from services.runtime.tables import TEXTS, UUIDS
from services.runtime.times import timestamp
from services.runtime.work import Work

_KEY = ("customer_id", "month", "currency_code")
_COLUMNS = {
    "customer_id": UUIDS,
    "month": ARRAY(Date),
    "currency_code": TEXTS,
    "cancelled": INTEGERS,
    "paid": INTEGERS,
    "spent": BIGINTS,
}
_c, _given = customer_months.c, given(*_COLUMNS.items())


def _key(columns: Any) -> Any:
    return tuple_(*(columns[name] for name in _KEY))


# Locked in one order everywhere, so that two batches cannot wait for each other.
_locked = (
    select(_given)
    .join(customer_months, _key(_c) == _key(_given.c))
    .order_by(*(_c[name] for name in _KEY))
    .with_for_update(of=customer_months)
    .cte("locked")
)
CHANGED = statement(
    update(customer_months)
    .where(_key(_c) == _key(_locked.c))
    .values(
        cancelled=_c.cancelled + _locked.c.cancelled,
        paid=_c.paid + _locked.c.paid,
        spent_minor_units=_c.spent_minor_units + _locked.c.spent,
    ),
    "customers' months changed",
)
MONTHS = statement(
    select(customer_months)
    .where(_c.customer_id == param("customer_id"))
    .order_by(_c.month, _c.currency_code),
    "customer's months",
)


async def change(work: Work, changes: Iterable[tuple[Order, Bought]]) -> None:
    """Add to the months of orders what has changed. The work holds the locks of the orders and of their coupons."""
    sums: dict[tuple[str, date, str], list[int]] = {}
    for order, bought in changes:
        if any(bought):
            # When it was placed, in UTC.
            month = order.create_time.ToDatetime(tzinfo=UTC).date().replace(day=1)
            added = sums.setdefault((order.customer_id, month, order.total.currency_code), [0, 0, 0])
            added[:] = map(sum, zip(added, bought, strict=True))
    if sums:
        columns = zip(*((*key, *added) for key, added in sums.items()), strict=True)
        await work.rows(CHANGED, **dict(zip(_COLUMNS, map(list, columns), strict=True)))


def stats_of(customer_id: str, rows: Sequence[Mapping[str, Any]]) -> rpc.GetCustomerOrderStatsResponse:
    """Add up the months of a customer, the first one first."""
    orders, spent, paid = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        orders[f"{row['month']:%Y-%m}"] += row["orders"]
        spent[row["currency_code"]] += row["spent_minor_units"]
        paid[row["currency_code"]] += row["paid"]
    stats = rpc.GetCustomerOrderStatsResponse(
        customer_id=customer_id,
        total_orders=orders.total(),
        cancelled_orders=sum(row["cancelled"] for row in rows),
        spending=[_spending(code, spent[code], paid[code]) for code in sorted(paid) if paid[code]],
        months=[rpc.MonthlyOrders(month=month, orders=number) for month, number in orders.items()],
    )
    if rows:
        stats.cancellation_rate = stats.cancelled_orders / stats.total_orders
        stats.first_order_time.CopyFrom(timestamp(min(row["first_order_time"] for row in rows)))
        stats.last_order_time.CopyFrom(timestamp(max(row["last_order_time"] for row in rows)))
    return stats


def _spending(code: str, spent: int, paid: int) -> rpc.CustomerSpending:
    return rpc.CustomerSpending(
        total_spent=Money(currency_code=code, minor_units=spent),
        paid_orders=paid,
        average_order_value=Money(currency_code=code, minor_units=prices.rounded(spent, 1, paid)),
    )
