"""Payments, their operations and disputes, settings, saved methods, providers' webhooks and settlements, the ledger.

The ledger's triggers and rights are in its migrations.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
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
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.payment.rules.payment import OPEN as OPEN_STATES
from services.payment.rules.payment import OPERATION_FAILED, OPERATION_WAITING, UNSETTLED

METADATA = MetaData()
OPEN = f"operations.state IN {OPEN_STATES}"
FAILED = f"operations.state = {OPERATION_FAILED} AND operations.kind IN ('capture', 'refund')"
RARE = ("bank", "disputes", "fees", "refunds")


def _id(name: str, *parts: object, **options: object) -> Column[str]:
    return Column(name, UUID(as_uuid=False), *parts, nullable=False, **options)  # type: ignore[arg-type]


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _json(name: str) -> Column[str]:
    return Column(name, JSONB, nullable=False, server_default="[]")


def _amount(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _time(name: str, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


# One payment an order. `cancelled`: the order was cancelled, or has expired; what is in flight is voided or refunded
# when it settles. `version` grows with every change, and a change names the version that it was worked out from.
# `lines`: [product, gross, discount, tax] each, what the amount is made of. `expire_time`: while time counts.
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
    _amount("voided_minor_units"),
    _amount("disputed_minor_units"),
    _amount("charged_back_minor_units"),
    Column("capture_mode", SmallInteger, nullable=False, server_default="1"),
    _json("lines"),
    _time("expire_time", nullable=True),
    Column("captures_once", Boolean, nullable=False, server_default="false"),
    _text("client_secret"),
    UniqueConstraint("order_id", name="payments_order_key"),
    CheckConstraint(
        "0 <= refunded_minor_units AND refunded_minor_units <= captured_minor_units"
        " AND 0 <= voided_minor_units AND captured_minor_units + voided_minor_units <= amount_minor_units"
        " AND 0 <= disputed_minor_units AND 0 <= charged_back_minor_units"
        " AND disputed_minor_units + charged_back_minor_units <= captured_minor_units",
        name="payments_sums",
    ),
)
_p = payments.c
Index("payments_of_store", _p.store_id, _p.payment_id)
Index("payments_of_store_by_state", _p.store_id, _p.state, _p.payment_id)
Index("payments_of_store_by_gateway", _p.store_id, _p.gateway, _p.payment_id)
Index("payments_of_store_by_amount", _p.store_id, _p.currency_code, _p.amount_minor_units, _p.payment_id)
Index("payments_of_customer", _p.customer_id, _p.payment_id)
Index(
    "payments_by_reference",
    _p.gateway,
    _p.provider_reference,
    postgresql_where=_p.provider_reference != text("''"),
)
Index("payments_expiring", _p.expire_time, postgresql_where=_p.expire_time.is_not(None))

# What is asked of a provider, recorded before it is asked. While it is open, `due_time` says when it is taken up
# next; whoever takes it up moves that ahead, which is the lease. One is open at a time; others wait for their turn.
# `lines`: [product, amount] each, how a capture or a refund is spread over the order's lines. After a
# `final` capture what is left is given up.
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
    _text("gateway"),
    _text("provider_reference"),
    _text("reason"),
    _text("failure_code"),
    _json("lines"),
    Column("final", Boolean, nullable=False, server_default="false"),
    # What a return is worth, of which the amount is what was left to give back.
    _amount("wanted_minor_units"),
    # The provider's own words, and its id of the request: for operators only.
    _text("provider_message"),
    _text("provider_request_id"),
    CheckConstraint(f"(state IN {UNSETTLED}) = (settle_time IS NULL)", name="operations_settled"),
)
Index("operations_of_payment", operations.c.payment_id)
Index("operations_due", operations.c.due_time, postgresql_where=OPEN)
Index(
    "operations_waiting",
    operations.c.operation_id,
    postgresql_where=f"operations.state = {OPERATION_WAITING}",
)
# What somebody must look at: money that was not taken, or did not go back.
Index(
    "operations_failed",
    operations.c.settle_time,
    postgresql_where=text(FAILED),
)
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

# What a settlement's lines are matched by, and what it must have a line of.
Index(
    "operations_by_reference",
    operations.c.gateway,
    operations.c.provider_reference,
    postgresql_where=operations.c.provider_reference != text("''"),
)
Index(
    "operations_settled_by_time",
    operations.c.gateway,
    operations.c.settle_time,
    postgresql_where="kind IN ('capture', 'refund') AND state = 2",
)

# Money that customers' banks took back. `status` is the contract's DisputeStatus.
disputes = Table(
    "disputes",
    METADATA,
    _id("dispute_id", primary_key=True),
    _id("payment_id", ForeignKey("payments.payment_id")),
    _id("store_id"),
    Column("status", SmallInteger, nullable=False),
    Column("amount_minor_units", BigInteger, nullable=False),
    _amount("fee_minor_units"),
    _text("reason"),
    Column("provider_reference", Text, nullable=False),
    _time("open_time"),
    _time("close_time", nullable=True),
    UniqueConstraint("payment_id", "provider_reference", name="disputes_once"),
    CheckConstraint("(status = 1) = (close_time IS NULL)", name="disputes_closed"),
)
Index("disputes_by_reference", disputes.c.provider_reference)

# What each store has set, as a PaymentSettings message.
store_settings = Table(
    "store_settings",
    METADATA,
    _id("store_id", primary_key=True),
    Column("settings", LargeBinary, nullable=False),
    _time("update_time"),
)

# How customers pay: providers' tokens. One that was removed stays, for its payments.
payment_methods = Table(
    "payment_methods",
    METADATA,
    _id("payment_method_id", primary_key=True),
    _id("customer_id"),
    _id("store_id"),
    Column("gateway", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("brand", Text, nullable=False),
    _text("last_four"),
    Column("expiry_month", SmallInteger, nullable=False),
    Column("expiry_year", SmallInteger, nullable=False),
    Column("preferred", Boolean, nullable=False),
    _time("create_time"),
    _time("remove_time", nullable=True),
    CheckConstraint("last_four ~ '^([0-9]{4})?$'", name="payment_methods_last_four"),
    CheckConstraint("NOT (preferred AND remove_time IS NOT NULL)", name="payment_methods_kept"),
)
_m = payment_methods.c
_kept = _m.remove_time.is_(None)
Index("payment_methods_once", _m.customer_id, _m.store_id, _m.token, unique=True, postgresql_where=_kept)
Index("payment_methods_by_token", _m.token, postgresql_where=_kept)
Index("payment_methods_preferred", _m.customer_id, _m.store_id, unique=True, postgresql_where=_m.preferred)

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

# Double entry, append only; the entries of a transaction are written by one statement, and balance in each currency.
# `product_id` is the order's line. `xid` is the database's transaction that wrote them, in whose order they are sealed.
ledger_entries = Table(
    "ledger_entries",
    METADATA,
    _id("transaction_id", primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    _id("store_id"),
    Column("kind", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    _amount("debit_minor_units"),
    _amount("credit_minor_units"),
    Column("payment_id", UUID(as_uuid=False)),
    Column("order_id", UUID(as_uuid=False)),
    Column("product_id", UUID(as_uuid=False)),
    _time("create_time"),
    Column(
        "xid",
        BigInteger,
        nullable=False,
        server_default=func.pg_current_xact_id().cast(Text).cast(BigInteger),
    ),
    CheckConstraint(
        "debit_minor_units >= 0 AND credit_minor_units >= 0"
        " AND (debit_minor_units = 0) <> (credit_minor_units = 0)",
        name="ledger_entries_one_side",
    ),
)
_e = ledger_entries.c
Index("ledger_entries_of_store", _e.store_id, _e.create_time, _e.transaction_id, _e.position)
Index("ledger_entries_of_payment", _e.payment_id)
# The order in which they are sealed, and what is not sealed yet.
Index("ledger_entries_by_xid", _e.xid, _e.transaction_id)
# Accounts with few entries among many. What the others have is found among the store's.
Index(
    "ledger_entries_of_account",
    _e.store_id,
    _e.account,
    _e.create_time,
    _e.transaction_id,
    postgresql_where=f"account IN {RARE}",
)

# The chain of a store's books: each transaction's hash covers its entries and the hash before. Append only.
ledger_chain = Table(
    "ledger_chain",
    METADATA,
    _id("store_id", primary_key=True),
    Column("number", BigInteger, primary_key=True),
    _id("transaction_id"),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("transaction_id", name="ledger_chain_transaction"),
)

# The sums of what is sealed, by day (UTC) of the entries' create_time, and of all days (infinity): balances come from
# here, and from what is not sealed yet.
ledger_days = Table(
    "ledger_days",
    METADATA,
    _id("store_id", primary_key=True),
    Column("day", Date, primary_key=True),
    Column("currency_code", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    _amount("debit_minor_units"),
    _amount("credit_minor_units"),
)

# How far the books are sealed, over all stores; one row.
ledger_seal = Table(
    "ledger_seal",
    METADATA,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("xid", BigInteger, nullable=False),
    _id("transaction_id"),
    CheckConstraint("one", name="ledger_seal_one"),
)

# Providers' reports. `batches`: so many were taken in.
settlements = Table(
    "settlements",
    METADATA,
    _id("settlement_id", primary_key=True),
    Column("gateway", Text, nullable=False),
    _time("begin_time"),
    _time("end_time"),
    Column("batches", Integer, nullable=False),
    Column("complete", Boolean, nullable=False),
    _time("create_time"),
)

# The lines of reports, each once: what it was matched with, and the fee that was posted for it. `kind` is the
# contract's SettlementLineKind.
settlement_lines = Table(
    "settlement_lines",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("line_id", Text, primary_key=True),
    _id("settlement_id", ForeignKey("settlements.settlement_id")),
    Column("kind", SmallInteger, nullable=False),
    _text("charge_reference"),
    _text("operation_reference"),
    Column("currency_code", Text, nullable=False),
    Column("gross_minor_units", BigInteger, nullable=False),
    Column("fee_minor_units", BigInteger, nullable=False),
    _time("time"),
    Column("payment_id", UUID(as_uuid=False)),
    Column("operation_id", UUID(as_uuid=False)),
    Column("dispute_id", UUID(as_uuid=False)),
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
    _id("discrepancy_id", primary_key=True),
    _id("settlement_id", ForeignKey("settlements.settlement_id")),
    Column("gateway", Text, nullable=False),
    Column("store_id", UUID(as_uuid=False)),
    Column("payment_id", UUID(as_uuid=False)),
    Column("operation_id", UUID(as_uuid=False)),
    Column("reason", SmallInteger, nullable=False),
    _text("line_id"),
    _text("charge_reference"),
    _text("our_currency_code"),
    Column("our_minor_units", BigInteger),
    _text("their_currency_code"),
    Column("their_minor_units", BigInteger),
    _time("create_time"),
    _time("resolve_time", nullable=True),
    _text("resolution"),
)
_d = discrepancies.c
Index("discrepancies_of_store", _d.store_id, _d.discrepancy_id)
Index("discrepancies_of_settlement", _d.settlement_id, _d.discrepancy_id)
Index("discrepancies_of_operation", _d.operation_id, postgresql_where=_d.operation_id.is_not(None))
Index("discrepancies_of_line", _d.gateway, _d.line_id, postgresql_where=_d.line_id != text("''"))
