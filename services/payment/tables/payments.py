"""Payments, what is asked of providers about them, disputes, and what providers told."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from services.payment.rules.payment import OPEN as OPEN_STATES
from services.payment.rules.payment import OPERATION_FAILED, OPERATION_WAITING, UNSETTLED
from services.payment.tables.metadata import METADATA
from services.runtime.columns import ID, amount_column, json_column, text_column, time_column, uuid_column

OPEN = f"operations.state IN {OPEN_STATES}"
FAILED = f"operations.state = {OPERATION_FAILED} AND operations.kind IN ('capture', 'refund')"

# One payment an order. `cancelled`: the order was cancelled, or has expired; what is in flight is voided or refunded
# when it settles. `version` grows with every change, and a change names the version that it was worked out from.
# `lines`: [product, gross, discount, tax] each, what the amount is made of. `expire_time`: while time counts.
payments = Table(
    "payments",
    METADATA,
    uuid_column("payment_id", primary_key=True),
    uuid_column("order_id"),
    uuid_column("store_id"),
    uuid_column("customer_id"),
    Column("state", SmallInteger, nullable=False),
    amount_column("amount_minor_units"),
    Column("currency_code", Text, nullable=False),
    amount_column("captured_minor_units"),
    amount_column("refunded_minor_units"),
    text_column("gateway"),
    text_column("payment_method"),
    text_column("provider_reference"),
    text_column("decline_code"),
    text_column("next_action_url"),
    Column("version", BigInteger, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    time_column("create_time"),
    time_column("update_time"),
    amount_column("voided_minor_units"),
    amount_column("disputed_minor_units"),
    amount_column("charged_back_minor_units"),
    Column("capture_mode", SmallInteger, nullable=False, server_default="1"),
    json_column("lines"),
    time_column("expire_time", nullable=True),
    Column("captures_once", Boolean, nullable=False, server_default="false"),
    text_column("client_secret"),
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
    uuid_column("operation_id", primary_key=True),
    uuid_column("payment_id", ForeignKey("payments.payment_id")),
    uuid_column("store_id"),
    Column("kind", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    amount_column("amount_minor_units"),
    Column("attempts", Integer, nullable=False),
    text_column("traceparent"),
    Column("request_id", ID),
    time_column("create_time"),
    time_column("due_time"),
    time_column("settle_time", nullable=True),
    text_column("gateway"),
    text_column("provider_reference"),
    text_column("reason"),
    text_column("failure_code"),
    json_column("lines"),
    Column("final", Boolean, nullable=False, server_default="false"),
    # What a return is worth, of which the amount is what was left to give back.
    amount_column("wanted_minor_units"),
    # The provider's own words, and its id of the request: for operators only.
    text_column("provider_message"),
    text_column("provider_request_id"),
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

# A request asks for one operation. What a return is owed is asked for anew, one attempt at a time.
Index(
    "operations_one_attempt",
    operations.c.payment_id,
    operations.c.request_id,
    unique=True,
    postgresql_where=text("request_id IS NOT NULL AND settle_time IS NULL"),
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
    uuid_column("dispute_id", primary_key=True),
    uuid_column("payment_id", ForeignKey("payments.payment_id")),
    uuid_column("store_id"),
    Column("status", SmallInteger, nullable=False),
    Column("amount_minor_units", BigInteger, nullable=False),
    amount_column("fee_minor_units"),
    text_column("reason"),
    Column("provider_reference", Text, nullable=False),
    time_column("open_time"),
    time_column("close_time", nullable=True),
    UniqueConstraint("payment_id", "provider_reference", name="disputes_once"),
    CheckConstraint("(status = 1) = (close_time IS NULL)", name="disputes_closed"),
)
Index("disputes_by_reference", disputes.c.provider_reference)

# Every message of a provider, once. `problem` is empty when it was applied; else somebody must look.
webhooks = Table(
    "webhooks",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("provider_event_id", Text, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    text_column("problem"),
    time_column("receive_time"),
)
Index("webhooks_parked", webhooks.c.receive_time, postgresql_where="problem <> ''")
