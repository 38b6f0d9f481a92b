"""ImportService: one method an RPC, in the order of the contract."""

from functools import partial

from commerce.catalog.v1 import catalog_service_pb2 as catalog
from commerce.catalog.v1.catalog_service_pb2_grpc import ImportServiceServicer

from services.catalog import imports
from services.catalog.imports import Asked, Imports
from services.runtime.incoming import Incoming
from services.runtime.pages import Pages
from services.runtime.work import Call


class ImportService(ImportServiceServicer):
    """Many products at once."""

    def __init__(self, imports: Imports, pages: Pages) -> None:
        self._imports, self._pages = imports, pages

    async def ImportProducts(
        self, batches: Incoming[catalog.ImportProductsRequest], call: Call
    ) -> catalog.ImportProductsResponse:
        asked = Asked()
        last = await batches.each(partial(self._imports.take_in, asked))
        if last.validate_only:
            return asked.reply(last)
        whole = await imports.complete(call.db, last.request_id)
        return catalog.ImportProductsResponse(product_import=whole)

    async def GetImport(self, request: catalog.GetImportRequest, call: Call) -> catalog.GetImportResponse:
        found = await imports.import_of(call.db, request.import_id, request.store_id)
        return catalog.GetImportResponse(product_import=found)

    async def ListImportErrors(
        self, request: catalog.ListImportErrorsRequest, call: Call
    ) -> catalog.ListImportErrorsResponse:
        await imports.import_of(call.db, request.import_id, request.store_id)
        size = self._pages.size(request)
        (after,) = self._pages.position(request) or ["0"]
        errors = await imports.errors_of(call.db, request.import_id, int(after), size + 1)
        page, more = self._pages.cut(request, errors, lambda last: [str(last.row)])
        return catalog.ListImportErrorsResponse(errors=page, next_page_token=more)
