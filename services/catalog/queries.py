"""The catalog's SQL, by name. A `store` that is given hides every other store's products; None sees all."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from commerce.catalog.v1.catalog_pb2 import Product
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from sqlalchemy import any_, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from services.catalog.rules import Stock, searchable
from services.catalog.tables import ID, products, stock, stock_changes
from services.runtime.database import Row, Runs
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.statements import param, statement
from services.runtime.tables import UUIDS

LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def _visible(column: Any) -> ColumnElement[bool]:
    return or_(param("store", ID).is_(None), column == param("store", ID))


_COLUMNS = (
    "product_id",
    "store_id",
    "sku",
    "name",
    "price_minor_units",
    "currency_code",
    "version",
    "create_time",
    "update_time",
    "searchable",
)
_created = (
    upsert(products)
    .values({name: param(name) for name in _COLUMNS})
    .on_conflict_do_nothing(constraint="products_sku_key")
    .returning(products.c.product_id, products.c.store_id)
    .cte("created")
)
_CREATE = statement(
    insert(stock).from_select(["product_id", "store_id"], select(_created)).returning(stock.c.product_id),
    "create product",
)
_PRODUCT = select(products).where(products.c.product_id == param("product_id"), _visible(products.c.store_id))
_GET = statement(_PRODUCT, "product")
_LOCK = statement(_PRODUCT.with_for_update(), "product locked")
_GET_MANY = statement(
    select(products).where(
        products.c.store_id == param("store"), products.c.product_id == any_(param("product_ids", UUIDS))
    ),
    "products",
)
_NEWEST = (
    select(products)
    .where(products.c.store_id == param("store"), products.c.product_id < param("before"))
    .order_by(products.c.product_id.desc())
    .limit(param("size"))
)
_LIST = statement(_NEWEST, "products newest first")
_FIND = statement(
    _NEWEST.where(products.c.searchable.like(param("pattern"))),
    "products that match",
    fresh_plan=True,
)
_CHANGE = statement(
    update(products)
    .where(products.c.product_id == param("product_id"))
    .values({name: param(name) for name in ("name", "price_minor_units", "currency_code", "version")})
    .values(update_time=param("update_time")),
    "change product",
)

_STOCK = select(stock).where(stock.c.product_id == param("product_id"), _visible(stock.c.store_id))
_GET_STOCK = statement(_STOCK, "stock")
_LOCK_STOCK = statement(_STOCK.with_for_update(), "stock locked")
_history = (
    insert(stock_changes)
    .values(
        {
            column.name: param(column.name)
            for column in stock_changes.columns
            if column.name not in ("create_time", "kind")
        }
    )
    .cte("history")
)
_COUNT = statement(
    update(stock)
    .where(stock.c.product_id == param("product_id"))
    .values(on_hand=param("on_hand"))
    .add_cte(_history),
    "count stock",
)


async def create(db: Runs, product: Product) -> None:
    """Record a product, with no stock. Refused with PRODUCT_SKU_TAKEN."""
    if await db.row(_CREATE, **_columns(product)) is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_PRODUCT_SKU_TAKEN,
            f"Another product of the store has the SKU {product.sku}",
            sku=product.sku,
        )


async def product(db: Runs, product_id: str, store: str | None) -> Product:
    """Return a product. Refused with PRODUCT_NOT_FOUND."""
    return _product(_found(await db.row(_GET, product_id=product_id, store=store), product_id))


async def product_locked(db: Runs, product_id: str, store: str | None) -> Product:
    """Return a product that nobody else changes until the work ends. Refused with PRODUCT_NOT_FOUND."""
    return _product(_found(await db.row(_LOCK, product_id=product_id, store=store), product_id))


async def products_of(db: Runs, store: str, product_ids: Sequence[str]) -> list[Product]:
    """Return those of the products that the store has."""
    rows = await db.rows(_GET_MANY, store=store, product_ids=list(product_ids))
    return [_product(row) for row in rows]


async def products_newest_first(db: Runs, store: str, text: str, before: str, size: int) -> list[Product]:
    """Return up to `size` of the store's products older than `before` whose name or SKU contains the text."""
    if not text:
        rows = await db.rows(_LIST, store=store, before=before, size=size)
    else:
        rows = await db.rows(
            _FIND, store=store, before=before, size=size, pattern=f"%{_literally(searchable(text))}%"
        )
    return [_product(row) for row in rows]


async def change(db: Runs, product: Product) -> None:
    """Record a product's name, price, version and update_time."""
    await db.rows(_CHANGE, **_columns(product))


async def stock_of(db: Runs, product_id: str, store: str | None) -> Stock:
    """Return a product's stock. Refused with PRODUCT_NOT_FOUND."""
    return _stock(_found(await db.row(_GET_STOCK, product_id=product_id, store=store), product_id))


async def stock_locked(db: Runs, product_id: str, store: str | None) -> Stock:
    """Return a product's stock, which nobody else changes until the work ends. Refused with PRODUCT_NOT_FOUND."""
    return _stock(_found(await db.row(_LOCK_STOCK, product_id=product_id, store=store), product_id))


async def count(db: Runs, before: Stock, after: Stock, reason: str, actor: str) -> None:
    """Record how many units are on hand, with who says so and why."""
    await db.rows(
        _COUNT,
        change_id=new_id(),
        product_id=after.product_id,
        store_id=after.store_id,
        delta=after.on_hand - before.on_hand,
        on_hand=after.on_hand,
        reason=reason,
        actor=actor,
    )


def _found(row: Row | None, product_id: str) -> Row:
    if row is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND,
            f"There is no product {product_id}",
            product_id=product_id,
        )
    return row


def _literally(text: str) -> str:
    """Take the meaning from the characters that LIKE gives one."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _columns(product: Product) -> dict[str, Any]:
    return {
        "product_id": product.product_id,
        "store_id": product.store_id,
        "sku": product.sku,
        "name": product.name,
        "price_minor_units": product.price.minor_units,
        "currency_code": product.price.currency_code,
        "version": product.version,
        "create_time": product.create_time.ToDatetime(UTC),
        "update_time": product.update_time.ToDatetime(UTC),
        "searchable": searchable(f"{product.name} {product.sku}"),
    }


def _product(row: Row) -> Product:
    return Product(
        product_id=str(row["product_id"]),
        store_id=str(row["store_id"]),
        sku=row["sku"],
        name=row["name"],
        price=Money(currency_code=row["currency_code"], minor_units=row["price_minor_units"]),
        version=row["version"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        status=row["status"],
        category_id=str(row["category_id"] or ""),
        image_urls=row["image_urls"],
        tax_class=row["tax_class"],
        low_stock_threshold=row["low_stock_threshold"],
    )


def _stock(row: Row) -> Stock:
    return Stock(str(row["product_id"]), str(row["store_id"]), row["on_hand"], row["reserved"])
