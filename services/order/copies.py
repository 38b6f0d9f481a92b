"""Copies of what other services know of products and customers, and the one look in which CreateOrder reads them."""

from typing import Any

from commerce.catalog.v1.catalog_pb2 import Product, ProductStatus
from sqlalchemy import and_, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import insert as upsert

from services.order.tables import customers, order_settings, products
from services.runtime.columns import UUIDS
from services.runtime.statements import param, statement

# What CreateOrder must know: the customer, the store's settings and the products asked for. Always one row at least.
_wanted = (
    select(products)
    .where(
        products.c.product_id == func.any(param("product_ids", UUIDS)),
        products.c.store_id == param("store_id"),
    )
    .subquery("wanted")
)
_buyer = (
    select(customers.c.customer_id)
    .where(customers.c.customer_id == param("customer_id"), customers.c.store_id == param("store_id"))
    .subquery("buyer")
)
_settings = (
    select(order_settings.c.settings)
    .where(order_settings.c.store_id == param("store_id"))
    .subquery("settings")
)
_one = select(literal_column("1").label("one")).subquery("one")
BASKET = statement(
    select(_buyer.c.customer_id, _settings.c.settings, _wanted).select_from(
        _one.outerjoin(_buyer, true()).outerjoin(_settings, true()).outerjoin(_wanted, true())
    ),
    "basket",
)

_product = upsert(products).values({column.name: param(column.name) for column in products.c})
PRODUCT_KNOWN = statement(
    _product.on_conflict_do_update(
        index_elements=["product_id"],
        set_={
            name: _product.excluded[name]
            for name in (
                "sku",
                "name",
                "price_minor_units",
                "currency_code",
                "version",
                "archived",
                "tax_class",
            )
        },
        where=and_(products.c.version < _product.excluded.version),
    ),
    "product known",
)
CUSTOMER_KNOWN = statement(
    upsert(customers)
    .values(customer_id=param("customer_id"), store_id=param("store_id"))
    .on_conflict_do_nothing(),
    "customer known",
)


def copy_of(product: Product) -> dict[str, Any]:
    """Return the values of PRODUCT_KNOWN: what the order service keeps of a product."""
    return {
        "product_id": product.product_id,
        "store_id": product.store_id,
        "sku": product.sku,
        "name": product.name,
        "price_minor_units": product.price.minor_units,
        "currency_code": product.price.currency_code,
        "version": product.version,
        "archived": product.status == ProductStatus.PRODUCT_STATUS_ARCHIVED,
        "tax_class": product.tax_class,
    }
