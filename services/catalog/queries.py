"""The catalog's SQL, by name. A `store` that is given hides every other store's products; None sees all."""

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from commerce.catalog.v1.catalog_pb2 import PriceChange, Product, ProductStatus
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from sqlalchemy import Text, any_, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from services.catalog.rules import ARCHIVED, searchable_of
from services.catalog.tables import price_changes, products, stock
from services.runtime.columns import ID, UUIDS
from services.runtime.database import Row, Runs
from services.runtime.refusals import Refusal
from services.runtime.statements import param, statement
from services.runtime.texts import folded

LAST_VERSION = 2**63 - 1


def visible(column: Any) -> ColumnElement[bool]:
    """Rows of the store that is given, or of every store when none is."""
    return or_(param("store", ID).is_(None), column == param("store", ID))


_PRICED = ("product_id", "version", "price_minor_units", "currency_code")
_created = (
    upsert(products)
    .values({column.name: param(column.name) for column in products.c})
    .on_conflict_do_nothing()
    .returning(products.c.store_id, products.c.create_time, *(products.c[name] for name in _PRICED))
    .cte("created")
)
_first_price = (
    insert(price_changes)
    .from_select(
        [*_PRICED, "time", "actor"],
        select(*(_created.c[name] for name in _PRICED), _created.c.create_time, param("actor", Text)),
    )
    .cte("first_price")
)
_CREATE = statement(
    insert(stock)
    .from_select(["product_id", "store_id"], select(_created.c.product_id, _created.c.store_id))
    .returning(stock.c.product_id)
    .add_cte(_first_price),
    "create product",
)
_HOLDER = statement(
    select(products)
    .where(
        products.c.store_id == param("store_id"),
        or_(products.c.sku == param("sku"), products.c.sku_folded == param("sku_folded")),
    )
    .limit(1),
    "product that has a SKU",
)
_PRODUCT = select(products).where(products.c.product_id == param("product_id"), visible(products.c.store_id))
_GET = statement(_PRODUCT, "product")
_LOCK = statement(_PRODUCT.with_for_update(), "product locked")
_GET_MANY = statement(
    select(products).where(
        products.c.store_id == param("store"), products.c.product_id == any_(param("product_ids", UUIDS))
    ),
    "products",
)
_CHANGE = statement(
    update(products)
    .where(products.c.product_id == param("product_id"))
    .values(
        {
            column.name: param(column.name)
            for column in products.c
            if column.name not in ("product_id", "store_id", "sku", "sku_folded", "create_time")
        }
    ),
    "change product",
)
_PRICE = statement(
    insert(price_changes).values({column.name: param(column.name) for column in price_changes.c}),
    "price changed",
)
_PRICES = statement(
    select(price_changes)
    .where(price_changes.c.product_id == param("product_id"), price_changes.c.version < param("before"))
    .order_by(price_changes.c.version.desc())
    .limit(param("size")),
    "prices newest first",
)


async def create(db: Runs, product: Product, actor: str) -> None:
    """Record a product, with its first price and no stock. Refused with PRODUCT_SKU_TAKEN."""
    row = row_of(product)
    if await db.row(_CREATE, **row, actor=actor) is None:
        holder = await db.row(_HOLDER, **row)
        assert holder is not None  # No product is ever deleted, and none changes its SKU.
        raise _taken(product_of(holder))


async def product(db: Runs, product_id: str, store: str | None) -> Product:
    """Return a product. Refused with PRODUCT_NOT_FOUND."""
    return product_of(found(await db.row(_GET, product_id=product_id, store=store), product_id))


async def product_locked(db: Runs, product_id: str, store: str | None) -> Product:
    """Return a product that nobody else changes until the work ends. Refused with PRODUCT_NOT_FOUND."""
    return product_of(found(await db.row(_LOCK, product_id=product_id, store=store), product_id))


async def products_of(db: Runs, store: str, product_ids: Sequence[str]) -> list[Product]:
    """Return those of the products that the store has."""
    rows = await db.rows(_GET_MANY, store=store, product_ids=list(product_ids))
    return [product_of(row) for row in rows]


async def change(db: Runs, before: Product, after: Product, actor: str) -> None:
    """Record a product as it is now, with its price if that is new."""
    row = row_of(after)
    await db.rows(_CHANGE, **row)
    if after.price != before.price:
        await db.rows(_PRICE, **row, time=row["update_time"], actor=actor)


async def prices_newest_first(db: Runs, product_id: str, before: int, size: int) -> list[PriceChange]:
    """Return up to `size` of the prices that a product's versions older than `before` brought."""
    rows = await db.rows(_PRICES, product_id=product_id, before=before, size=size)
    return [
        PriceChange(version=row["version"], price=_price(row), time=row["time"], actor=row["actor"])
        for row in rows
    ]


def found(row: Row | None, product_id: str) -> Row:
    """Return the row of a product. Refused with PRODUCT_NOT_FOUND when there is none."""
    if row is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND,
            f"There is no product {product_id}",
            product_id=product_id,
        )
    return row


def _taken(holder: Product) -> Refusal:
    if holder.status == ARCHIVED:
        message = f"The archived product {holder.product_id} has the SKU {holder.sku}: restore it, or take another SKU"
    else:
        message = f"The product {holder.product_id} of the store has the SKU {holder.sku}"
    return Refusal(
        ErrorReason.ERROR_REASON_PRODUCT_SKU_TAKEN,
        message,
        sku=holder.sku,
        product_id=holder.product_id,
        status=ProductStatus.Name(holder.status).removeprefix("PRODUCT_STATUS_"),
    )


def row_of(product: Product) -> dict[str, Any]:
    """Return a product as its row has it."""
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
        "status": product.status,
        "category_id": product.category_id or None,
        "attributes": json.dumps(dict(product.attributes)),
        "image_urls": list(product.image_urls),
        "tax_class": product.tax_class,
        "low_stock_threshold": product.low_stock_threshold,
        "searchable": searchable_of(product),
        "sku_folded": folded(product.sku),
    }


def product_of(row: Row) -> Product:
    """Return a row as the contract has it."""
    return Product(
        product_id=str(row["product_id"]),
        store_id=str(row["store_id"]),
        sku=row["sku"],
        name=row["name"],
        price=_price(row),
        version=row["version"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        status=row["status"],
        category_id=str(row["category_id"] or ""),
        attributes=json.loads(row["attributes"]),
        image_urls=row["image_urls"],
        tax_class=row["tax_class"],
        low_stock_threshold=row["low_stock_threshold"],
    )


def _price(row: Row) -> Money:
    return Money(currency_code=row["currency_code"], minor_units=row["price_minor_units"])
