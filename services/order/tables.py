"""Orders with all that belongs to them, coupons, stores' settings; copies of others' products and customers."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from services.runtime.columns import (
    BOOLEANS,
    ID,
    INTEGERS,
    UUIDS,
    amount_column,
    text_column,
    time_column,
    uuid_column,
)

METADATA = MetaData()


orders = Table(
    "orders",
    METADATA,
    uuid_column("order_id", primary_key=True),
    uuid_column("store_id"),
    uuid_column("customer_id"),
    Column("state", SmallInteger, nullable=False),
    Column("total_minor_units", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("payment_method", Text, nullable=False),
    Column("delivery_address", LargeBinary, nullable=False),
    text_column("reason"),
    Column("payment_id", ID),
    text_column("next_action_url"),
    Column("sequence", BigInteger, nullable=False),
    time_column("create_time"),
    time_column("update_time"),
    Column("traceparent", Text, nullable=False),
    # When the driver is to look at the order, at the latest; empty when there is nothing to do.
    time_column("due_time", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # How the driver's last attempt failed; a parked order is not tried again until somebody says so.
    text_column("last_error"),
    Column("parked", Boolean, nullable=False, server_default=false()),
    # Unpaid by then, it expires.
    time_column("expire_time", nullable=True),
    amount_column("subtotal_minor_units"),
    amount_column("discount_minor_units"),
    amount_column("tax_minor_units"),
    Column("tax_included", Boolean, nullable=False, server_default=false()),
    amount_column("shipping_minor_units"),
    # Within shipping, and not in tax.
    amount_column("shipping_tax_minor_units"),
    Column("shipping_tax_rate_ppm", Integer, nullable=False, server_default="0"),
    amount_column("refunded_minor_units"),
    text_column("coupon_code"),
    # What its payment tells: what was taken, until when the rest is promised, why it is not paid for any more.
    amount_column("captured_minor_units"),
    time_column("payment_expire_time", nullable=True),
    text_column("unpaid_reason"),
    # The store's feed: of its last transition, see order_events.
    Column("feed", BigInteger, nullable=False, server_default="0"),
    # The order as it was placed, a message, for reads; a copy of what the columns and the lines hold
    # (queries.as_placed). Empty where the version before placed the order.
    Column("placed", LargeBinary),
    CheckConstraint("total_minor_units >= 0", name="orders_total_not_negative"),
    CheckConstraint(
        "total_minor_units = subtotal_minor_units - discount_minor_units + shipping_minor_units"
        " + CASE WHEN tax_included THEN 0 ELSE tax_minor_units END",
        name="orders_total_adds_up",
    ),
    CheckConstraint(
        "refunded_minor_units BETWEEN 0 AND total_minor_units", name="orders_refund_within_total"
    ),
    # Room on each page for the order's next versions.
    postgresql_with={"fillfactor": 80},
)
Index("orders_by_store", orders.c.store_id, orders.c.order_id)
Index("orders_by_store_and_state", orders.c.store_id, orders.c.state, orders.c.order_id)
Index("orders_by_customer", orders.c.customer_id, orders.c.order_id)
Index(
    "orders_by_store_and_total",
    orders.c.store_id,
    orders.c.currency_code,
    orders.c.total_minor_units,
    orders.c.order_id,
)
Index("orders_parked", orders.c.update_time, postgresql_where=orders.c.parked)
Index("orders_unpaid", orders.c.update_time, postgresql_where=orders.c.unpaid_reason != "")
Index("orders_due", orders.c.due_time, postgresql_where=orders.c.due_time.is_not(None))

order_lines = Table(
    "order_lines",
    METADATA,
    uuid_column("order_id", ForeignKey("orders.order_id"), primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    uuid_column("product_id"),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor_units", BigInteger, nullable=False),
    amount_column("discount_minor_units"),
    amount_column("tax_minor_units"),
    Column("tax_rate_ppm", Integer, nullable=False, server_default="0"),
    Column("shipped_quantity", Integer, nullable=False, server_default="0"),
    Column("returned_quantity", Integer, nullable=False, server_default="0"),
    CheckConstraint("quantity > 0", name="order_lines_quantity_positive"),
    CheckConstraint("shipped_quantity BETWEEN 0 AND quantity", name="order_lines_shipped_of_bought"),
    CheckConstraint(
        "returned_quantity BETWEEN 0 AND shipped_quantity", name="order_lines_returned_of_shipped"
    ),
)

# The timeline, the audit and the source of every watch: one row a transition, numbered without a gap.
order_events = Table(
    "order_events",
    METADATA,
    uuid_column("order_id", ForeignKey("orders.order_id"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("step", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    time_column("time"),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    uuid_column("store_id"),
    # Where the transition stands in its store's feed: the id of the transaction that wrote it, or of the order's
    # transition before it, whichever is larger. So (feed, order_id, sequence) sorts each order's transitions as they
    # came, and what lies below every transaction still running is complete (feed.py).
    Column("feed", BigInteger, nullable=False, server_default="0"),
)
Index(
    "order_events_by_feed",
    order_events.c.store_id,
    order_events.c.feed,
    order_events.c.order_id,
    order_events.c.sequence,
)

# What was sent: one row a parcel.
shipments = Table(
    "shipments",
    METADATA,
    uuid_column("shipment_id", primary_key=True),
    uuid_column("order_id", ForeignKey("orders.order_id")),
    Column("product_ids", UUIDS, nullable=False),
    Column("quantities", INTEGERS, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("tracking_number", Text, nullable=False),
    Column("courier_id", Text, nullable=False),
    time_column("ship_time"),
    time_column("deliver_time", nullable=True),
    CheckConstraint("cardinality(product_ids) = cardinality(quantities)", name="shipments_lines_match"),
)
Index("shipments_by_order", shipments.c.order_id, shipments.c.shipment_id)

# What came back.
order_returns = Table(
    "order_returns",
    METADATA,
    uuid_column("return_id", primary_key=True),
    uuid_column("order_id", ForeignKey("orders.order_id")),
    Column("product_ids", UUIDS, nullable=False),
    Column("quantities", INTEGERS, nullable=False),
    Column("restocks", BOOLEANS, nullable=False),
    Column("refund_minor_units", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    time_column("create_time"),
    # What went back for it, and what did not, as its payment tells.
    amount_column("refunded_minor_units"),
    amount_column("unrefunded_minor_units"),
    text_column("unrefunded_reason"),
    CheckConstraint(
        "cardinality(product_ids) = cardinality(quantities) AND cardinality(product_ids) = cardinality(restocks)",
        name="order_returns_lines_match",
    ),
    CheckConstraint("refund_minor_units >= 0", name="order_returns_refund_not_negative"),
)
Index("order_returns_by_order", order_returns.c.order_id, order_returns.c.return_id)

coupons = Table(
    "coupons",
    METADATA,
    uuid_column("coupon_id", primary_key=True),
    uuid_column("store_id"),
    Column("code", Text, nullable=False),
    # One of the two: a share of the subtotal, or a sum.
    Column("percentage_ppm", Integer),
    Column("amount_minor_units", BigInteger),
    # Of the sum and of the minimum; empty for any.
    Column("currency_code", Text, nullable=False),
    amount_column("minimum_minor_units"),
    time_column("begin_time", nullable=True),
    time_column("end_time", nullable=True),
    # How many orders may use it, and how many of one customer; 0 for any number.
    Column("use_limit", Integer, nullable=False),
    Column("customer_limit", Integer, nullable=False),
    Column("used", Integer, nullable=False, server_default="0"),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    time_column("create_time"),
    UniqueConstraint("store_id", "code", name="coupons_code_key"),
    CheckConstraint("num_nonnulls(percentage_ppm, amount_minor_units) = 1", name="coupons_one_kind"),
    CheckConstraint("used >= 0 AND (use_limit = 0 OR used <= use_limit)", name="coupons_used_within_limit"),
)
Index("coupons_by_store", coupons.c.store_id, coupons.c.coupon_id)

# One row an order that uses a coupon; whoever counts them holds the coupon's lock.
coupon_uses = Table(
    "coupon_uses",
    METADATA,
    uuid_column("order_id", primary_key=True),
    uuid_column("coupon_id", ForeignKey("coupons.coupon_id")),
    uuid_column("customer_id"),
)
Index("coupon_uses_by_customer", coupon_uses.c.coupon_id, coupon_uses.c.customer_id)

# A store's settings, as its message; a store without a row has the defaults.
order_settings = Table(
    "order_settings",
    METADATA,
    uuid_column("store_id", primary_key=True),
    Column("settings", LargeBinary, nullable=False),
)

# How much each customer bought in each month: kept in the transactions that move orders, so that it is exact.
customer_months = Table(
    "customer_months",
    METADATA,
    uuid_column("customer_id", primary_key=True),
    Column("month", Date, primary_key=True),
    Column("currency_code", Text, primary_key=True),
    uuid_column("store_id"),
    Column("orders", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("paid", Integer, nullable=False),
    amount_column("spent_minor_units"),
    time_column("first_order_time"),
    time_column("last_order_time"),
    postgresql_with={"fillfactor": 50},
)

# The catalog's products as its events told them; the reservation confirms each price.
products = Table(
    "products",
    METADATA,
    uuid_column("product_id", primary_key=True),
    uuid_column("store_id"),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("price_minor_units", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("archived", Boolean, nullable=False, server_default=false()),
    text_column("tax_class"),
)

# Customers that were seen to exist.
customers = Table(
    "customers",
    METADATA,
    uuid_column("customer_id", primary_key=True),
    uuid_column("store_id"),
)
