"""Products, their stock, and what is reserved of it for each order."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import UUID

from services.runtime.tables import NOW, UUIDS

METADATA = MetaData()
ID = UUID(as_uuid=True)
TIME = DateTime(timezone=True)
INTEGERS = ARRAY(Integer)

products = Table(
    "products",
    METADATA,
    Column("product_id", ID, primary_key=True),
    Column("store_id", ID, nullable=False),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("price_minor_units", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
    UniqueConstraint("store_id", "sku", name="products_sku_key"),
    CheckConstraint("price_minor_units >= 0", name="products_price_not_negative"),
)
Index("products_by_store", products.c.store_id, products.c.product_id)
Index(
    "products_by_part",
    products.c.store_id,
    products.c.name,
    products.c.sku,
    postgresql_using="gin",
    postgresql_ops={"name": "gin_trgm_ops", "sku": "gin_trgm_ops"},
)

# One row a product, from its creation on. Whoever changes several rows locks them in the order of product_id.
stock = Table(
    "stock",
    METADATA,
    Column("product_id", ID, ForeignKey("products.product_id"), primary_key=True),
    Column("store_id", ID, nullable=False),
    Column("on_hand", Integer, nullable=False, server_default="0"),
    Column("reserved", Integer, nullable=False, server_default="0"),
    CheckConstraint("reserved >= 0 AND on_hand >= reserved", name="stock_covers_what_is_reserved"),
    # Room on each page, so that a busy product's versions stay on it.
    postgresql_with={"fillfactor": 50},
)

# What people did to the stock, and why.
stock_changes = Table(
    "stock_changes",
    METADATA,
    Column("change_id", ID, primary_key=True),
    Column("product_id", ID, nullable=False),
    Column("store_id", ID, nullable=False),
    Column("delta", Integer, nullable=False),
    Column("on_hand", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("create_time", TIME, nullable=False, server_default=NOW),
)
Index("stock_changes_by_product", stock_changes.c.product_id, stock_changes.c.change_id)

# One row an order; its lines are read and written only with it, and changed only under the locks of their stock rows.
# An order that was released before it reserved anything has no lines and, as nobody told it, no store.
reservations = Table(
    "reservations",
    METADATA,
    Column("order_id", ID, primary_key=True),
    Column("store_id", ID),
    Column("state", SmallInteger, nullable=False),
    Column("product_ids", UUIDS, nullable=False, server_default="{}"),
    Column("quantities", INTEGERS, nullable=False, server_default="{}"),
    Column("create_time", TIME, nullable=False, server_default=NOW),
    Column("update_time", TIME, nullable=False, server_default=NOW),
    CheckConstraint("cardinality(product_ids) = cardinality(quantities)", name="reservations_lines_match"),
    CheckConstraint("0 < ALL (quantities)", name="reservations_quantities_positive"),
    postgresql_with={"fillfactor": 80},
)
