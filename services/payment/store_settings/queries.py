"""What a store has set, or the defaults."""

import time
from collections import OrderedDict

from commerce.payment.v1.settings_service_pb2 import PaymentSettings
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from services.payment.rules.payment import ON_ACCEPTANCE
from services.payment.tables.store_settings import store_settings
from services.runtime.database import Runs
from services.runtime.statements import param, statement
from services.runtime.work import Call

ACTION_WAIT_SECONDS = 900
# Settings are kept for so long: another replica's change is seen as late as that.
KEPT_SECONDS = 2.0
_MOST = 10_000

SETTINGS = statement(
    select(store_settings.c.settings).where(store_settings.c.store_id == param("store_id")), "settings"
)
_set = upsert(store_settings).values(
    store_id=param("store_id"), settings=param("settings"), update_time=func.now()
)
SETTINGS_SET = statement(
    _set.on_conflict_do_update(
        index_elements=["store_id"],
        set_={"settings": _set.excluded.settings, "update_time": _set.excluded.update_time},
    ),
    "settings set",
)

_kept: OrderedDict[str, tuple[float, PaymentSettings]] = OrderedDict()


async def of(db: Runs, store_id: str) -> PaymentSettings:
    """Return a store's settings, at most KEPT_SECONDS old; not to be changed."""
    store_id = store_id.lower()
    kept = _kept.get(store_id)
    if kept and kept[0] > time.monotonic():
        return kept[1]
    settings = await read(db, store_id)
    _kept[store_id] = time.monotonic() + KEPT_SECONDS, settings
    _kept.move_to_end(store_id)
    if len(_kept) > _MOST:
        _kept.popitem(last=False)
    return settings


async def read(db: Runs, store_id: str) -> PaymentSettings:
    """Return a store's settings as they are now, with the defaults where nothing is set."""
    row = await db.row(SETTINGS, store_id=store_id)
    return whole(PaymentSettings.FromString(row["settings"]) if row else PaymentSettings())


async def replace(call: Call, store_id: str, settings: PaymentSettings) -> PaymentSettings:
    """Set a store's settings, and return them."""
    store_id = store_id.lower()
    await call.db.rows(SETTINGS_SET, store_id=store_id, settings=settings.SerializeToString())
    call.after_commit(lambda: _forget(store_id))
    return whole(settings)


def whole(settings: PaymentSettings) -> PaymentSettings:
    """Return settings with the defaults where nothing is set."""
    full = PaymentSettings()
    full.CopyFrom(settings)
    full.capture_mode = full.capture_mode or ON_ACCEPTANCE
    if not full.action_wait.ToNanoseconds():
        full.action_wait.FromSeconds(ACTION_WAIT_SECONDS)
    return full


def _forget(store_id: str) -> None:
    _kept.pop(store_id, None)
