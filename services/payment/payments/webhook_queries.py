"""The SQL of providers' webhooks, by name."""

from sqlalchemy import Integer, Text, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.tables.payments import webhooks
from services.runtime.columns import TIME
from services.runtime.statements import param, statement

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
