"""Totals, shipments, returns, coupons, settings, each store's feed, what customers buy a month, parked orders."""

from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = """
ALTER TABLE orders
    ADD COLUMN last_error TEXT DEFAULT '' NOT NULL,
    ADD COLUMN parked BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN expire_time TIMESTAMP WITH TIME ZONE,
    ADD COLUMN subtotal_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN discount_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN tax_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN tax_included BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN shipping_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN refunded_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN coupon_code TEXT DEFAULT '' NOT NULL,
    ADD COLUMN feed BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE order_lines
    ADD COLUMN discount_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN tax_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN tax_rate_ppm INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN shipped_quantity INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN returned_quantity INTEGER DEFAULT '0' NOT NULL;

ALTER TABLE order_events
    ADD COLUMN store_id UUID,
    ADD COLUMN feed BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE products
    ADD COLUMN archived BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN tax_class TEXT DEFAULT '' NOT NULL;

UPDATE orders SET subtotal_minor_units = total_minor_units,
    expire_time = CASE WHEN state IN (1, 2, 3, 4) THEN now() + INTERVAL '1 hour' END;

UPDATE order_lines SET shipped_quantity = quantity
    FROM orders WHERE orders.order_id = order_lines.order_id AND orders.state IN (7, 8);

UPDATE order_events SET store_id = orders.store_id FROM orders WHERE orders.order_id = order_events.order_id;

ALTER TABLE order_events ALTER COLUMN store_id SET NOT NULL;

ALTER TABLE orders
    ADD CONSTRAINT orders_total_adds_up CHECK (total_minor_units = subtotal_minor_units - discount_minor_units
        + shipping_minor_units + CASE WHEN tax_included THEN 0 ELSE tax_minor_units END),
    ADD CONSTRAINT orders_refund_within_total CHECK (refunded_minor_units BETWEEN 0 AND total_minor_units);

ALTER TABLE order_lines
    ADD CONSTRAINT order_lines_shipped_of_bought CHECK (shipped_quantity BETWEEN 0 AND quantity),
    ADD CONSTRAINT order_lines_returned_of_shipped CHECK (returned_quantity BETWEEN 0 AND shipped_quantity);

CREATE INDEX orders_by_store_and_total ON orders (store_id, currency_code, total_minor_units, order_id);

CREATE INDEX orders_parked ON orders (update_time) WHERE parked;

CREATE INDEX order_events_by_feed ON order_events (store_id, feed, order_id, sequence)
"""

TABLES = """
CREATE TABLE coupons (
    coupon_id UUID NOT NULL,
    store_id UUID NOT NULL,
    code TEXT NOT NULL,
    percentage_ppm INTEGER,
    amount_minor_units BIGINT,
    currency_code TEXT NOT NULL,
    minimum_minor_units BIGINT DEFAULT '0' NOT NULL,
    begin_time TIMESTAMP WITH TIME ZONE,
    end_time TIMESTAMP WITH TIME ZONE,
    use_limit INTEGER NOT NULL,
    customer_limit INTEGER NOT NULL,
    used INTEGER DEFAULT '0' NOT NULL,
    disabled BOOLEAN DEFAULT false NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (coupon_id),
    CONSTRAINT coupons_code_key UNIQUE (store_id, code),
    CONSTRAINT coupons_one_kind CHECK (num_nonnulls(percentage_ppm, amount_minor_units) = 1),
    CONSTRAINT coupons_used_within_limit CHECK (used >= 0 AND (use_limit = 0 OR used <= use_limit))
);

CREATE INDEX coupons_by_store ON coupons (store_id, coupon_id);

CREATE TABLE customer_months (
    customer_id UUID NOT NULL,
    month DATE NOT NULL,
    currency_code TEXT NOT NULL,
    store_id UUID NOT NULL,
    orders INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    paid INTEGER NOT NULL,
    spent_minor_units BIGINT DEFAULT '0' NOT NULL,
    first_order_time TIMESTAMP WITH TIME ZONE NOT NULL,
    last_order_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (customer_id, month, currency_code)
)
 WITH (fillfactor = 50);

CREATE TABLE order_settings (
    store_id UUID NOT NULL,
    settings BYTEA NOT NULL,
    PRIMARY KEY (store_id)
);

CREATE TABLE coupon_uses (
    order_id UUID NOT NULL,
    coupon_id UUID NOT NULL,
    customer_id UUID NOT NULL,
    PRIMARY KEY (order_id),
    FOREIGN KEY(coupon_id) REFERENCES coupons (coupon_id)
);

CREATE INDEX coupon_uses_by_customer ON coupon_uses (coupon_id, customer_id);

CREATE TABLE order_returns (
    return_id UUID NOT NULL,
    order_id UUID NOT NULL,
    product_ids UUID[] NOT NULL,
    quantities INTEGER[] NOT NULL,
    restocks BOOLEAN[] NOT NULL,
    refund_minor_units BIGINT NOT NULL,
    reason TEXT NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (return_id),
    CONSTRAINT order_returns_lines_match CHECK (cardinality(product_ids) = cardinality(quantities)
        AND cardinality(product_ids) = cardinality(restocks)),
    CONSTRAINT order_returns_refund_not_negative CHECK (refund_minor_units >= 0),
    FOREIGN KEY(order_id) REFERENCES orders (order_id)
);

CREATE INDEX order_returns_by_order ON order_returns (order_id, return_id);

CREATE TABLE shipments (
    shipment_id UUID NOT NULL,
    order_id UUID NOT NULL,
    product_ids UUID[] NOT NULL,
    quantities INTEGER[] NOT NULL,
    carrier TEXT NOT NULL,
    tracking_number TEXT NOT NULL,
    courier_id TEXT NOT NULL,
    ship_time TIMESTAMP WITH TIME ZONE NOT NULL,
    deliver_time TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (shipment_id),
    CONSTRAINT shipments_lines_match CHECK (cardinality(product_ids) = cardinality(quantities)),
    FOREIGN KEY(order_id) REFERENCES orders (order_id)
);

CREATE INDEX shipments_by_order ON shipments (order_id, shipment_id)
"""

# Orders that were sent before there were parcels went in one; it has the order's own id.
PARCELS = """
INSERT INTO shipments (shipment_id, order_id, product_ids, quantities, carrier, tracking_number, courier_id,
    ship_time, deliver_time)
SELECT order_id, order_id, array_agg(product_id ORDER BY position), array_agg(quantity ORDER BY position), '', '', '',
    coalesce((SELECT min(time) FROM order_events AS e WHERE e.order_id = orders.order_id AND e.state = 7), update_time),
    CASE WHEN state = 8 THEN update_time END
FROM orders JOIN order_lines USING (order_id) WHERE state IN (7, 8) GROUP BY order_id
"""

# The months of the orders that there are: what CONFIRMED (5) to DELIVERED (8) paid, CANCELLED is 11.
MONTHS = """
INSERT INTO customer_months
SELECT customer_id, date_trunc('month', create_time AT TIME ZONE 'UTC')::date, currency_code, min(store_id::text)::uuid,
    count(*), count(*) FILTER (WHERE state = 11), count(*) FILTER (WHERE state BETWEEN 5 AND 8),
    coalesce(sum(total_minor_units) FILTER (WHERE state BETWEEN 5 AND 8), 0), min(create_time), max(create_time)
FROM orders GROUP BY 1, 2, 3
"""


def upgrade() -> None:
    for script in (COLUMNS, TABLES):
        for statement in script.split(";"):
            op.execute(statement)
    op.execute(PARCELS)
    op.execute(MONTHS)
