"""Payments, their operations, providers' webhooks and the ledger. The ledger's triggers are in its migration."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import UUID

from services.payment.payments import OPEN as OPEN_STATES
from services.payment.payments import UNSETTLED

METADATA = MetaData()
OPEN = f"operations.state IN {OPEN_STATES}"


def _id(name: str, *parts: object, **options: object) -> Column[str]:
    return Column(name, UUID(as_uuid=False), *parts, nullable=False, **options)  # type: ignore[arg-type]


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _amount(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _time(name: str, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


# One payment an order. `cancelled`: the order was cancelled, or has expired; what is in flight is voided or refunded
# when it settles. `version` grows with every change, and a change names the version that it was worked out from.
payments = Table(
    "payments",
    METADATA,
    _id("payment_id", primary_key=True),
    _id("order_id"),
    _id("store_id"),
    _id("customer_id"),
    Column("state", SmallInteger, nullable=False),
    _amount("amount_minor_units"),
    Column("currency_code", Text, nullable=False),
    _amount("captured_minor_units"),
    _amount("refunded_minor_units"),
    _text("gateway"),
    _text("payment_method"),
    _text("provider_reference"),
    _text("decline_code"),
    _text("next_action_url"),
    Column("version", BigInteger, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    _time("create_time"),
    _time("update_time"),
    UniqueConstraint("order_id", name="payments_order_key"),
    CheckConstraint(
        "0 <= refunded_minor_units AND refunded_minor_units <= captured_minor_units"
        " AND captured_minor_units <= amount_minor_units",
        name="payments_sums",
    ),
)

# What is asked of a provider, recorded before it is asked. While it is open, `due_time` says when it is taken up
# next; whoever takes it up moves that ahead, which is the lease. One is open at a time; refunds wait for their turn.
operations = Table(
    "operations",
    METADATA,
    _id("operation_id", primary_key=True),
    _id("payment_id", ForeignKey("payments.payment_id")),
    _id("store_id"),
    Column("kind", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    _amount("amount_minor_units"),
    Column("attempts", Integer, nullable=False),
    _text("traceparent"),
    Column("request_id", UUID(as_uuid=False)),
    _time("create_time"),
    _time("due_time"),
    _time("settle_time", nullable=True),
    CheckConstraint(f"(state IN {UNSETTLED}) = (settle_time IS NULL)", name="operations_settled"),
)
Index("operations_of_payment", operations.c.payment_id)
Index("operations_due", operations.c.due_time, postgresql_where=OPEN)
Index("operations_one_open", operations.c.payment_id, unique=True, postgresql_where=OPEN)
Index(
    "operations_one_authorize",
    operations.c.payment_id,
    unique=True,
    postgresql_where="kind = 'authorize'",
)

# A request, or an order's return, asks for one operation.
Index(
    "operations_one_a_request",
    operations.c.payment_id,
    operations.c.request_id,
    unique=True,
    postgresql_where="request_id IS NOT NULL",
)

# Every message of a provider, once. `problem` is empty when it was applied; else somebody must look.
webhooks = Table(
    "webhooks",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("provider_event_id", Text, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    _text("problem"),
    _time("receive_time"),
)
Index("webhooks_parked", webhooks.c.receive_time, postgresql_where="problem <> ''")

# Double entry, append only; the entries of a transaction balance in each currency. A transaction is an operation.
ledger_entries = Table(
    "ledger_entries",
    METADATA,
    _id("transaction_id", primary_key=True),
    Column("account", Text, primary_key=True),
    _id("store_id"),
    Column("currency_code", Text, nullable=False),
    _amount("debit_minor_units"),
    _amount("credit_minor_units"),
    _time("create_time"),
    CheckConstraint(
        "debit_minor_units >= 0 AND credit_minor_units >= 0"
        " AND (debit_minor_units = 0) <> (credit_minor_units = 0)",
        name="ledger_entries_one_side",
    ),
)
Index("ledger_entries_of_store", ledger_entries.c.store_id)
