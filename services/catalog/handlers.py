"""CatalogService and StockService: one method an RPC, in the order of the contract."""

from datetime import UTC, datetime

from commerce.catalog.v1 import catalog_service_pb2 as catalog
from commerce.catalog.v1 import stock_service_pb2 as stocks
from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated
from commerce.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer
from commerce.catalog.v1.stock_service_pb2_grpc import StockServiceServicer

from services.catalog import queries, reservations, rules, traces
from services.runtime.ids import new_id
from services.runtime.pages import Pages
from services.runtime.work import Call


class CatalogService(CatalogServiceServicer):
    """The products of a store."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def CreateProduct(
        self, request: catalog.CreateProductRequest, call: Call
    ) -> catalog.CreateProductResponse:
        product = rules.created(request, str(new_id()), datetime.now(UTC))
        await queries.create(call.db, product)
        call.publish(ProductCreated(product=product))
        return catalog.CreateProductResponse(product=product)

    async def GetProduct(self, request: catalog.GetProductRequest, call: Call) -> catalog.GetProductResponse:
        product = await queries.product(call.db, request.product_id, _store(call))
        return catalog.GetProductResponse(product=product)

    async def BatchGetProducts(
        self, request: catalog.BatchGetProductsRequest, call: Call
    ) -> catalog.BatchGetProductsResponse:
        products = await queries.products_of(call.db, request.store_id, request.product_ids)
        return catalog.BatchGetProductsResponse(products=products)

    async def ListProducts(
        self, request: catalog.ListProductsRequest, call: Call
    ) -> catalog.ListProductsResponse:
        size = self._pages.size(request)
        (before,) = self._pages.position(request) or [queries.LAST_ID]
        products = await queries.products_newest_first(
            call.db, request.store_id, request.query, before, size + 1
        )
        page = products[:size]
        more = self._pages.token(request, [page[-1].product_id]) if len(products) > size else ""
        return catalog.ListProductsResponse(products=page, next_page_token=more)

    async def UpdateProduct(
        self, request: catalog.UpdateProductRequest, call: Call
    ) -> catalog.UpdateProductResponse:
        product = await queries.product_locked(call.db, request.product_id, _store(call))
        updated = rules.updated(product, request, datetime.now(UTC))
        if updated.version != product.version:
            await queries.change(call.db, updated)
            call.publish(ProductUpdated(product=updated))
        return catalog.UpdateProductResponse(product=updated)


class StockService(StockServiceServicer):
    """How many units of each product there are, and which are promised to whom."""

    async def GetStock(self, request: stocks.GetStockRequest, call: Call) -> stocks.GetStockResponse:
        stock = await queries.stock_of(call.db, request.product_id, _store(call))
        return stocks.GetStockResponse(**stock.shown())

    async def SetStock(self, request: stocks.SetStockRequest, call: Call) -> stocks.SetStockResponse:
        before = await queries.stock_locked(call.db, request.product_id, _store(call))
        stock = rules.counted(before, request.quantity)
        await queries.count(call.db, before, stock, "counted", call.caller.actor)
        return stocks.SetStockResponse(**stock.shown())

    async def AdjustStock(self, request: stocks.AdjustStockRequest, call: Call) -> stocks.AdjustStockResponse:
        before = await queries.stock_locked(call.db, request.product_id, _store(call))
        stock = rules.counted(before, before.on_hand + request.delta)
        await queries.count(call.db, before, stock, request.reason, call.caller.actor)
        return stocks.AdjustStockResponse(**stock.shown())

    async def ReserveStock(
        self, request: stocks.ReserveStockRequest, call: Call
    ) -> stocks.ReserveStockResponse:
        wanted = request.reservations
        offers = await reservations.offers_locked(call.db, wanted)
        known = await reservations.reservations_of(call.db, [order.order_id for order in wanted])
        results, held = rules.reserve(wanted, offers, known)
        await reservations.hold(call.db, held)
        call.after_commit(lambda: traces.record(wanted, results))
        return stocks.ReserveStockResponse(results=results)

    async def CommitReservations(
        self, request: stocks.CommitReservationsRequest, call: Call
    ) -> stocks.CommitReservationsResponse:
        steps = [("commit", order_id) for order_id in request.order_ids]
        return stocks.CommitReservationsResponse(results=await reservations.settle(call.db, steps))

    async def ReleaseReservations(
        self, request: stocks.ReleaseReservationsRequest, call: Call
    ) -> stocks.ReleaseReservationsResponse:
        steps = [("release", order_id) for order_id in request.order_ids]
        return stocks.ReleaseReservationsResponse(results=await reservations.settle(call.db, steps))


def _store(call: Call) -> str | None:
    """The only store whose products the caller may see; None for a caller of all stores."""
    return call.caller.store_id or None
