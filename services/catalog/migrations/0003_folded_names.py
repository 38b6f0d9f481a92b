"""SKUs and names of categories are unique by what a person takes for the same: "MUG-1", "mug-1" and "MUG–1" are one.

What a store has twice already stays as it is, and stays in use: the oldest that is sold keeps the folded text; the
others get their id behind it, on a second line, which no folded text has. An import finds each by its exact SKU.

What the version before creates meanwhile has no folded text. It counts from when it is set; until then only an exact
copy of it is refused, as before.
"""

from services.catalog.rules import searchable_of_texts
from services.runtime.online import backfill, build_index, online
from services.runtime.texts import folded

revision = "0003"
down_revision = "0002"

# All but the first of those that are the same. Few are: they are looked for again after each batch.
SAME_PRODUCTS = """
product_id IN (
    SELECT product_id FROM (
        SELECT product_id,
            row_number() OVER (PARTITION BY store_id, sku_folded ORDER BY status, product_id) AS place
        FROM products WHERE sku_folded IS NOT NULL
    ) AS same WHERE place > 1
)
"""

SAME_CATEGORIES = """
category_id IN (
    SELECT category_id FROM (
        SELECT category_id,
            row_number() OVER (PARTITION BY store_id, parent_id, name_folded ORDER BY category_id) AS place
        FROM categories WHERE name_folded IS NOT NULL
    ) AS same WHERE place > 1
)
"""

# Dashes, quotes and what is not drawn are looked for as they are typed since; plain texts have none.
ODD = "name ~ '[^ -~]' OR sku ~ '[^ -~]'"


def _on_a_second_line(folded: str, row_id: str) -> str:
    return f"{folded}\n{row_id}"


def upgrade() -> None:
    with online() as connection:
        connection.exec_driver_sql("ALTER TABLE products ADD COLUMN IF NOT EXISTS sku_folded TEXT")
        connection.exec_driver_sql("ALTER TABLE categories ADD COLUMN IF NOT EXISTS name_folded TEXT")

        products, categories = ("products", "product_id"), ("categories", "category_id")
        backfill(connection, *products, ["sku"], "sku_folded", folded, "sku_folded IS NULL")
        backfill(connection, *categories, ["name"], "name_folded", folded, "name_folded IS NULL")
        backfill(connection, *products, ["name", "sku"], "searchable", searchable_of_texts, ODD)
        for table, key, column, same in (
            (*products, "sku_folded", SAME_PRODUCTS),
            (*categories, "name_folded", SAME_CATEGORIES),
        ):
            backfill(connection, table, key, [column, key], column, _on_a_second_line, same)

        build_index(connection, "products_sku_folded_key", "products (store_id, sku_folded)", unique=True)
        build_index(
            connection,
            "categories_name_folded_key",
            "categories (store_id, parent_id, name_folded) NULLS NOT DISTINCT WHERE name_folded IS NOT NULL",
            unique=True,
        )
