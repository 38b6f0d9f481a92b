"""The books, their chain, and their sums by day. The triggers and rights are in the migrations."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
)

from services.payment.tables.metadata import METADATA
from services.runtime.columns import ID, amount_column, time_column, uuid_column

# Accounts with few entries among many: the predicate of an index. Nothing is posted to `bank`.
RARE = ("bank", "disputes", "fees", "refunds")

# Double entry, append only; the entries of a transaction are written by one statement, and balance in each currency.
# `product_id` is the order's line. `xid` is the database's transaction that wrote them, in whose order they are sealed.
ledger_entries = Table(
    "ledger_entries",
    METADATA,
    uuid_column("transaction_id", primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    uuid_column("store_id"),
    Column("kind", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    amount_column("debit_minor_units"),
    amount_column("credit_minor_units"),
    Column("payment_id", ID),
    Column("order_id", ID),
    Column("product_id", ID),
    time_column("create_time"),
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
# Of most accounts what a store's have is found among all of the store's; of the rare ones by an index of theirs.
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
    uuid_column("store_id", primary_key=True),
    Column("number", BigInteger, primary_key=True),
    uuid_column("transaction_id"),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("transaction_id", name="ledger_chain_transaction"),
)

# The sums of what is sealed, by day (UTC) of the entries' create_time, and of all days (infinity): balances come from
# here, and from what is not sealed yet.
ledger_days = Table(
    "ledger_days",
    METADATA,
    uuid_column("store_id", primary_key=True),
    Column("day", Date, primary_key=True),
    Column("currency_code", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    amount_column("debit_minor_units"),
    amount_column("credit_minor_units"),
)

# How far the books are sealed, over all stores; one row.
ledger_seal = Table(
    "ledger_seal",
    METADATA,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("xid", BigInteger, nullable=False),
    uuid_column("transaction_id"),
    CheckConstraint("one", name="ledger_seal_one"),
)
