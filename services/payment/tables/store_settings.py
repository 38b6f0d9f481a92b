"""What each store has set."""

from sqlalchemy import Column, LargeBinary, Table

from services.payment.tables.metadata import METADATA
from services.runtime.columns import time_column, uuid_column

# What each store has set, as a PaymentSettings message.
store_settings = Table(
    "store_settings",
    METADATA,
    uuid_column("store_id", primary_key=True),
    Column("settings", LargeBinary, nullable=False),
    time_column("update_time"),
)
