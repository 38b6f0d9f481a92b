"""What CreateOrder must know of other services: their data as copied here, else asked for and then remembered."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import grpc
from commerce.catalog.v1.catalog_pb2 import Product as CatalogProduct
from commerce.catalog.v1.catalog_pb2 import ProductStatus
from commerce.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from commerce.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import GetCustomerRequest
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub
from commerce.order.v1.order_pb2 import Order
from commerce.order.v1.order_service_pb2 import CreateOrderRequest, PreviewOrderRequest
from commerce.order.v1.settings_service_pb2 import OrderSettings
from sqlalchemy import and_, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import insert as upsert

from services.order import prices
from services.order.rules import settings_of
from services.order.tables import customers, order_settings, products
from services.runtime.callers import customer_not_found
from services.runtime.columns import UUIDS
from services.runtime.database import Database
from services.runtime.refusals import Refusal
from services.runtime.statements import param, statement

Product: TypeAlias = Mapping[str, Any]
Wish: TypeAlias = CreateOrderRequest | PreviewOrderRequest

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


class Baskets:
    """Looks up a basket and its buyer. Nothing here runs in a transaction: it may ask other services."""

    def __init__(
        self, database: Database, customers: CustomerServiceStub, catalog: CatalogServiceStub
    ) -> None:
        self._database, self._customers, self._catalog = database, customers, catalog

    async def basket(self, request: Wish) -> tuple[Order, OrderSettings]:
        """Return an order of what is wished for, which is not priced yet, and the settings of its store.

        Refused with CUSTOMER_NOT_FOUND, PRODUCT_NOT_FOUND or PRODUCT_ARCHIVED.
        """
        wanted = [line.product_id.lower() for line in request.lines]
        rows = await self._database.rows(
            BASKET, product_ids=wanted, store_id=request.store_id, customer_id=request.customer_id
        )
        if rows[0]["customer_id"] is None:
            await self._ask_for_customer(request)
        known: dict[str, Product] = {str(row["product_id"]): row for row in rows if row["product_id"]}
        missing = [product_id for product_id in wanted if product_id not in known]
        if missing:
            known |= await self._ask_for_products(request.store_id, missing)
        settings = settings_of(rows[0]["settings"])
        return _order(request, known, settings), settings

    async def _ask_for_customer(self, request: Wish) -> None:
        try:
            reply = await self._customers.GetCustomer(GetCustomerRequest(customer_id=request.customer_id))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise customer_not_found(request.customer_id) from None
            raise _away("customer") from error
        if reply.customer.store_id != request.store_id.lower():
            raise customer_not_found(request.customer_id)
        await self._database.rows(
            CUSTOMER_KNOWN, customer_id=reply.customer.customer_id, store_id=reply.customer.store_id
        )

    async def _ask_for_products(self, store_id: str, missing: Sequence[str]) -> dict[str, Product]:
        try:
            reply = await self._catalog.BatchGetProducts(
                BatchGetProductsRequest(store_id=store_id, product_ids=missing)
            )
        except grpc.aio.AioRpcError as error:
            raise _away("catalog") from error
        found: dict[str, Product] = {}
        for product in reply.products:
            row = copy_of(product)
            await self._database.rows(PRODUCT_KNOWN, **row)
            found[product.product_id] = row
        return found


def _order(request: Wish, products: Mapping[str, Product], settings: OrderSettings) -> Order:
    address = request.delivery_address
    return Order(
        store_id=request.store_id.lower(),
        customer_id=request.customer_id.lower(),
        lines=prices.lines(request.lines, products, settings, address.country_code),
        tax_included=settings.tax_included,
        shipping_tax_rate_ppm=prices.shipping_tax_rate(settings, address.country_code),
        delivery_address=address if request.HasField("delivery_address") else None,
    )


def _away(service: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_UNAVAILABLE, f"The {service} service is away", retry_seconds=1)


def copy_of(product: CatalogProduct) -> dict[str, Any]:
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
