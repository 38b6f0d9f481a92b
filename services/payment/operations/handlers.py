"""PaymentOperationsService: one method an RPC, in the order of the contract."""

from datetime import UTC, datetime

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1 import operations_service_pb2 as rpc
from commerce.payment.v1.operations_service_pb2_grpc import PaymentOperationsServiceServicer

from services.payment.gateways.registry import Gateways
from services.payment.operations.queries import OPERATIONS_UNSETTLED
from services.payment.payments import queries, webhooks
from services.payment.payments.driver import Driver, not_found
from services.payment.payments.messages import message, staff_operation_message
from services.payment.rules.life import not_allowed
from services.payment.rules.payment import Payment
from services.runtime.database import Row
from services.runtime.pages import Pages
from services.runtime.refusals import Refusal
from services.runtime.times import timestamp
from services.runtime.work import Call

_NEWEST = ("9999-12-31T00:00:00+00:00", "", "")
_PROBLEM_LETTERS = 500


class PaymentOperationsService(PaymentOperationsServiceServicer):
    """What operators see and do about payments that do not move."""

    def __init__(self, driver: Driver, gateways: Gateways, pages: Pages) -> None:
        self._driver, self._gateways, self._pages = driver, gateways, pages

    async def ListUnsettledOperations(
        self, request: rpc.ListUnsettledOperationsRequest, call: Call
    ) -> rpc.ListUnsettledOperationsResponse:
        found = await call.db.rows(
            OPERATIONS_UNSETTLED, gateway=request.gateway, size=self._pages.size(request)
        )
        return rpc.ListUnsettledOperationsResponse(
            operations=[_unsettled(queries.whole(row)) for row in found]
        )

    async def SettlePayment(self, request: rpc.SettlePaymentRequest, call: Call) -> rpc.SettlePaymentResponse:
        payment = await self._driver.payment(request.payment_id)
        if not call.caller.may_see(payment.store_id, payment.customer_id):
            raise not_found(request.payment_id)
        if not any(operation.open for operation in payment.operations):
            raise not_allowed("settle", payment)
        await self._driver.settle(payment)
        # With how often, and when next, the provider is asked.
        shown = queries.payment_of(await call.db.rows(queries.PAYMENT, payment_id=request.payment_id))
        assert shown is not None
        return rpc.SettlePaymentResponse(payment=message(shown, call.caller))

    async def ListParkedWebhooks(
        self, request: rpc.ListParkedWebhooksRequest, call: Call
    ) -> rpc.ListParkedWebhooksResponse:
        time, gateway, event = self._pages.position(request) or _NEWEST
        found = await call.db.rows(
            webhooks.WEBHOOKS_PARKED,
            before_time=datetime.fromisoformat(time),
            before_gateway=gateway,
            before_event=event,
            size=self._pages.size(request) + 1,
        )
        page, token = self._pages.cut(request, found, _position)
        return rpc.ListParkedWebhooksResponse(webhooks=map(_parked, page), next_page_token=token)

    async def ReplayWebhook(self, request: rpc.ReplayWebhookRequest, call: Call) -> rpc.ReplayWebhookResponse:
        key = {"gateway": request.gateway, "provider_event_id": request.event_id}
        row = await call.db.row(webhooks.WEBHOOK_LOCKED, **key)
        if row is None:
            raise _no_webhook(request)
        if row["problem"]:
            gateway = self._gateways.named(request.gateway).unguarded
            problem = await webhooks.apply(gateway.read(row["payload"]), gateway.code, self._driver, call)
            await call.db.rows(webhooks.WEBHOOK_PARKED, problem=problem, **key)
            row = await call.db.row(webhooks.WEBHOOK, **key)
            assert row is not None
        return rpc.ReplayWebhookResponse(webhook=_parked(row))


def _unsettled(payment: Payment) -> rpc.UnsettledOperation:
    (operation,) = payment.operations
    return rpc.UnsettledOperation(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        store_id=payment.store_id,
        gateway=payment.gateway,
        operation=staff_operation_message(operation, payment.currency_code),
        state=payment.state,
    )


def _parked(row: Row) -> rpc.ParkedWebhook:
    return rpc.ParkedWebhook(
        gateway=row["gateway"],
        event_id=row["provider_event_id"],
        problem=row["problem"][:_PROBLEM_LETTERS],
        receive_time=timestamp(row["receive_time"]),
    )


def _position(row: Row) -> list[str]:
    time: datetime = row["receive_time"]
    return [time.astimezone(UTC).isoformat(), row["gateway"], row["provider_event_id"]]


def _no_webhook(request: rpc.ReplayWebhookRequest) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_WEBHOOK_NOT_FOUND,
        "There is no such webhook",
        gateway=request.gateway,
        event_id=request.event_id,
    )
