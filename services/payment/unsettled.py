"""The SQL of operations that are not settled, by name."""

from typing import Any

from sqlalchemy import Integer, Text, literal, or_, select, text, union_all

from services.payment.payments import OPERATION_WAITING
from services.payment.queries import OPERATION
from services.payment.tables import OPEN, operations, payments
from services.runtime.statements import param, statement

_gateway = param("gateway", Text)
_asked_for = or_(_gateway == literal(""), operations.c.gateway == _gateway)


def _ids(condition: str) -> Any:
    """Each kind has its index, and there are few of them."""
    return select(operations.c.operation_id).where(text(condition), _asked_for)


_unsettled = union_all(
    _ids(OPEN),
    _ids(f"operations.state = {OPERATION_WAITING}"),
).subquery("unsettled")
_page = (
    select(_unsettled.c.operation_id)
    .order_by(_unsettled.c.operation_id)
    .limit(param("size", Integer))
    .subquery("page")
)
# Payments, each with one operation; the one that was recorded first comes first.
OPERATIONS_UNSETTLED = statement(
    select(payments, *OPERATION)
    .select_from(
        _page.join(operations, operations.c.operation_id == _page.c.operation_id).join(
            payments, payments.c.payment_id == operations.c.payment_id
        )
    )
    .order_by(operations.c.operation_id),
    "operations unsettled",
)
