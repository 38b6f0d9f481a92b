"""Coupons and who uses them. Whoever counts a coupon's uses holds its lock; orders are locked before coupons."""

from collections.abc import Mapping, Sequence
from typing import Any

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.coupon_pb2 import Coupon
from commerce.order.v1.coupon_service_pb2 import CreateCouponRequest
from commerce.order.v1.order_pb2 import Order
from sqlalchemy import Integer, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.order import prices
from services.order.tables import coupon_uses, coupons
from services.runtime import times
from services.runtime.columns import UUIDS
from services.runtime.database import Runs
from services.runtime.refusals import Refusal, invalid
from services.runtime.statements import Statement, param, statement
from services.runtime.texts import folded
from services.runtime.times import given_time, timestamp
from services.runtime.work import Work

_c, _u = coupons.c, coupon_uses.c

_by_code = select(coupons).where(_c.store_id == param("store_id"), _c.code == param("code"))
COUPON_BY_CODE = statement(_by_code, "coupon by code")
COUPON_BY_CODE_LOCKED = statement(_by_code.with_for_update(), "coupon by code locked")
COUPON = statement(select(coupons).where(_c.coupon_id == param("coupon_id")), "coupon")
COUPONS = statement(
    select(coupons)
    .where(_c.store_id == param("store_id"), _c.coupon_id < param("before"))
    .order_by(_c.coupon_id.desc())
    .limit(param("size", Integer)),
    "coupons",
)
COUPON_CREATED = statement(
    upsert(coupons)
    .values({column.name: param(column.name) for column in _c if column.name not in ("used", "disabled")})
    .on_conflict_do_nothing(constraint="coupons_code_key")
    .returning(coupons),
    "coupon created",
)
COUPON_DISABLED = statement(
    update(coupons).where(_c.coupon_id == param("coupon_id")).values(disabled=True).returning(coupons),
    "coupon disabled",
)

CUSTOMERS_USES = statement(
    select(func.count().label("uses")).where(
        _u.coupon_id == param("coupon_id"), _u.customer_id == param("customer_id")
    ),
    "customer's uses of a coupon",
)
_counted = update(coupons).where(_c.coupon_id == param("coupon_id")).values(used=_c.used + 1).cte("counted")
COUPON_USED = statement(
    insert(coupon_uses).values({column.name: param(column.name) for column in _u}).add_cte(_counted),
    "coupon used",
)

# Orders that failed no longer use their coupons. Sorted, so that two batches cannot wait for each other.
_ended = _u.order_id == func.any(param("order_ids", UUIDS))
_locked = (
    select(_c.coupon_id)
    .where(_c.coupon_id.in_(select(_u.coupon_id).where(_ended)))
    .order_by(_c.coupon_id)
    .with_for_update()
    .cte("locked")
)
_freed = delete(coupon_uses).where(_ended).returning(_u.coupon_id).cte("freed")
_given_back = (
    select(_freed.c.coupon_id, func.count().label("uses")).group_by(_freed.c.coupon_id).cte("given_back")
)
COUPONS_FREED = statement(
    update(coupons)
    .where(_c.coupon_id == _locked.c.coupon_id, _c.coupon_id == _given_back.c.coupon_id)
    .values(used=_c.used - _given_back.c.uses),
    "coupons freed",
)


async def found(work: Work, order: Order, code: str) -> Coupon:
    """Return the coupon that an order may use.

    Refused with COUPON_NOT_FOUND, COUPON_NOT_APPLICABLE or COUPON_USED_UP.
    """
    return await _checked(work, COUPON_BY_CODE, order, code)


async def use(work: Work, order: Order, code: str) -> Coupon:
    """Have an order use a coupon, and return it. Whoever else wants it waits for this work. Refused as `found`."""
    coupon = await _checked(work, COUPON_BY_CODE_LOCKED, order, code)
    await work.rows(
        COUPON_USED, coupon_id=coupon.coupon_id, order_id=order.order_id, customer_id=order.customer_id
    )
    return coupon


