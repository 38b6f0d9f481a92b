"""Stores' settings: how their orders are priced, and how long they wait."""

from datetime import timedelta

from commerce.order.v1.settings_service_pb2 import OrderSettings

from services.order.tables import order_settings
from services.runtime.database import Runs
from services.runtime.store_settings import StoreSettings

PAYMENT_WAIT_SECONDS = 3600

STORED = StoreSettings(order_settings)


def settings_of(stored: bytes | None) -> OrderSettings:
    """Return a store's settings as they are stored, or the defaults of a store that never set any."""
    settings = OrderSettings.FromString(stored or b"")
    if not payment_wait(settings):
        settings.payment_wait.FromSeconds(PAYMENT_WAIT_SECONDS)
    _say_zeros(settings)
    return settings


def _say_zeros(settings: OrderSettings) -> None:
    """Set what was stored when a zero could be left out."""
    for rate in settings.tax_rates:
        rate.rate_ppm = rate.rate_ppm
    for shipping in settings.shipping_rates:
        shipping.fee.minor_units = shipping.fee.minor_units


async def of_store(db: Runs, store_id: str) -> OrderSettings:
    """Return a store's settings."""
    return settings_of(await STORED.read(db, store_id))


def payment_wait(settings: OrderSettings) -> timedelta:
    """Return how long an order may wait to be paid for."""
    wait = settings.payment_wait
    return timedelta(seconds=wait.seconds, microseconds=wait.nanos // 1000)
