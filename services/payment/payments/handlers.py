"""PaymentService: one method an RPC, in the order of the contract."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID

from commerce.payment.v1 import payment_service_pb2 as rpc
from commerce.payment.v1.payment_pb2 import Payment as PaymentMessage
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceServicer
from commerce.payment.v1.settings_service_pb2 import PaymentSettings
from google.protobuf.message import Message

from services.payment.gateways.registry import Gateways, untaken
from services.payment.methods import queries as methods
from services.payment.payments import lists, queries, webhooks
from services.payment.payments.driver import Asked, Driver, not_found, started
from services.payment.payments.messages import gateway_message, lines_of, message, summary
from services.payment.rules.life import PENDING
from services.payment.rules.payment import Kind, Payment
from services.payment.store_settings import queries as store_settings
from services.runtime import times
from services.runtime.currencies import format_money
from services.runtime.database import Runs
from services.runtime.ids import new_id
from services.runtime.pages import Pages
from services.runtime.refusals import invalid
from services.runtime.work import Call

Reply = TypeVar("Reply")


class PaymentService(PaymentServiceServicer):
    """Promises, takes and gives back the money of orders; each once."""

    def __init__(self, driver: Driver, gateways: Gateways, db: Runs, pages: Pages) -> None:
        """`db` reads outside of any transaction, for a provider may be asked next."""
        self._driver, self._gateways, self._db, self._pages = driver, gateways, db, pages

    async def AuthorizePayment(
        self, request: rpc.AuthorizePaymentRequest, call: Call
    ) -> rpc.AuthorizePaymentResponse:
        settings = await store_settings.of(self._db, request.store_id)
        token, currency = await methods.token(request, self._db), request.amount.currency_code
        codes = self._gateways.taking(token, currency, settings)
        asked = _asked(request, token, codes, settings)
        if not codes:
            # The store, or the cluster, may have used one when the order's payment was asked for.
            payment = await self._driver.standing(asked)
            if payment is None:
                raise untaken(currency)
            return _authorized(payment)
        answer = _Once(_authorized)
        return answer(await self._driver.authorize(asked, call, answer, codes[1:]))

    async def ConfirmPayment(
        self, request: rpc.ConfirmPaymentRequest, call: Call
    ) -> rpc.ConfirmPaymentResponse:
        payment = await self._seen(request.payment_id, call)
        return rpc.ConfirmPaymentResponse(payment=message(await self._driver.settle(payment)))

    async def CapturePayment(
        self, request: rpc.CapturePaymentRequest, call: Call
    ) -> rpc.CapturePaymentResponse:
        asked = Asked(
            kind=Kind.CAPTURE,
            payment_id=request.payment_id,
            request_id=_id(request.request_id),
            money=request.amount if request.HasField("amount") else None,
            lines=request.lines,
            final=request.final,
        )
        return _captured(await self._driver.operate(asked, call, _captured))

    async def VoidPayment(self, request: rpc.VoidPaymentRequest, call: Call) -> rpc.VoidPaymentResponse:
        asked = Asked(kind=Kind.VOID, payment_id=request.payment_id, request_id=_id(request.request_id))
        return _voided(await self._driver.operate(asked, call, _voided))

    async def RefundPayment(self, request: rpc.RefundPaymentRequest, call: Call) -> rpc.RefundPaymentResponse:
        asked = Asked(
            kind=Kind.REFUND,
            payment_id=request.payment_id,
            request_id=_id(request.request_id),
            money=request.amount if request.HasField("amount") else None,
            lines=request.lines,
            reason=request.reason,
        )
        return _refunded(await self._driver.operate(asked, call, _refunded))

    async def GetPayment(self, request: rpc.GetPaymentRequest, call: Call) -> rpc.GetPaymentResponse:
        payment = queries.payment_of(await call.db.rows(queries.PAYMENT, payment_id=request.payment_id))
        if payment is None or not call.caller.may_see(payment.store_id, payment.customer_id):
            raise not_found(request.payment_id)
        return rpc.GetPaymentResponse(payment=message(payment, call.caller))

    async def ListPayments(self, request: rpc.ListPaymentsRequest, call: Call) -> rpc.ListPaymentsResponse:
        found, token = await self._page(request, request, call)
        return rpc.ListPaymentsResponse(payments=found, next_page_token=token)

    async def ListCustomerPayments(
        self, request: rpc.ListCustomerPaymentsRequest, call: Call
    ) -> rpc.ListCustomerPaymentsResponse:
        asked = rpc.ListPaymentsRequest(
            store_id=call.caller.store_id,
            customer_id=call.caller.own_customer(request.customer_id),
            state=request.state,
        )
        found, token = await self._page(request, asked, call)
        return rpc.ListCustomerPaymentsResponse(payments=found, next_page_token=token)

    async def ListGateways(self, request: rpc.ListGatewaysRequest, call: Call) -> rpc.ListGatewaysResponse:
        by_code = sorted(self._gateways, key=lambda gateway: gateway.code)
        return rpc.ListGatewaysResponse(
            gateways=[gateway_message(gateway, call.caller.store_id) for gateway in by_code]
        )

    async def IngestWebhook(self, request: rpc.IngestWebhookRequest, call: Call) -> rpc.IngestWebhookResponse:
        body = request.payload.data
        gateway = self._gateways.named(request.gateway).unguarded
        await gateway.verify(body, call.metadata)
        await webhooks.take(gateway.read(body), request.gateway, body, self._driver, call)
        return rpc.IngestWebhookResponse()

    async def _seen(self, payment_id: str, call: Call) -> Payment:
        payment = await self._driver.payment(payment_id)
        if not call.caller.may_see(payment.store_id, payment.customer_id):
            raise not_found(payment_id)
        return payment

    async def _page(
        self, request: Message, asked: rpc.ListPaymentsRequest, call: Call
    ) -> tuple[list[PaymentMessage], str]:
        statement, values = lists.question(asked, self._pages.position(request))
        found = await call.db.rows(statement, **values, size=self._pages.size(request) + 1)
        page, token = self._pages.cut(request, found, lambda last: [str(last["payment_id"])])
        return [summary(queries.whole(row)) for row in page], token


class _Once(Generic[Reply]):
    """Makes a reply of a payment: what was recorded as the first reply need not be made again to be sent."""

    def __init__(self, make: Callable[[Payment], Reply]) -> None:
        self._make = make
        self._made: tuple[Payment, Reply] | None = None

    def __call__(self, payment: Payment) -> Reply:
        if self._made is None or self._made[0] is not payment:
            self._made = payment, self._make(payment)
        return self._made[1]


def _asked(
    request: rpc.AuthorizePaymentRequest, token: str, gateways: Sequence[str], settings: PaymentSettings
) -> Payment:
    """The payment as it is recorded, before anybody is asked; the first of the gateways will be."""
    lines, amount = lines_of(request.lines), request.amount.minor_units
    if lines and sum(line.total for line in lines) != amount:
        raise invalid("lines", f"must add up to the amount: {format_money(request.amount)}")
    now = times.now()
    payment = Payment(
        payment_id=str(new_id()),
        order_id=str(UUID(request.order_id)),
        store_id=str(UUID(request.store_id)),
        customer_id=str(UUID(request.customer_id)),
        state=PENDING,
        amount=amount,
        currency_code=request.amount.currency_code,
        capture_mode=settings.capture_mode,
        lines=lines,
        expire_time=now + timedelta(seconds=settings.action_wait.ToSeconds()),
        gateway=gateways[0] if gateways else "",
        payment_method=token,
        create_time=now,
        update_time=now,
    )
    return payment.with_operation(started(Kind.AUTHORIZE, payment, payment.amount, attempts=1))


def _id(request_id: str) -> str:
    """A request's id as the database writes it."""
    return str(UUID(request_id))


def _authorized(payment: Payment) -> rpc.AuthorizePaymentResponse:
    return rpc.AuthorizePaymentResponse(payment=message(payment))


def _captured(payment: Payment) -> rpc.CapturePaymentResponse:
    return rpc.CapturePaymentResponse(payment=message(payment))


def _voided(payment: Payment) -> rpc.VoidPaymentResponse:
    return rpc.VoidPaymentResponse(payment=message(payment))


def _refunded(payment: Payment) -> rpc.RefundPaymentResponse:
    return rpc.RefundPaymentResponse(payment=message(payment))
