"""Categories, prices, what a product is besides its name; reservations that expire; imports."""

from alembic import op

from services.catalog.tables import METADATA

revision = "0002"
down_revision = "0001"

# `searchable` of products that there were: their accents stay until they change next.
COLUMNS = """
ALTER TABLE products
    ADD COLUMN status SMALLINT DEFAULT '1' NOT NULL,
    ADD COLUMN category_id UUID,
    ADD COLUMN attributes JSONB DEFAULT '{}' NOT NULL,
    ADD COLUMN image_urls TEXT[] DEFAULT '{}' NOT NULL,
    ADD COLUMN tax_class TEXT DEFAULT '' NOT NULL,
    ADD COLUMN low_stock_threshold INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN searchable TEXT;

UPDATE products SET searchable = lower(name || ' ' || sku);

ALTER TABLE products ALTER COLUMN searchable SET NOT NULL;

DROP INDEX products_by_part;

CREATE INDEX products_by_part ON products USING gin (store_id, searchable gin_trgm_ops);

CREATE INDEX products_by_category ON products (store_id, category_id, product_id);

ALTER TABLE stock ADD COLUMN version BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE stock_changes ADD COLUMN kind SMALLINT DEFAULT '1' NOT NULL;

ALTER TABLE reservations ADD COLUMN customer_id UUID, ADD COLUMN expire_time TIMESTAMP WITH TIME ZONE;

CREATE INDEX reservations_open ON reservations (expire_time) WHERE expire_time IS NOT NULL;

CREATE INDEX reservations_open_by_customer ON reservations (customer_id) WHERE expire_time IS NOT NULL
"""

AFTER = """
ALTER TABLE products
    ADD CONSTRAINT products_category_id_fkey FOREIGN KEY (category_id) REFERENCES categories (category_id);

INSERT INTO price_changes
    SELECT product_id, version, price_minor_units, currency_code, update_time, 'SERVICE catalog' FROM products
"""


def upgrade() -> None:
    for statement in COLUMNS.split(";"):
        op.execute(statement)
    METADATA.create_all(op.get_bind())
    for statement in AFTER.split(";"):
        op.execute(statement)
