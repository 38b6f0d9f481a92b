"""ListGateways."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_service_pb2 import Gateway, GatewayHealth, ListGatewaysRequest

from services.payment.gateways.sandbox import SandboxGateway
from tests.shop import refused

SANDBOX = Gateway(
    code="sandbox",
    partial_capture=True,
    multiple_capture=True,
    partial_refund=True,
    customer_action=True,
    hosted=True,
    saved_methods=True,
    disputes=True,
    settlements=True,
    health=GatewayHealth.GATEWAY_HEALTH_OK,
    method_pattern=SandboxGateway.abilities.method_pattern,
)


@pytest.mark.parametrize("role", ["store_manager", "store_admin", "platform_admin", "service"])
async def test_tells_what_each_provider_can_do_and_how_it_does(shop, role):
    reply = await shop.as_(role).payments.ListGateways(ListGatewaysRequest())
    assert list(reply.gateways) == [SANDBOX]


async def test_customers_couriers_and_strangers_are_not_told(shop):
    for role in ("customer", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role, customer_id=shop.store_id).payments.ListGateways(ListGatewaysRequest())
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.payments.ListGateways(ListGatewaysRequest())


async def test_by_rest(shop):
    reply = await shop.rest("GET", "/v1/gateways")
    assert reply.status == 200
    assert [gateway["code"] for gateway in reply.body["gateways"]] == ["sandbox"]
