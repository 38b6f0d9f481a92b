"""SettlementService: one method an RPC, in the order of the contract."""

from commerce.payment.v1 import settlement_service_pb2 as rpc
from commerce.payment.v1.settlement_service_pb2_grpc import SettlementServiceServicer

from services.payment.settlement import intake, lists
from services.payment.settlement.intake import Settlements
from services.runtime.ids import LAST_ID
from services.runtime.incoming import Incoming
from services.runtime.pages import Pages
from services.runtime.work import Call


class SettlementService(SettlementServiceServicer):
    """The providers' reports against our books."""

    def __init__(self, settlements: Settlements, pages: Pages) -> None:
        self._settlements, self._pages = settlements, pages

    async def ImportSettlement(
        self, batches: Incoming[rpc.ImportSettlementRequest], call: Call
    ) -> rpc.ImportSettlementResponse:
        last = await batches.each(self._settlements.take_in)
        settlement_id = await intake.complete(last, call.db)
        return rpc.ImportSettlementResponse(settlement=await lists.settlement(call.db, settlement_id))

    async def FetchSettlement(
        self, request: rpc.FetchSettlementRequest, call: Call
    ) -> rpc.FetchSettlementResponse:
        await self._settlements.fetch(request)
        settlement_id = await intake.complete(request, call.db)
        return rpc.FetchSettlementResponse(settlement=await lists.settlement(call.db, settlement_id))

    async def ListSettlements(
        self, request: rpc.ListSettlementsRequest, call: Call
    ) -> rpc.ListSettlementsResponse:
        size, position = self._pages.size(request), self._pages.position(request)
        found = await lists.settlements(call.db, request.gateway, position, size + 1)
        page, more = self._pages.cut(request, found, lists.position_of)
        return rpc.ListSettlementsResponse(settlements=page, next_page_token=more)

    async def ListDiscrepancies(
        self, request: rpc.ListDiscrepanciesRequest, call: Call
    ) -> rpc.ListDiscrepanciesResponse:
        size = self._pages.size(request)
        (before,) = self._pages.position(request) or [LAST_ID]
        found = await lists.discrepancies(call.db, request, before, size + 1)
        page, more = self._pages.cut(request, found, lambda last: [last.discrepancy_id])
        return rpc.ListDiscrepanciesResponse(discrepancies=page, next_page_token=more)

    async def ResolveDiscrepancy(
        self, request: rpc.ResolveDiscrepancyRequest, call: Call
    ) -> rpc.ResolveDiscrepancyResponse:
        found = await lists.resolved(call.db, request, call.caller.store_id)
        return rpc.ResolveDiscrepancyResponse(discrepancy=found)
