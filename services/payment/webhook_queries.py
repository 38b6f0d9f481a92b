"""The SQL of providers' webhooks, by name."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.tables import webhooks
from services.runtime.statements import param, statement

_w = webhooks.c
_key = (_w.gateway == param("gateway"), _w.provider_event_id == param("provider_event_id"))
_parked = _w.problem != ""

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
