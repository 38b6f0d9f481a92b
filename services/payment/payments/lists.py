"""Lists of payments: each kind of question has its own statement, and goes on after the last one of the page before.

Ids are UUIDv7, so the order of ids is the order of time: what is asked for meanwhile moves nothing to another page.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from commerce.payment.v1.payment_service_pb2 import ListPaymentsRequest
from sqlalchemy import Integer, select

from services.payment.tables.payments import payments
from services.runtime.bounds import Bounds
from services.runtime.columns import ID
from services.runtime.ids import LAST_ID
from services.runtime.statements import Statement, param, statement

# What is asked for by these alone an index holds in order, whatever their values.
PLAIN = (
    ("store_id",),
    ("store_id", "state"),
    ("store_id", "customer_id"),
    ("store_id", "gateway"),
    ("customer_id",),
)


_p = payments.c
_NAMES = ("store_id", "state", "customer_id", "gateway", "currency_code")
_EQUAL = {name: _p[name] == param(name) for name in _NAMES}
_BOUNDS = Bounds(time="created", amount="amount")
_CREATED = _BOUNDS.of_time(_p.payment_id, _p.create_time)
_AMOUNT = _BOUNDS.of_amount(_p.amount_minor_units)


def question(
    asked: ListPaymentsRequest, position: Sequence[str] | None = None
) -> tuple[Statement, dict[str, Any]]:
    """Return the statement of a list that goes on after a position, and its values but for `size`."""
    given = tuple(name for name in _NAMES if getattr(asked, name))
    (before,) = position or (LAST_ID,)
    values = {name: getattr(asked, name) for name in given} | {"before": before}
    if given in PLAIN and not _BOUNDS.bound_time(asked):
        return _page(given), values
    return _page(given, bounded=True), values | _BOUNDS.values(asked)


@cache
def _page(given: Sequence[str], bounded: bool = False) -> Statement:
    """Make the statement of a kind of question. Which index answers one with bounds depends on what is looked for."""
    conditions = [_EQUAL[name] for name in given]
    if bounded:
        conditions += (*_CREATED, *_AMOUNT) if "currency_code" in given else _CREATED
    return statement(
        select(payments)
        .where(*conditions, _p.payment_id < param("before", ID))
        .order_by(_p.payment_id.desc())
        .limit(param("size", Integer)),
        f"payments by {', '.join(given)}",
        fresh_plan=bounded,
    )
