"""What a store has set, or the defaults."""

import time
from collections import OrderedDict

from commerce.payment.v1.settings_service_pb2 import PaymentSettings
from sqlalchemy import func

from services.payment.rules.payment import ON_ACCEPTANCE
from services.payment.tables.store_settings import store_settings
from services.runtime.database import Runs
from services.runtime.store_settings import StoreSettings
from services.runtime.work import Call

ACTION_WAIT_SECONDS = 900
# Settings are kept for so long: another replica's change is seen as late as that.
KEPT_SECONDS = 2.0
_MOST = 10_000

_STORED = StoreSettings(store_settings, update_time=func.now())

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
    return whole(PaymentSettings.FromString(await _STORED.read(db, store_id)))


async def replace(call: Call, store_id: str, settings: PaymentSettings) -> PaymentSettings:
    """Set a store's settings, and return them."""
    store_id = store_id.lower()
    await _STORED.replace(call.db, store_id, settings)
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
