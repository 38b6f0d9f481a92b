"""PaymentService and LedgerService, in the order of the contract."""

from collections import defaultdict
from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.ledger_service_pb2 import (
    AccountBalance,
    GetTrialBalanceRequest,
    GetTrialBalanceResponse,
)
from commerce.payment.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from commerce.payment.v1.payment_service_pb2 import (
    AuthorizePaymentRequest,
    AuthorizePaymentResponse,
    CapturePaymentRequest,
    CapturePaymentResponse,
    GetPaymentRequest,
    GetPaymentResponse,
    IngestWebhookRequest,
    IngestWebhookResponse,
    RefundPaymentRequest,
    RefundPaymentResponse,
    VoidPaymentRequest,
    VoidPaymentResponse,
)
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceServicer

from services.payment import queries, webhooks
from services.payment.driver import Asked, Driver, not_found, started
from services.payment.gateways import Gateways
from services.payment.messages import message
from services.payment.payments import Payment
from services.payment.rules import PENDING
from services.runtime.ids import new_id
from services.runtime.work import Call

Reply = TypeVar("Reply")


class PaymentService(PaymentServiceServicer):
    """Promises, takes and gives back the money of orders; each once."""

    def __init__(self, driver: Driver, gateways: Gateways) -> None:
        self._driver, self._gateways = driver, gateways

    async def AuthorizePayment(
        self, request: AuthorizePaymentRequest, call: Call
    ) -> AuthorizePaymentResponse:
        asked = _asked(request, self._gateways.taking(request.payment_method))
        answer = _Once(_authorized)
        return answer(await self._driver.authorize(asked, call, answer))

    async def CapturePayment(self, request: CapturePaymentRequest, call: Call) -> CapturePaymentResponse:
        asked = Asked("capture", request.payment_id, _id(request.request_id))
        return _captured(await self._driver.operate(asked, call, _captured))

    async def VoidPayment(self, request: VoidPaymentRequest, call: Call) -> VoidPaymentResponse:
        asked = Asked("void", request.payment_id, _id(request.request_id))
        return _voided(await self._driver.operate(asked, call, _voided))

    async def RefundPayment(self, request: RefundPaymentRequest, call: Call) -> RefundPaymentResponse:
        money = request.amount if request.HasField("amount") else None
        asked = Asked("refund", request.payment_id, _id(request.request_id), money)
        return _refunded(await self._driver.operate(asked, call, _refunded))

    async def GetPayment(self, request: GetPaymentRequest, call: Call) -> GetPaymentResponse:
        rows = await call.db.rows(queries.PAYMENT, payment_id=request.payment_id)
        payment = queries.payment_of(rows)
        if payment is None or not call.caller.may_see(payment.store_id, payment.customer_id):
            raise not_found(request.payment_id)
        return GetPaymentResponse(payment=message(payment))

    async def IngestWebhook(self, request: IngestWebhookRequest, call: Call) -> IngestWebhookResponse:
        body = request.payload.data
        notice = self._gateways.named(request.gateway).notice(body, call.metadata)
        await webhooks.take(notice, request.gateway, body, self._driver, call)
        return IngestWebhookResponse()


class LedgerService(LedgerServiceServicer):
    """The books."""

    async def GetTrialBalance(self, request: GetTrialBalanceRequest, call: Call) -> GetTrialBalanceResponse:
        rows = await call.db.rows(queries.TRIAL_BALANCE, store_id=request.store_id)
        reply = GetTrialBalanceResponse()
        differences: defaultdict[str, int] = defaultdict(int)
        for row in rows:
            currency, debits, credits = row["currency_code"], row["debits"], row["credits"]
            differences[currency] += debits - credits
            reply.accounts.append(
                AccountBalance(
                    account=row["account"],
                    debits=Money(currency_code=currency, minor_units=debits),
                    credits=Money(currency_code=currency, minor_units=credits),
                )
            )
        reply.differences.extend(
            Money(currency_code=currency, minor_units=difference)
            for currency, difference in differences.items()
        )
        return reply


class _Once(Generic[Reply]):
    """Makes a reply of a payment: what was recorded as the first reply need not be made again to be sent."""

    def __init__(self, make: Callable[[Payment], Reply]) -> None:
        self._make = make
        self._made: tuple[Payment, Reply] | None = None

    def __call__(self, payment: Payment) -> Reply:
        if self._made is None or self._made[0] is not payment:
            self._made = payment, self._make(payment)
        return self._made[1]


def _asked(request: AuthorizePaymentRequest, gateway: str) -> Payment:
    """The payment as it is recorded, before anybody is asked."""
    now = queries.now()
    payment = Payment(
        payment_id=str(new_id()),
        order_id=str(UUID(request.order_id)),
        store_id=str(UUID(request.store_id)),
        customer_id=str(UUID(request.customer_id)),
        state=PENDING,
        amount=request.amount.minor_units,
        currency_code=request.amount.currency_code,
        gateway=gateway,
        payment_method=request.payment_method,
        create_time=now,
        update_time=now,
    )
    return payment.with_operation(started("authorize", payment, payment.amount, attempts=1))


def _id(request_id: str) -> str:
    """A request's id as the database writes it."""
    return str(UUID(request_id))


def _authorized(payment: Payment) -> AuthorizePaymentResponse:
    return AuthorizePaymentResponse(payment=message(payment))


def _captured(payment: Payment) -> CapturePaymentResponse:
    return CapturePaymentResponse(payment=message(payment))


def _voided(payment: Payment) -> VoidPaymentResponse:
    return VoidPaymentResponse(payment=message(payment))


def _refunded(payment: Payment) -> RefundPaymentResponse:
    return RefundPaymentResponse(payment=message(payment))
