"""Categories, products and their prices, their stock and what is reserved of it for each order, imports."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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
from sqlalchemy.dialects.postgresql import JSONB

from services.runtime.columns import (
    ID,
    INTEGERS,
    NOW,
    TEXTS,
    TIME,
    UUIDS,
    text_column,
    time_column,
    uuid_column,
)

METADATA = MetaData()

# A tree: whoever changes one holds the store's lock on its tree, so that no circle can close.
categories = Table(
    "categories",
    METADATA,
    uuid_column("category_id", primary_key=True),
    uuid_column("store_id"),
    Column("parent_id", ID, ForeignKey("categories.category_id")),
    Column("name", Text, nullable=False),
    # What is taken for the same name (texts.folded); nothing where the version before wrote the row.
    Column("name_folded", Text),
    UniqueConstraint(
        "store_id", "parent_id", "name", name="categories_name_key", postgresql_nulls_not_distinct=True
    ),
    CheckConstraint("parent_id <> category_id", name="categories_not_within_itself"),
)
Index("categories_by_parent", categories.c.parent_id)
Index(
    "categories_name_folded_key",
    categories.c.store_id,
    categories.c.parent_id,
    categories.c.name_folded,
    unique=True,
    postgresql_nulls_not_distinct=True,
    postgresql_where=categories.c.name_folded.is_not(None),
)

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
    time_column("create_time"),
    time_column("update_time"),
    Column("status", SmallInteger, nullable=False, server_default="1"),
    Column("category_id", ID, ForeignKey("categories.category_id")),
    Column("attributes", JSONB, nullable=False, server_default="{}"),
    Column("image_urls", TEXTS, nullable=False, server_default="{}"),
    text_column("tax_class"),
    Column("low_stock_threshold", Integer, nullable=False, server_default="0"),
    # Name and SKU without case and accents (rules.searchable_of).
    Column("searchable", Text, nullable=False),
    # What is taken for the same SKU (texts.folded); nothing where the version before wrote the row.
    Column("sku_folded", Text),
    UniqueConstraint("store_id", "sku", name="products_sku_key"),
    CheckConstraint("price_minor_units >= 0", name="products_price_not_negative"),
)
Index("products_sku_folded_key", products.c.store_id, products.c.sku_folded, unique=True)
Index("products_by_store", products.c.store_id, products.c.status, products.c.product_id)
Index(
    "products_by_category",
    products.c.store_id,
    products.c.category_id,
    products.c.status,
    products.c.product_id,
)
Index(
    "products_by_part",
    products.c.store_id,
    products.c.searchable,
    postgresql_using="gin",
    postgresql_ops={"searchable": "gin_trgm_ops"},
)

# The prices that a product has had, by the version that brought each.
price_changes = Table(
    "price_changes",
    METADATA,
    uuid_column("product_id", ForeignKey("products.product_id"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("price_minor_units", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    time_column("time"),
    Column("actor", Text, nullable=False),
)

# One row a product, from its creation on. Whoever changes several rows locks them in the order of product_id.
stock = Table(
    "stock",
    METADATA,
    uuid_column("product_id", ForeignKey("products.product_id"), primary_key=True),
    uuid_column("store_id"),
    Column("on_hand", Integer, nullable=False, server_default="0"),
    Column("reserved", Integer, nullable=False, server_default="0"),
    # One more with each change: watchers tell the newer from the older by it.
    Column("version", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("reserved >= 0 AND on_hand >= reserved", name="stock_covers_what_is_reserved"),
    # Room on each page, so that a busy product's versions stay on it.
    postgresql_with={"fillfactor": 50},
)

# What happened to the units on hand, and why: the deltas of a product add up to what is on hand.
stock_changes = Table(
    "stock_changes",
    METADATA,
    uuid_column("change_id", primary_key=True),
    uuid_column("product_id"),
    uuid_column("store_id"),
    Column("delta", Integer, nullable=False),
    Column("on_hand", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("create_time", TIME, nullable=False, server_default=NOW),
    Column("kind", SmallInteger, nullable=False, server_default="1"),
)
Index("stock_changes_by_product", stock_changes.c.product_id, stock_changes.c.change_id)

# One row an order; its lines are read and written only with it, and changed only under the locks of their stock rows.
# An order that was released before it reserved anything has no lines and, as nobody told it, no store.
reservations = Table(
    "reservations",
    METADATA,
    uuid_column("order_id", primary_key=True),
    Column("store_id", ID),
    Column("state", SmallInteger, nullable=False),
    Column("product_ids", UUIDS, nullable=False, server_default="{}"),
    Column("quantities", INTEGERS, nullable=False, server_default="{}"),
    Column("create_time", TIME, nullable=False, server_default=NOW),
    Column("update_time", TIME, nullable=False, server_default=NOW),
    # Who buys, and until when the units are held; empty once the order is confirmed, or nothing is held.
    Column("customer_id", ID),
    time_column("expire_time", nullable=True),
    CheckConstraint("cardinality(product_ids) = cardinality(quantities)", name="reservations_lines_match"),
    CheckConstraint("0 < ALL (quantities)", name="reservations_quantities_positive"),
    postgresql_with={"fillfactor": 80},
)
Index(
    "reservations_open",
    reservations.c.expire_time,
    postgresql_where=reservations.c.expire_time.is_not(None),
)
Index(
    "reservations_open_by_customer",
    reservations.c.customer_id,
    postgresql_where=reservations.c.expire_time.is_not(None),
)

imports = Table(
    "imports",
    METADATA,
    uuid_column("import_id", primary_key=True),
    uuid_column("store_id"),
    Column("complete", Boolean, nullable=False, server_default=false()),
    Column("batches", Integer, nullable=False, server_default="0"),
    Column("rows", Integer, nullable=False, server_default="0"),
    Column("created", Integer, nullable=False, server_default="0"),
    Column("updated", Integer, nullable=False, server_default="0"),
    Column("unchanged", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("create_time", TIME, nullable=False, server_default=NOW),
    Column("update_time", TIME, nullable=False, server_default=NOW),
)

# The batches that were taken in, each with the hash of its rows: sent again it must be the same.
import_batches = Table(
    "import_batches",
    METADATA,
    uuid_column("import_id", ForeignKey("imports.import_id"), primary_key=True),
    Column("batch", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)

import_errors = Table(
    "import_errors",
    METADATA,
    uuid_column("import_id", ForeignKey("imports.import_id"), primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
