"""Orders, their lines and their timeline; and copies of what the order service must know of other services' data."""

from sqlalchemy import (
    BigInteger,
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
)
from sqlalchemy.dialects.postgresql import UUID

METADATA = MetaData()
ID = UUID(as_uuid=True)
TIME = DateTime(timezone=True)

orders = Table(
    "orders",
    METADATA,
    Column("order_id", ID, primary_key=True),
    Column("store_id", ID, nullable=False),
    Column("customer_id", ID, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("total_minor_units", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("payment_method", Text, nullable=False),
    Column("delivery_address", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("payment_id", ID),
    Column("next_action_url", Text, nullable=False, server_default=""),
    Column("sequence", BigInteger, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
    Column("traceparent", Text, nullable=False),
    # When the driver is to look at the order, at the latest; empty when there is nothing to do.
    Column("due_time", TIME),
    Column("attempts", Integer, nullable=False, server_default="0"),
    CheckConstraint("total_minor_units >= 0", name="orders_total_not_negative"),
    # Room on each page, so that an order's steps need not touch its indexes.
    postgresql_with={"fillfactor": 80},
)
Index("orders_by_store", orders.c.store_id, orders.c.order_id)
Index("orders_by_store_and_state", orders.c.store_id, orders.c.state, orders.c.order_id)
Index("orders_by_customer", orders.c.customer_id, orders.c.order_id)
Index("orders_due", orders.c.due_time, postgresql_where=orders.c.due_time.is_not(None))

order_lines = Table(
    "order_lines",
    METADATA,
    Column("order_id", ID, ForeignKey("orders.order_id"), primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    Column("product_id", ID, nullable=False),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor_units", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="order_lines_quantity_positive"),
)

# The timeline, the audit and the source of every watch: one row a transition, numbered without a gap.
order_events = Table(
    "order_events",
    METADATA,
    Column("order_id", ID, ForeignKey("orders.order_id"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("step", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("time", TIME, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
)

# The catalog's products as its events told them; the reservation confirms each price.
products = Table(
    "products",
    METADATA,
    Column("product_id", ID, primary_key=True),
    Column("store_id", ID, nullable=False),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("price_minor_units", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
)

# Customers that were seen to exist.
customers = Table(
    "customers",
    METADATA,
    Column("customer_id", ID, primary_key=True),
    Column("store_id", ID, nullable=False),
)
