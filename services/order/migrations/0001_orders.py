"""Orders, lines, timeline, copies of products and customers. As it was then: tables.py says what it is now."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE customers (
    customer_id UUID NOT NULL,
    store_id UUID NOT NULL,
    PRIMARY KEY (customer_id)
);

CREATE TABLE orders (
    order_id UUID NOT NULL,
    store_id UUID NOT NULL,
    customer_id UUID NOT NULL,
    state SMALLINT NOT NULL,
    total_minor_units BIGINT NOT NULL,
    currency_code TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    delivery_address BYTEA NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    payment_id UUID,
    next_action_url TEXT DEFAULT '' NOT NULL,
    sequence BIGINT NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    update_time TIMESTAMP WITH TIME ZONE NOT NULL,
    traceparent TEXT NOT NULL,
    due_time TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (order_id),
    CONSTRAINT orders_total_not_negative CHECK (total_minor_units >= 0)
)
 WITH (fillfactor = 80);

CREATE INDEX orders_by_customer ON orders (customer_id, order_id);

CREATE INDEX orders_by_store ON orders (store_id, order_id);

CREATE INDEX orders_by_store_and_state ON orders (store_id, state, order_id);

CREATE INDEX orders_due ON orders (due_time) WHERE due_time IS NOT NULL;

CREATE TABLE products (
    product_id UUID NOT NULL,
    store_id UUID NOT NULL,
    sku TEXT NOT NULL,
    name TEXT NOT NULL,
    price_minor_units BIGINT NOT NULL,
    currency_code TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (product_id)
);

CREATE TABLE order_events (
    order_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    step TEXT NOT NULL,
    state SMALLINT NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    PRIMARY KEY (order_id, sequence),
    FOREIGN KEY(order_id) REFERENCES orders (order_id)
);

CREATE TABLE order_lines (
    order_id UUID NOT NULL,
    position SMALLINT NOT NULL,
    product_id UUID NOT NULL,
    sku TEXT NOT NULL,
    name TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    unit_price_minor_units BIGINT NOT NULL,
    PRIMARY KEY (order_id, position),
    CONSTRAINT order_lines_quantity_positive CHECK (quantity > 0),
    FOREIGN KEY(order_id) REFERENCES orders (order_id)
)
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement)
