"""Categories, prices, what a product is besides its name; reservations that expire; imports."""

from alembic import op
from sqlalchemy import text

from services.runtime.texts import searchable

revision = "0002"
down_revision = "0001"

COLUMNS = """
ALTER TABLE products
    ADD COLUMN status SMALLINT DEFAULT '1' NOT NULL,
    ADD COLUMN category_id UUID,
    ADD COLUMN attributes JSONB DEFAULT '{}' NOT NULL,
    ADD COLUMN image_urls TEXT[] DEFAULT '{}' NOT NULL,
    ADD COLUMN tax_class TEXT DEFAULT '' NOT NULL,
    ADD COLUMN low_stock_threshold INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN searchable TEXT;

UPDATE products SET searchable = lower(name || chr(10) || sku);

ALTER TABLE products ALTER COLUMN searchable SET NOT NULL;

DROP INDEX products_by_part;

CREATE INDEX products_by_part ON products USING gin (store_id, searchable gin_trgm_ops);

DROP INDEX products_by_store;

CREATE INDEX products_by_store ON products (store_id, status, product_id);

CREATE INDEX products_by_category ON products (store_id, category_id, status, product_id);

ALTER TABLE stock ADD COLUMN version BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE stock_changes ADD COLUMN kind SMALLINT DEFAULT '1' NOT NULL;

ALTER TABLE reservations ADD COLUMN customer_id UUID, ADD COLUMN expire_time TIMESTAMP WITH TIME ZONE;

CREATE INDEX reservations_open ON reservations (expire_time) WHERE expire_time IS NOT NULL;

CREATE INDEX reservations_open_by_customer ON reservations (customer_id) WHERE expire_time IS NOT NULL
"""

TABLES = """
CREATE TABLE categories (
    category_id UUID NOT NULL,
    store_id UUID NOT NULL,
    parent_id UUID,
    name TEXT NOT NULL,
    PRIMARY KEY (category_id),
    CONSTRAINT categories_name_key UNIQUE NULLS NOT DISTINCT (store_id, parent_id, name),
    CONSTRAINT categories_not_within_itself CHECK (parent_id <> category_id),
    FOREIGN KEY(parent_id) REFERENCES categories (category_id)
);

CREATE INDEX categories_by_parent ON categories (parent_id);

CREATE TABLE imports (
    import_id UUID NOT NULL,
    store_id UUID NOT NULL,
    complete BOOLEAN DEFAULT false NOT NULL,
    batches INTEGER DEFAULT '0' NOT NULL,
    rows INTEGER DEFAULT '0' NOT NULL,
    created INTEGER DEFAULT '0' NOT NULL,
    updated INTEGER DEFAULT '0' NOT NULL,
    unchanged INTEGER DEFAULT '0' NOT NULL,
    failed INTEGER DEFAULT '0' NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    update_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (import_id)
);

CREATE TABLE import_batches (
    import_id UUID NOT NULL,
    batch INTEGER NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (import_id, batch),
    FOREIGN KEY(import_id) REFERENCES imports (import_id)
);

CREATE TABLE import_errors (
    import_id UUID NOT NULL,
    row INTEGER NOT NULL,
    sku TEXT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (import_id, row),
    FOREIGN KEY(import_id) REFERENCES imports (import_id)
);

CREATE TABLE price_changes (
    product_id UUID NOT NULL,
    version BIGINT NOT NULL,
    price_minor_units BIGINT NOT NULL,
    currency_code TEXT NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (product_id, version),
    FOREIGN KEY(product_id) REFERENCES products (product_id)
)
"""

AFTER = """
ALTER TABLE products
    ADD CONSTRAINT products_category_id_fkey FOREIGN KEY (category_id) REFERENCES categories (category_id);

INSERT INTO price_changes
    SELECT product_id, version, price_minor_units, currency_code, update_time, 'SERVICE catalog' FROM products;

UPDATE stock_changes SET kind = 2 WHERE reason <> 'counted';

-- What orders took was not written down: one change (3, sold) says how much, so that all add up to what is on hand.
INSERT INTO stock_changes (change_id, product_id, store_id, delta, on_hand, reason, actor, kind)
    SELECT uuidv7(), product_id, store_id, on_hand - told, on_hand, 'sold before sales were kept', 'SERVICE catalog', 3
    FROM stock CROSS JOIN LATERAL (
        SELECT coalesce(sum(delta), 0) AS told FROM stock_changes AS c WHERE c.product_id = stock.product_id
    ) AS history
    WHERE on_hand <> told
"""

# Texts that are more than printable ASCII with a space between words: lower() makes of them what searchable() does not.
ODD = text("""
SELECT product_id, name, sku FROM products
WHERE product_id > :after AND NOT (name ~ '^[!-~]+( [!-~]+)*$' AND sku ~ '^[!-~]+( [!-~]+)*$')
ORDER BY product_id LIMIT 1000
""")
FOUND_BY = text("UPDATE products SET searchable = :searchable WHERE product_id = :product_id")


def _make_searchable() -> None:
    connection = op.get_bind()
    after = "00000000-0000-0000-0000-000000000000"
    while rows := connection.execute(ODD, {"after": after}).all():
        connection.execute(
            FOUND_BY,
            [
                {"product_id": product_id, "searchable": f"{searchable(name)}\n{searchable(sku)}"}
                for product_id, name, sku in rows
            ],
        )
        after = rows[-1].product_id


def upgrade() -> None:
    for statement in COLUMNS.split(";"):
        op.execute(statement)
    _make_searchable()
    for script in (TABLES, AFTER):
        for statement in script.split(";"):
            op.execute(statement)
