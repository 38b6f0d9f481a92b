"""Totals, shipments, returns, coupons, settings, each store's feed, what customers buy a month, parked orders."""

from alembic import op

from services.order.tables import METADATA

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
    for statement in COLUMNS.split(";"):
        op.execute(statement)
    METADATA.create_all(op.get_bind())
    op.execute(PARCELS)
    op.execute(MONTHS)
