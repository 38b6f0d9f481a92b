"""Payment methods that customers have saved: the SQL, and what a request means that names one.

Whoever changes a customer's methods holds the customer's lock: one is preferred, and no more than MOST are kept.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_method_service_pb2 import PaymentMethod
from commerce.payment.v1.payment_service_pb2 import AuthorizePaymentRequest
from sqlalchemy import Text, exists, false, func, literal_column, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.rules.life import PENDING, UNKNOWN
from services.payment.tables.methods import payment_methods
from services.payment.tables.payments import payments
from services.runtime.database import Runs
from services.runtime.ids import is_uuid
from services.runtime.refusals import Refusal
from services.runtime.statements import param, statement
from services.runtime.times import timestamp

# So many a customer keeps in a store.
MOST = 50
# The one that the customer prefers.
DEFAULT = "default"
SHOWN = ("brand", "last_four", "expiry_month", "expiry_year")

_m = payment_methods.c
_kept = _m.remove_time.is_(None)
_in_store = (_m.customer_id == param("customer_id"), _m.store_id == param("store_id"))
_one = _m.payment_method_id == param("payment_method_id")
_sorted = (_m.preferred.desc(), _m.payment_method_id.desc())
_lock = func.concat("payment methods of ", param("customer_id", Text))

CUSTOMER_LOCKED = statement(
    select(func.pg_advisory_xact_lock(func.hashtextextended(_lock, literal_column("0")))), "customer locked"
)
METHODS = statement(
    select(payment_methods)
    .where(_m.customer_id == param("customer_id"), _kept)
    .order_by(*_sorted)
    .limit(literal_column(str(MOST))),
    "methods of customer",
)
METHODS_IN_STORE = statement(
    select(payment_methods).where(*_in_store, _kept).order_by(*_sorted), "methods of customer in store"
)
METHOD = statement(
    select(payment_methods).where(_one, _m.customer_id == param("customer_id"), _kept), "method"
)
_added = upsert(payment_methods).values(
    **{name: param(name) for name in _m.keys() if name not in ("preferred", "remove_time")},
    preferred=false(),
)
METHOD_SAVED = statement(
    _added.on_conflict_do_update(
        index_elements=["customer_id", "store_id", "token"],
        index_where=_kept,
        set_={name: _added.excluded[name] for name in SHOWN},
    ).returning(payment_methods),
    "method saved",
)
NONE_PREFERRED = statement(
    update(payment_methods).where(*_in_store, _m.preferred).values(preferred=false()), "none preferred"
)
METHOD_PREFERRED = statement(
    update(payment_methods).where(_one).values(preferred=true()).returning(payment_methods),
    "method preferred",
)
_other, _p = payment_methods.alias("other"), payments.c
# Whether somebody else keeps the same token, and whether a payment of its customer is being authorized with it.
METHOD_USED = statement(
    select(
        exists()
        .where(
            _other.c.token == _m.token,
            _other.c.remove_time.is_(None),
            _other.c.payment_method_id != _m.payment_method_id,
        )
        .label("elsewhere"),
        exists()
        .where(
            _p.customer_id == _m.customer_id,
            _p.payment_method == _m.token,
            or_(_p.state == PENDING, _p.state == UNKNOWN),
        )
        .label("now"),
    ).where(_one),
    "method used",
)
METHOD_REMOVED = statement(
    update(payment_methods)
    .where(_one, _kept)
    .values(preferred=false(), remove_time=func.now())
    .returning(_m.store_id),
    "method removed",
)

_DEFAULT_TOKEN = statement(select(_m.token).where(*_in_store, _m.preferred), "default token")
_SAVED_TOKEN = statement(
    select(_m.token, _kept.label("kept")).where(*_in_store, _one), "token of saved method"
)
_PAID_WITH = statement(
    select(payments.c.payment_method.label("token")).where(payments.c.order_id == param("order_id")),
    "paid with",
)


def method_of(row: Mapping[str, Any]) -> PaymentMethod:
    """Return the payment method that a row is; its token stays here."""
    return PaymentMethod(
        payment_method_id=str(row["payment_method_id"]),
        customer_id=str(row["customer_id"]),
        store_id=str(row["store_id"]),
        gateway=row["gateway"],
        default=row["preferred"],
        create_time=timestamp(row["create_time"]),
        **{name: row[name] for name in SHOWN},
    )


async def token(request: AuthorizePaymentRequest, db: Runs) -> str:
    """Return the provider's token that a request means. Refused with PAYMENT_METHOD_NOT_FOUND.

    An order's payment keeps its method, though the default is another one by now, or the saved one gone.
    """
    wanted = request.payment_method
    if wanted != DEFAULT and not is_uuid(wanted):
        return wanted
    paid = await db.row(_PAID_WITH, order_id=request.order_id)
    whose = {"customer_id": request.customer_id, "store_id": request.store_id}
    if wanted == DEFAULT:
        found = paid or await db.row(_DEFAULT_TOKEN, **whose)
        if found is not None:
            return str(found["token"])
    else:
        saved = await db.row(_SAVED_TOKEN, **whose, payment_method_id=str(UUID(wanted)))
        if saved and (saved["kept"] or (paid and paid["token"] == saved["token"])):
            return str(saved["token"])
    raise not_found(wanted)


def not_found(payment_method_id: str) -> Refusal:
    """Refuse because the customer has no such payment method in the store."""
    return Refusal(
        ErrorReason.ERROR_REASON_PAYMENT_METHOD_NOT_FOUND,
        "The customer has no such payment method",
        payment_method_id=payment_method_id,
    )
