"""What customers have saved to pay with."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, SmallInteger, Table, Text

from services.payment.tables.metadata import METADATA
from services.runtime.columns import text_column, time_column, uuid_column

# How customers pay: providers' tokens. One that was removed stays, for its payments.
payment_methods = Table(
    "payment_methods",
    METADATA,
    uuid_column("payment_method_id", primary_key=True),
    uuid_column("customer_id"),
    uuid_column("store_id"),
    Column("gateway", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("brand", Text, nullable=False),
    text_column("last_four"),
    Column("expiry_month", SmallInteger, nullable=False),
    Column("expiry_year", SmallInteger, nullable=False),
    Column("preferred", Boolean, nullable=False),
    time_column("create_time"),
    time_column("remove_time", nullable=True),
    CheckConstraint("last_four ~ '^([0-9]{4})?$'", name="payment_methods_last_four"),
    CheckConstraint("NOT (preferred AND remove_time IS NOT NULL)", name="payment_methods_kept"),
)
_m = payment_methods.c
_kept = _m.remove_time.is_(None)
Index("payment_methods_once", _m.customer_id, _m.store_id, _m.token, unique=True, postgresql_where=_kept)
Index("payment_methods_by_token", _m.token, postgresql_where=_kept)
Index("payment_methods_preferred", _m.customer_id, _m.store_id, unique=True, postgresql_where=_m.preferred)
