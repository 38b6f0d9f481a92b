"""Providers' webhooks: each stored once, and applied in the transaction that stores it, like any other outcome."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from sqlalchemy import Integer, Text, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.payments import queries
from services.payment.payments.driver import Driver, locked
from services.payment.rules import disputes, transitions
from services.payment.rules.change import Change
from services.payment.rules.life import Contradiction
from services.payment.rules.outcomes import Notice
from services.payment.rules.payment import Kind, Operation, Payment
from services.payment.tables.payments import webhooks
from services.runtime import cards, logs, telemetry, times
from services.runtime.columns import TIME
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.statements import param, statement
from services.runtime.telemetry import Trace
from services.runtime.work import Work

_w = webhooks.c
_key = (_w.gateway == param("gateway"), _w.provider_event_id == param("provider_event_id"))
# As the index has it.
_parked = _w.problem != text("''")
_place = (_w.receive_time, _w.gateway, _w.provider_event_id)

WEBHOOK_STORED = statement(
    upsert(webhooks)
    .values(
        gateway=param("gateway"),
        provider_event_id=param("provider_event_id"),
        payload=param("payload"),
        receive_time=func.now(),
    )
    .on_conflict_do_nothing()
    .returning(_w.provider_event_id),
    "webhook stored",
)
WEBHOOK_PARKED = statement(update(webhooks).where(*_key).values(problem=param("problem")), "webhook parked")
WEBHOOK_LOCKED = statement(select(webhooks).where(*_key).with_for_update(), "webhook locked")
WEBHOOK = statement(select(webhooks).where(*_key), "webhook")
_after = tuple_(param("before_time", TIME), param("before_gateway", Text), param("before_event", Text))
WEBHOOKS_PARKED = statement(
    select(*_place, _w.problem)
    .where(_parked, tuple_(*_place) < _after)
    .order_by(*(column.desc() for column in _place))
    .limit(param("size", Integer)),
    "webhooks parked",
)


async def take(notice: Notice, gateway: str, body: bytes, driver: Driver, work: Work) -> None:
    """Store a webhook and apply it. One that cannot be applied is parked with its problem, and an alarm."""
    key = {"gateway": gateway, "provider_event_id": notice.event_id}
    if not await work.rows(WEBHOOK_STORED, payload=cards.masked_bytes(body), **key):
        return
    problem = await apply(notice, gateway, driver, work)
    if problem:
        logs.log.error("webhook parked", problem=problem, **key)
        await work.rows(WEBHOOK_PARKED, problem=problem, **key)


async def apply(notice: Notice, gateway: str, driver: Driver, work: Work) -> str:
    """Do what a webhook tells. Return what is wrong, or nothing."""
    if notice.alarm or not (notice.told or notice.dispute or notice.ask):
        return notice.alarm
    payment = await _concerned(notice, gateway, work)
    if payment is None:
        return "neither the operation nor the charge is ours"
    if payment.gateway != gateway:
        return f"the payment is {payment.gateway}'s"
    operation = _operation(notice, payment)
    try:
        change = _change(notice, payment, operation)
    except Contradiction as contradiction:
        if notice.dispute and payment.unsettled(Kind.CAPTURE):
            raise _too_early() from None
        return str(contradiction)
    if change is not None:
        # What comes of it belongs to the order's trace, not to the provider's request.
        with telemetry.span(f"settle {operation.kind}", parent=Trace.parse(operation.traceparent)):
            await driver.change(change, work)
    elif notice.ask:
        await _ask_soon(payment, driver, work)
    return ""


def _too_early() -> Refusal:
    """Refuse what may be true as soon as it is known what became of a capture: the provider sends it again."""
    return Refusal(ErrorReason.ERROR_REASON_UNAVAILABLE, "What it is about is not known yet", retry_seconds=1)


async def _concerned(notice: Notice, gateway: str, work: Work) -> Payment | None:
    if notice.operation_id:
        lock = queries.PAYMENT_OF_OPERATION_LOCKED
        return await locked(work, lock, operation_id=notice.operation_id)
    # Some providers name a charge by what was captured of it.
    for lock in (queries.PAYMENT_OF_REFERENCE_LOCKED, queries.PAYMENT_OF_OPERATION_REFERENCE_LOCKED):
        payment = await locked(work, lock, gateway=gateway, provider_reference=notice.charge_reference)
        if payment is not None:
            return payment
    return None


def _operation(notice: Notice, payment: Payment) -> Operation:
    known = (one for one in payment.operations if one.operation_id == notice.operation_id)
    return next(known, payment.authorization)


def _change(notice: Notice, payment: Payment, operation: Operation) -> Change | None:
    now = times.now()
    if notice.dispute:
        return disputes.told(payment, notice.dispute, str(new_id()), now)
    if notice.told and notice.operation_id:
        return transitions.settled(payment, operation, notice.told, now)
    if notice.told:
        return transitions.unasked(payment, notice.told, now)
    return None


async def _ask_soon(payment: Payment, driver: Driver, work: Work) -> None:
    """Have the provider asked what became of what is open, for something has."""
    operation = payment.pending
    if operation is not None:
        await work.rows(queries.OPERATION_LATER, operation_id=operation.operation_id, due_seconds=0.0)
        work.after_commit(driver.bell.ring)
