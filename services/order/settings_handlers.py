"""SettingsService: one method per RPC, in the order of the contract."""

from commerce.order.v1 import settings_service_pb2 as rpc
from commerce.order.v1.settings_service_pb2_grpc import SettingsServiceServicer

from services.order import queries, rules
from services.runtime.work import Call


class SettingsService(SettingsServiceServicer):
    """How a store's orders are priced, and how long they wait to be paid for."""

    async def GetOrderSettings(
        self, request: rpc.GetOrderSettingsRequest, call: Call
    ) -> rpc.GetOrderSettingsResponse:
        settings = rules.settings_of(await queries.SETTINGS.read(call.db, request.store_id))
        return rpc.GetOrderSettingsResponse(settings=settings)

    async def SetOrderSettings(
        self, request: rpc.SetOrderSettingsRequest, call: Call
    ) -> rpc.SetOrderSettingsResponse:
        settings = rules.settings_of(request.settings.SerializeToString())
        await queries.SETTINGS.replace(call.db, request.store_id, settings)
        return rpc.SetOrderSettingsResponse(settings=settings)
