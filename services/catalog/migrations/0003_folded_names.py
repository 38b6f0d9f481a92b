"""SKUs and names of categories are unique by what a person takes for the same: "MUG-1", "mug-1" and "MUG–1" are one.

What a store has twice already stays as it is, and stays in use: the oldest that is sold keeps the folded text; the
others get their id behind it, on a second line, which no folded text has. An import finds each by its exact SKU.

What the version before creates meanwhile has no folded text. It counts from when it is set; until then only an exact
copy of it is refused, as before.
"""

from alembic import op

from services.catalog.rules import searchable_of_texts
from services.runtime.backfill import backfill
from services.runtime.texts import folded

revision = "0003"
down_revision = "0002"

COLUMNS = """
ALTER TABLE products ADD COLUMN IF NOT EXISTS sku_folded TEXT;

ALTER TABLE categories ADD COLUMN IF NOT EXISTS name_folded TEXT
"""

DOUBLES = """
UPDATE products SET sku_folded = sku_folded || chr(10) || product_id
FROM (
    SELECT product_id AS id, row_number() OVER (PARTITION BY store_id, sku_folded ORDER BY status, product_id) AS place
    FROM products
) AS same
WHERE product_id = id AND place > 1;

UPDATE categories SET name_folded = name_folded || chr(10) || category_id
FROM (
    SELECT category_id AS id, row_number() OVER (
        PARTITION BY store_id, parent_id, name_folded ORDER BY category_id
    ) AS place
    FROM categories
) AS same
WHERE category_id = id AND place > 1;

CREATE UNIQUE INDEX IF NOT EXISTS products_sku_folded_key ON products (store_id, sku_folded);

CREATE UNIQUE INDEX IF NOT EXISTS categories_name_folded_key ON categories (store_id, parent_id, name_folded)
    NULLS NOT DISTINCT WHERE name_folded IS NOT NULL
"""
# Dashes, quotes and what is not drawn are looked for as they are typed since; plain texts have none.
ODD = "(name ~ '[^ -~]' OR sku ~ '[^ -~]')"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in COLUMNS.split(";"):
        op.execute(statement)
    backfill(connection, "products", "product_id", ["sku"], "sku_folded", folded)
    backfill(connection, "categories", "category_id", ["name"], "name_folded", folded)
    backfill(connection, "products", "product_id", ["name", "sku"], "searchable", searchable_of_texts, ODD)
    for statement in DOUBLES.split(";"):
        op.execute(statement)
