"""How much each customer buys a month: kept in the transactions that place and move orders, so that it is exact."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from commerce.common.v1.money_pb2 import Money
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import Order
from commerce.order.v1.settings_service_pb2 import OrderSettings
from sqlalchemy import Integer, func, literal_column, select, tuple_, update

from services.order import calendars, prices
from services.order.rules import Bought
from services.order.tables import customer_months, order_settings, orders
from services.runtime import times
from services.runtime.columns import BIGINTS, DATES, INTEGERS, TEXTS, TIMES, UUIDS
from services.runtime.database import Runs
from services.runtime.statements import given, param, statement
from services.runtime.times import timestamp
from services.runtime.work import Work

# A store that said nothing has UTC.
UTC_NAMES = ("", "UTC", "Etc/UTC")
_KEY = ("customer_id", "month", "currency_code")
_COLUMNS = {
    "customer_id": UUIDS,
    "month": DATES,
    "currency_code": TEXTS,
    "cancelled": INTEGERS,
    "paid": INTEGERS,
    "spent": BIGINTS,
}
_c = customer_months.c
# What orders change in their customers' months, an order a row.
_changes = given(*_COLUMNS.items(), ("of", UUIDS), name="changes", prefix="month_")


def _key(columns: Any) -> Any:
    return tuple_(*(columns[name] for name in _KEY))


def _changed(*which: Any) -> Any:
    """Add up the changes of each month, those of `which` orders, and add them to what the month has."""
    key = [_changes.c[name] for name in _KEY]
    sums = (func.sum(_changes.c[name]).label(name) for name in _COLUMNS if name not in _KEY)
    added = select(*key, *sums).where(*which).group_by(*key).cte("added")
    # Locked in one order everywhere, so that two batches cannot wait for each other.
    locked = (
        select(added)
        .join(customer_months, _key(_c) == _key(added.c))
        .order_by(*(_c[name] for name in _KEY))
        .with_for_update(of=customer_months)
        .cte("locked")
    )
    return (
        update(customer_months)
        .where(_key(_c) == _key(locked.c))
        .values(
            cancelled=_c.cancelled + locked.c.cancelled,
            paid=_c.paid + locked.c.paid,
            spent_minor_units=_c.spent_minor_units + locked.c.spent,
        )
    )


CHANGED = statement(_changed(), "customers' months changed")
_is_customers = _c.customer_id == param("customer_id")
BEGUN = statement(
    select(order_settings.c.settings, func.min(_c.month).label("month"))
    .select_from(customer_months.outerjoin(order_settings, order_settings.c.store_id == _c.store_id))
    .where(_is_customers)
    .group_by(order_settings.c.store_id),
    "customer's first month",
)
_none_moved = (literal_column("0", Integer).label(which) for which in ("earlier", "later"))
MONTHS = statement(
    select(customer_months, *_none_moved).where(_is_customers).order_by(_c.month, _c.currency_code),
    "customer's months",
)
_SPAN = {"begin": TIMES, "end": TIMES, "first_id": UUIDS, "last_id": UUIDS}
_edge = given(
    ("month", DATES),
    *((f"{which}_{name}", kind) for which in ("earlier", "later") for name, kind in _SPAN.items()),
    name="edge",
    prefix="edge_",
)


def _moved(which: str) -> Any:
    """Count the orders of a month and a currency that are of another month in the zone: by the ids of a few hours."""
    begin, end, first_id, last_id = (_edge.c[f"{which}_{name}"] for name in _SPAN)
    of_customer = orders.c.customer_id == _c.customer_id, orders.c.currency_code == _c.currency_code
    by_id = orders.c.order_id >= first_id, orders.c.order_id < last_id
    by_time = orders.c.create_time >= begin, orders.c.create_time < end
    counted = select(func.count()).select_from(orders).where(*of_customer, *by_id, *by_time)
    return counted.correlate(customer_months, _edge).scalar_subquery().label(which)


# One statement sees both at one instant: an order is counted in one month, whenever it comes.
LOCAL_MONTHS = statement(
    select(customer_months, _moved("earlier"), _moved("later"))
    .select_from(customer_months.outerjoin(_edge, _edge.c.month == _c.month))
    .where(_is_customers)
    .order_by(_c.month, _c.currency_code),
    "customer's months in a zone",
)


def changed_by(moved: Any) -> Any:
    """A part of a statement that moves orders: what CHANGED does, by the same values, for those that it moved."""
    return _changed(_changes.c["of"].in_(select(moved.c.order_id))).cte("months_changed")


def values_of(changes: Iterable[tuple[Order, Bought]]) -> dict[str, list[Any]]:
    """Return the values of CHANGED."""
    rows = [(*_month(order), *bought, order.order_id) for order, bought in changes if any(bought)]
    names = [f"month_{name}" for name in (*_COLUMNS, "of")]
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


async def change(work: Work, changes: Iterable[tuple[Order, Bought]]) -> None:
    """Add to the months of orders what has changed. The work holds the locks of the orders and of their coupons."""
    values = values_of(changes)
    if values["month_of"]:
        await work.rows(CHANGED, **values)


def _month(order: Order) -> tuple[str, date, str]:
    """The key of an order's month: that in which it was placed, in UTC."""
    month = times.time_of(order.create_time).date().replace(day=1)
    return order.customer_id, month, order.total.currency_code


async def of_customer(db: Runs, customer_id: str) -> Sequence[Mapping[str, Any]]:
    """Return the months of a customer, and how many orders of each are of another one in the store's time zone."""
    begun = await db.row(BEGUN, customer_id=customer_id)
    if begun is None:
        return []
    zone = OrderSettings.FromString(begun["settings"] or b"").time_zone
    if zone in UTC_NAMES:
        return await db.rows(MONTHS, customer_id=customer_id)
    # An order may come while this is asked, and be the first of its month.
    last = calendars.after(times.now().date().replace(day=1))
    return await db.rows(LOCAL_MONTHS, customer_id=customer_id, **calendars.edges(zone, begun["month"], last))


def stats_of(customer_id: str, rows: Sequence[Mapping[str, Any]]) -> rpc.GetCustomerOrderStatsResponse:
    """Add up the months of a customer, the first one first."""
    placed, spent, paid = Counter[date](), Counter[str](), Counter[str]()
    for row in rows:
        month, earlier, later = row["month"], row["earlier"], row["later"]
        for of, number in (
            (calendars.before(month), earlier),
            (month, row["orders"] - earlier - later),
            (calendars.after(month), later),
        ):
            placed[of] += number
        spent[row["currency_code"]] += row["spent_minor_units"]
        paid[row["currency_code"]] += row["paid"]
    stats = rpc.GetCustomerOrderStatsResponse(
        customer_id=customer_id,
        total_orders=placed.total(),
        cancelled_orders=sum(row["cancelled"] for row in rows),
        spending=[_spending(code, spent[code], paid[code]) for code in sorted(paid) if paid[code]],
        months=[
            rpc.MonthlyOrders(month=f"{month:%Y-%m}", orders=placed[month])
            for month in sorted(placed)
            if placed[month]
        ],
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
