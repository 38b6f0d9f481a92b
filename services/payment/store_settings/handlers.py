"""PaymentSettingsService: one method an RPC, in the order of the contract."""

from commerce.payment.v1 import settings_service_pb2 as rpc
from commerce.payment.v1.settings_service_pb2_grpc import PaymentSettingsServiceServicer

from services.payment.gateways.registry import Gateways, unable
from services.payment.rules.payment import ON_SHIPMENT
from services.payment.store_settings import queries
from services.runtime.work import Call


class PaymentSettingsService(PaymentSettingsServiceServicer):
    """How stores take money."""

    def __init__(self, gateways: Gateways) -> None:
        self._gateways = gateways

    async def GetPaymentSettings(
        self, request: rpc.GetPaymentSettingsRequest, call: Call
    ) -> rpc.GetPaymentSettingsResponse:
        settings = await queries.read(call.db, request.store_id)
        return rpc.GetPaymentSettingsResponse(settings=settings)

    async def SetPaymentSettings(
        self, request: rpc.SetPaymentSettingsRequest, call: Call
    ) -> rpc.SetPaymentSettingsResponse:
        check(request.settings, self._gateways)
        settings = await queries.replace(call, request.store_id, request.settings)
        return rpc.SetPaymentSettingsResponse(settings=settings)


def check(settings: rpc.PaymentSettings, gateways: Gateways) -> None:
    """Refuse what the gateways cannot do; without rules all of the cluster are meant."""
    used = [gateways.named(code) for rule in settings.gateway_rules for code in rule.gateways]
    for rule in settings.gateway_rules:
        for code in rule.gateways:
            if rule.currency_code and not gateways.named(code).abilities.takes(rule.currency_code):
                raise unable(code, "currency_codes", f"{code} does not take {rule.currency_code}")
    for gateway in used or gateways:
        if settings.capture_mode == ON_SHIPMENT and not gateway.abilities.multiple_capture:
            text = f"{gateway.code} cannot take the money for each parcel"
            raise unable(gateway.code, "multiple_capture", text)