async def free(work: Work, orders: Sequence[Order]) -> None:
    """Give back the uses of orders that failed; the work holds the orders' locks."""
    if orders:
        await work.rows(COUPONS_FREED, order_ids=[order.order_id for order in orders])


def not_found(coupon_id: str) -> Refusal:
    """Refuse because the caller's store has no such coupon."""
    message = f"There is no coupon {coupon_id}"
    return Refusal(ErrorReason.ERROR_REASON_COUPON_NOT_FOUND, message, coupon_id=coupon_id)


async def taken(db: Runs, store_id: str, code: str) -> Refusal:
    """Return the refusal of a code that is taken: COUPON_CODE_TAKEN, with the coupon that has it."""
    row = await db.row(COUPON_BY_CODE, store_id=store_id, code=code)
    assert row is not None  # No coupon is ever deleted.
    coupon = coupon_of(row)
    which = f"The {'disabled ' if coupon.disabled else ''}coupon {coupon.coupon_id}"
    return Refusal(
        ErrorReason.ERROR_REASON_COUPON_CODE_TAKEN,
        f"{which} of the store has the code {code}",
        code=code,
        coupon_id=coupon.coupon_id,
        status="DISABLED" if coupon.disabled else "ACTIVE",
    )


def as_kept(code: str) -> str:
    """Return a code as coupons are kept: in capital letters, and with the hyphen for which a pasted text has a dash."""
    return folded(code).upper()


async def _checked(work: Work, by_code: Statement, order: Order, code: str) -> Coupon:
    row = await work.row(by_code, store_id=order.store_id, code=as_kept(code))
    if row is None:
        raise Refusal(ErrorReason.ERROR_REASON_COUPON_NOT_FOUND, f"There is no coupon {code}", code=code)
    coupon, uses = coupon_of(row), 0
    if coupon.customer_limit:
        # After the lock, not with it: a statement counts what was committed when it began.
        (count,) = await work.rows(CUSTOMERS_USES, coupon_id=coupon.coupon_id, customer_id=order.customer_id)
        uses = count["uses"]
    prices.check_coupon(coupon, prices.subtotal(order.lines), times.now(), uses)
    return coupon


def created(request: CreateCouponRequest, coupon_id: str) -> dict[str, Any]:
    """Return the values of COUPON_CREATED. Refused when the sum and the minimum are in two currencies."""
    amount = request.amount if request.WhichOneof("kind") == "amount" else None
    code = amount.currency_code if amount else request.minimum.currency_code
    if request.HasField("minimum") and request.minimum.currency_code != code:
        raise invalid("minimum", "must be in the currency of the amount")
    return {
        "coupon_id": coupon_id,
        "store_id": request.store_id,
        "code": as_kept(request.code),
        "percentage_ppm": None if amount else request.percentage_ppm,
        "amount_minor_units": amount.minor_units if amount else None,
        "currency_code": code,
        "minimum_minor_units": request.minimum.minor_units,
        "begin_time": given_time(request, "begin_time"),
        "end_time": given_time(request, "end_time"),
        "use_limit": request.limit,
        "customer_limit": request.customer_limit,
        "create_time": times.now(),
    }


def coupon_of(row: Mapping[str, Any]) -> Coupon:
    """Return a row as the contract has it."""
    coupon = Coupon(
        coupon_id=str(row["coupon_id"]),
        store_id=str(row["store_id"]),
        code=row["code"],
        limit=row["use_limit"],
        customer_limit=row["customer_limit"],
        used=row["used"],
        disabled=row["disabled"],
        create_time=timestamp(row["create_time"]),
    )
    code = row["currency_code"]
    if row["amount_minor_units"] is None:
        coupon.percentage_ppm = row["percentage_ppm"]
    else:
        coupon.amount.CopyFrom(Money(currency_code=code, minor_units=row["amount_minor_units"]))
    if code and (row["minimum_minor_units"] or row["amount_minor_units"] is None):
        coupon.minimum.CopyFrom(Money(currency_code=code, minor_units=row["minimum_minor_units"]))
    for name in ("begin_time", "end_time"):
        if row[name]:
            getattr(coupon, name).CopyFrom(timestamp(row[name]))
    return coupon
