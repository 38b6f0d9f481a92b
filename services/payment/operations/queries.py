"""The SQL of operations that are not settled, or failed, by name."""

from typing import Any

from sqlalchemy import (
    Integer,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    text,
    union_all,
)

from services.payment.payments.queries import OPERATION
from services.payment.rules.payment import OPERATION_SUCCEEDED, OPERATION_WAITING, Kind
from services.payment.tables.payments import FAILED, OPEN, operations, payments
from services.runtime.columns import TIME
from services.runtime.statements import param, statement

# Longer than a weekend and a holiday; what nobody has mended by then is in the payment's own history.
FAILED_DAYS = 30

_gateway = param("gateway", Text)
_asked_for = or_(_gateway == literal(""), operations.c.gateway == _gateway)
_size = param("size", Integer)


def _ids(condition: str) -> Any:
    """Each kind has its index, and there are few of them."""
    return select(operations.c.operation_id, operations.c.create_time).where(text(condition), _asked_for)


_open = union_all(
    _ids(OPEN),
    _ids(f"operations.state = {OPERATION_WAITING}"),
).subquery("open")
_longest = (
    select(_open.c.operation_id, cast(null(), TIME).label("fail_time"))
    .order_by(_open.c.create_time, _open.c.operation_id)
    .limit(_size)
    .subquery("longest")
)
_later = operations.alias("later")
_left = case(
    (operations.c.kind == Kind.CAPTURE, payments.c.amount_minor_units - payments.c.captured_minor_units),
    else_=payments.c.captured_minor_units - payments.c.refunded_minor_units,
)
# A refund by hand of the same amount makes good for a return. A capture by hand cannot be told from a parcel's.
_the_same_by_hand = and_(
    _later.c.kind == Kind.REFUND,
    _later.c.wanted_minor_units == 0,
    _later.c.amount_minor_units == operations.c.amount_minor_units,
)
# What succeeds later may be for another parcel or return, as long as enough is left for this one.
_done_after_all = exists().where(
    _later.c.payment_id == operations.c.payment_id,
    _later.c.kind == operations.c.kind,
    _later.c.state == OPERATION_SUCCEEDED,
    _later.c.create_time > operations.c.create_time,
    or_(_left < operations.c.amount_minor_units, _the_same_by_hand),
)
_asked_for_anew = exists().where(
    _later.c.payment_id == operations.c.payment_id,
    _later.c.request_id == operations.c.request_id,
    _later.c.create_time > operations.c.create_time,
)
_failed = (
    select(operations.c.operation_id, operations.c.settle_time.label("fail_time"))
    .join(payments, payments.c.payment_id == operations.c.payment_id)
    .where(
        text(FAILED),
        operations.c.settle_time > func.now() - func.make_interval(0, 0, 0, FAILED_DAYS),
        _asked_for,
        ~_done_after_all,
        ~_asked_for_anew,
    )
    .order_by(operations.c.settle_time.desc())
    .limit(_size)
    .subquery("failed")
)
_page = union_all(select(_longest), select(_failed)).subquery("page")
# Payments, each with one operation; of the open ones that which was recorded first comes first.
OPERATIONS_UNSETTLED = statement(
    select(payments, *OPERATION)
    .select_from(
        _page.join(operations, operations.c.operation_id == _page.c.operation_id).join(
            payments, payments.c.payment_id == operations.c.payment_id
        )
    )
    .order_by(_page.c.fail_time.desc().nulls_first(), operations.c.create_time, operations.c.operation_id)
    .limit(_size),
    "operations unsettled",
)
