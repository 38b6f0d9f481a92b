"""CatalogService and StockService: one method an RPC, in the order of the contract."""

from collections.abc import AsyncIterator
from dataclasses import replace

from commerce.catalog.v1 import catalog_service_pb2 as catalog
from commerce.catalog.v1 import stock_service_pb2 as stocks
from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated
from commerce.catalog.v1.catalog_pb2 import Product
from commerce.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer
from commerce.catalog.v1.stock_service_pb2_grpc import StockServiceServicer

from services.catalog import categories, levels, queries, rules, search, traces
from services.catalog.movements import (
    BOOKMARK,
    Movements,
    changes_newest_first,
    low,
    stock_locked,
    stock_of,
    update_of,
)
from services.catalog.reservations import Reservations, offers_locked, reservations_of
from services.catalog.rules import Step
from services.runtime import times
from services.runtime.hub import Hub
from services.runtime.ids import LAST_ID, new_id
from services.runtime.pages import Pages
from services.runtime.work import Call


class CatalogService(CatalogServiceServicer):
    """The products of a store."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def CreateProduct(
        self, request: catalog.CreateProductRequest, call: Call
    ) -> catalog.CreateProductResponse:
        product = rules.created(request, str(new_id()), times.now())
        await categories.check(call.db, product.category_id, product.store_id)
        await queries.create(call.db, product, call.caller.actor)
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
        (before,) = self._pages.position(request) or [LAST_ID]
        statuses = rules.statuses(request.status, call.caller.role)
        below = await categories.below(call.db, request.category_id, request.store_id)
        products = await search.newest_first(
            call.db, request.store_id, request.query, below, statuses, before, size + 1
        )
        page, more = self._pages.cut(request, products, lambda last: [last.product_id])
        return catalog.ListProductsResponse(products=page, next_page_token=more)

    async def UpdateProduct(
        self, request: catalog.UpdateProductRequest, call: Call
    ) -> catalog.UpdateProductResponse:
        product = await queries.product_locked(call.db, request.product_id, _store(call))
        updated = rules.updated(product, request, times.now())
        await categories.check(call.db, updated.category_id, product.store_id)
        await _change(call, product, updated)
        return catalog.UpdateProductResponse(product=updated)

    async def ArchiveProduct(
        self, request: catalog.ArchiveProductRequest, call: Call
    ) -> catalog.ArchiveProductResponse:
        product = await queries.product_locked(call.db, request.product_id, _store(call))
        archived = rules.with_status(product, rules.ARCHIVED, times.now())
        await _change(call, product, archived)
        return catalog.ArchiveProductResponse(product=archived)

    async def RestoreProduct(
        self, request: catalog.RestoreProductRequest, call: Call
    ) -> catalog.RestoreProductResponse:
        product = await queries.product_locked(call.db, request.product_id, _store(call))
        restored = rules.with_status(product, rules.ACTIVE, times.now())
        await _change(call, product, restored)
        return catalog.RestoreProductResponse(product=restored)

    async def ListPriceChanges(
        self, request: catalog.ListPriceChangesRequest, call: Call
    ) -> catalog.ListPriceChangesResponse:
        product = await queries.product(call.db, request.product_id, _store(call))
        size = self._pages.size(request)
        (before,) = self._pages.position(request) or [str(queries.LAST_VERSION)]
        changes = await queries.prices_newest_first(call.db, product.product_id, int(before), size + 1)
        page, more = self._pages.cut(request, changes, lambda last: [str(last.version)])
        return catalog.ListPriceChangesResponse(changes=page, next_page_token=more)


class StockService(StockServiceServicer):
    """How many units of each product there are, and which are promised to whom."""

    def __init__(self, movements: Movements, reservations: Reservations, hub: Hub, pages: Pages) -> None:
        self._movements, self._reservations = movements, reservations
        self._hub, self._pages = hub, pages

    async def GetStock(self, request: stocks.GetStockRequest, call: Call) -> stocks.GetStockResponse:
        stock = await stock_of(call.db, request.product_id, _store(call))
        return stocks.GetStockResponse(**stock.shown())

    async def SetStock(self, request: stocks.SetStockRequest, call: Call) -> stocks.SetStockResponse:
        before = await stock_locked(call.db, request.product_id, _store(call))
        movement = levels.counted(before, request.quantity, levels.COUNTED, "counted")
        await self._movements.record(call, [movement], call.caller.actor)
        return stocks.SetStockResponse(**movement.after.shown())

    async def AdjustStock(self, request: stocks.AdjustStockRequest, call: Call) -> stocks.AdjustStockResponse:
        before = await stock_locked(call.db, request.product_id, _store(call))
        on_hand = before.on_hand + request.delta
        movement = levels.counted(before, on_hand, levels.ADJUSTED, request.reason)
        await self._movements.record(call, [movement], call.caller.actor)
        return stocks.AdjustStockResponse(**movement.after.shown())

    async def ListStockChanges(
        self, request: stocks.ListStockChangesRequest, call: Call
    ) -> stocks.ListStockChangesResponse:
        await stock_of(call.db, request.product_id, _store(call))
        size = self._pages.size(request)
        (before,) = self._pages.position(request) or [LAST_ID]
        changes = await changes_newest_first(call.db, request.product_id, before, size + 1)
        page, more = self._pages.cut(request, changes, lambda last: [last.change_id])
        return stocks.ListStockChangesResponse(changes=page, next_page_token=more)

    async def WatchStock(self, request: stocks.WatchStockRequest, call: Call) -> AsyncIterator[bytes]:
        stock = await stock_of(call.db, request.product_id, _store(call))
        now = update_of(stock).SerializeToString()
        if stock.version != request.after_version:
            yield now
        async for update in self._hub.follow(stock.product_id, stock.version):
            now = update.message if update else now
            yield now if update else now + BOOKMARK

    async def ReserveStock(
        self, request: stocks.ReserveStockRequest, call: Call
    ) -> stocks.ReserveStockResponse:
        wanted = request.reservations
        room = await self._reservations.room_locked(call.db, wanted)
        offers = await offers_locked(call.db, wanted)
        known = await reservations_of(call.db, [order.order_id for order in wanted])
        results, held = rules.reserve(wanted, offers, known, room)
        await self._reservations.hold(call, held, offers)
        call.after_commit(lambda: traces.record(wanted, results))
        return stocks.ReserveStockResponse(results=results)

    async def CommitReservations(
        self, request: stocks.CommitReservationsRequest, call: Call
    ) -> stocks.CommitReservationsResponse:
        steps = [Step("commit", order_id) for order_id in request.order_ids]
        results = await self._reservations.take_steps(call, steps, call.caller.actor)
        return stocks.CommitReservationsResponse(results=results)

    async def ReleaseReservations(
        self, request: stocks.ReleaseReservationsRequest, call: Call
    ) -> stocks.ReleaseReservationsResponse:
        steps = [Step("release", order_id) for order_id in request.order_ids]
        results = await self._reservations.take_steps(call, steps, call.caller.actor)
        return stocks.ReleaseReservationsResponse(results=results)


async def _change(call: Call, before: Product, after: Product) -> None:
    """Record and tell what has become of a product, if that is anything new."""
    if after.version != before.version:
        await queries.change(call.db, before, after, call.caller.actor)
        call.publish(ProductUpdated(product=after))
    if after.low_stock_threshold != before.low_stock_threshold:
        stock = await stock_locked(call.db, after.product_id, after.store_id)
        if stock.is_low and not replace(stock, low_stock_threshold=before.low_stock_threshold).is_low:
            call.publish(low(stock))


def _store(call: Call) -> str | None:
    """The only store whose products the caller may see; None for a caller of all stores."""
    return call.caller.store_id or None
