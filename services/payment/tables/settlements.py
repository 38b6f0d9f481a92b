"""Providers' reports, their lines, and where they differ from our books."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)

from services.payment.tables.metadata import METADATA
from services.runtime.columns import ID, text_column, time_column, uuid_column

# Providers' reports. `batches`: so many were taken in.
settlements = Table(
    "settlements",
    METADATA,
    uuid_column("settlement_id", primary_key=True),
    Column("gateway", Text, nullable=False),
    time_column("begin_time"),
    time_column("end_time"),
    Column("batches", Integer, nullable=False),
    Column("complete", Boolean, nullable=False),
    time_column("create_time"),
)

# The lines of reports, each once: what it was matched with, and the fee that was posted for it. `kind` is the
# contract's SettlementLineKind.
settlement_lines = Table(
    "settlement_lines",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("line_id", Text, primary_key=True),
    uuid_column("settlement_id", ForeignKey("settlements.settlement_id")),
    Column("kind", SmallInteger, nullable=False),
    text_column("charge_reference"),
    text_column("operation_reference"),
    Column("currency_code", Text, nullable=False),
    Column("gross_minor_units", BigInteger, nullable=False),
    Column("fee_minor_units", BigInteger, nullable=False),
    time_column("time"),
    Column("payment_id", ID),
    Column("operation_id", ID),
    Column("dispute_id", ID),
    Column("matched", Boolean, nullable=False),
)
_s = settlement_lines.c
Index("settlement_lines_of_settlement", _s.settlement_id)
Index(
    "settlement_lines_of_operation",
    _s.operation_id,
    unique=True,
    postgresql_where=_s.operation_id.is_not(None),
)
Index("settlement_lines_of_payment", _s.payment_id, postgresql_where=_s.payment_id.is_not(None))

# Where a report and our books differ. `reason` is the contract's DiscrepancyReason.
discrepancies = Table(
    "discrepancies",
    METADATA,
    uuid_column("discrepancy_id", primary_key=True),
    uuid_column("settlement_id", ForeignKey("settlements.settlement_id")),
    Column("gateway", Text, nullable=False),
    Column("store_id", ID),
    Column("payment_id", ID),
    Column("operation_id", ID),
    Column("reason", SmallInteger, nullable=False),
    text_column("line_id"),
    text_column("charge_reference"),
    text_column("our_currency_code"),
    Column("our_minor_units", BigInteger),
    text_column("their_currency_code"),
    Column("their_minor_units", BigInteger),
    time_column("create_time"),
    time_column("resolve_time", nullable=True),
    text_column("resolution"),
)
_d = discrepancies.c
Index("discrepancies_of_store", _d.store_id, _d.discrepancy_id)
Index("discrepancies_of_settlement", _d.settlement_id, _d.discrepancy_id)
Index("discrepancies_of_operation", _d.operation_id, postgresql_where=_d.operation_id.is_not(None))
Index("discrepancies_of_line", _d.gateway, _d.line_id, postgresql_where=_d.line_id != text("''"))
