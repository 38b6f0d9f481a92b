"""Products, stock and its changes, reservations. As it was then: tables.py says what it is now."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE products (
    product_id UUID NOT NULL,
    store_id UUID NOT NULL,
    sku TEXT NOT NULL,
    name TEXT NOT NULL,
    price_minor_units BIGINT NOT NULL,
    currency_code TEXT NOT NULL,
    version BIGINT NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    update_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (product_id),
    CONSTRAINT products_sku_key UNIQUE (store_id, sku),
    CONSTRAINT products_price_not_negative CHECK (price_minor_units >= 0)
);

CREATE INDEX products_by_part ON products USING gin (store_id, name gin_trgm_ops, sku gin_trgm_ops);

CREATE INDEX products_by_store ON products (store_id, product_id);

CREATE TABLE reservations (
    order_id UUID NOT NULL,
    store_id UUID,
    state SMALLINT NOT NULL,
    product_ids UUID[] DEFAULT '{}' NOT NULL,
    quantities INTEGER[] DEFAULT '{}' NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    update_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (order_id),
    CONSTRAINT reservations_lines_match CHECK (cardinality(product_ids) = cardinality(quantities)),
    CONSTRAINT reservations_quantities_positive CHECK (0 < ALL (quantities))
)
 WITH (fillfactor = 80);

CREATE TABLE stock_changes (
    change_id UUID NOT NULL,
    product_id UUID NOT NULL,
    store_id UUID NOT NULL,
    delta INTEGER NOT NULL,
    on_hand INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (change_id)
);

CREATE INDEX stock_changes_by_product ON stock_changes (product_id, change_id);

CREATE TABLE stock (
    product_id UUID NOT NULL,
    store_id UUID NOT NULL,
    on_hand INTEGER DEFAULT '0' NOT NULL,
    reserved INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (product_id),
    CONSTRAINT stock_covers_what_is_reserved CHECK (reserved >= 0 AND on_hand >= reserved),
    FOREIGN KEY(product_id) REFERENCES products (product_id)
)
 WITH (fillfactor = 50)
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement)
