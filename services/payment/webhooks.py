"""Providers' webhooks: each stored once, and applied in the transaction that stores it, like any other outcome."""

from services.payment import queries, rules
from services.payment.driver import Driver, locked
from services.payment.gateways import Notice
from services.payment.rules import Contradiction
from services.runtime import logs, telemetry
from services.runtime.telemetry import Trace
from services.runtime.work import Work


async def take(notice: Notice, gateway: str, body: bytes, driver: Driver, work: Work) -> None:
    """Store a webhook and apply it. One that cannot be applied is parked with its problem, and an alarm."""
    key = {"gateway": gateway, "provider_event_id": notice.event_id}
    if not await work.rows(queries.WEBHOOK_STORED, payload=body, **key):
        return
    problem = await _apply(notice, gateway, driver, work)
    if problem:
        logs.log.error("webhook parked", problem=problem, **key)
        await work.rows(queries.WEBHOOK_PARKED, problem=problem, **key)


async def _apply(notice: Notice, gateway: str, driver: Driver, work: Work) -> str:
    """Return what is wrong, or nothing."""
    if notice.told is None or not notice.operation_id:
        return f"{notice.type} tells of no operation"
    payment = await locked(work, queries.PAYMENT_OF_OPERATION_LOCKED, operation_id=notice.operation_id)
    if payment is None:
        return "the operation is not ours"
    if payment.gateway != gateway:
        return f"the operation is {payment.gateway}'s"
    operation = payment.operation(notice.operation_id)
    try:
        change = rules.settled(payment, operation, notice.told, queries.now())
    except Contradiction as contradiction:
        return str(contradiction)
    if change is not None:
        # What comes of it belongs to the order's trace, not to the provider's request.
        with telemetry.span(f"settle {operation.kind}", parent=Trace.parse(operation.traceparent)):
            await driver.change(change, work)
    return ""
