"""What CreateOrder must know of other services: their data as copied here, else asked for and then remembered."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from commerce.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from commerce.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import GetCustomerRequest
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub
from commerce.order.v1.order_service_pb2 import CreateOrderRequest

from services.order import queries
from services.runtime.database import Database
from services.runtime.refusals import Refusal

Product = Mapping[str, Any]


class Baskets:
    """Looks up a basket's products and its buyer. Nothing here runs in a transaction: it may ask other services."""

    def __init__(
        self, database: Database, customers: CustomerServiceStub, catalog: CatalogServiceStub
    ) -> None:
        self._database, self._customers, self._catalog = database, customers, catalog

    async def products(self, request: CreateOrderRequest) -> dict[str, Product]:
        """Return the products by id; one that does not exist is not there. Refused with CUSTOMER_NOT_FOUND."""
        wanted = [line.product_id.lower() for line in request.lines]
        rows = await self._database.rows(
            queries.BASKET, product_ids=wanted, store_id=request.store_id, customer_id=request.customer_id
        )
        if rows[0]["customer_id"] is None:
            await self._ask_for_customer(request)
        known: dict[str, Product] = {str(row["product_id"]): row for row in rows if row["product_id"]}
        missing = [product_id for product_id in wanted if product_id not in known]
        if missing:
            known |= await self._ask_for_products(request.store_id, missing)
        return known

    async def _ask_for_customer(self, request: CreateOrderRequest) -> None:
        try:
            reply = await self._customers.GetCustomer(GetCustomerRequest(customer_id=request.customer_id))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise _no_customer(request) from None
            raise _away("customer") from error
        if reply.customer.store_id != request.store_id.lower():
            raise _no_customer(request)
        await self._database.rows(
            queries.CUSTOMER_KNOWN, customer_id=reply.customer.customer_id, store_id=reply.customer.store_id
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
            row = queries.copy_of(product)
            await self._database.rows(queries.PRODUCT_KNOWN, **row)
            found[product.product_id] = row
        return found


def _no_customer(request: CreateOrderRequest) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND,
        f"There is no customer {request.customer_id}",
        customer_id=request.customer_id,
    )


def _away(service: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_UNAVAILABLE, f"The {service} service is away", retry_seconds=1)
