"""What CreateOrder must know of other services: their data as copied here, else asked for and then remembered."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import grpc
from commerce.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from commerce.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import GetCustomerRequest
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub
from commerce.order.v1.order_pb2 import Order
from commerce.order.v1.order_service_pb2 import CreateOrderRequest, PreviewOrderRequest
from commerce.order.v1.settings_service_pb2 import OrderSettings

from services.order import copies, prices
from services.order.store_settings import settings_of
from services.runtime.callers import customer_not_found
from services.runtime.database import Database
from services.runtime.refusals import Refusal, invalid

Product: TypeAlias = Mapping[str, Any]
Wish: TypeAlias = CreateOrderRequest | PreviewOrderRequest


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
        if len(set(wanted)) < len(wanted):
            raise invalid("lines", "must name each product once")
        rows = await self._database.rows(
            copies.BASKET, product_ids=wanted, store_id=request.store_id, customer_id=request.customer_id
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
            copies.CUSTOMER_KNOWN, customer_id=reply.customer.customer_id, store_id=reply.customer.store_id
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
            row = copies.copy_of(product)
            await self._database.rows(copies.PRODUCT_KNOWN, **row)
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
