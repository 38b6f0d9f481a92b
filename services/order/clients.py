"""The services that the driver asks: stock for many orders at once, the payment of one."""

from collections.abc import Sequence
from datetime import timedelta

import grpc
from commerce.catalog.v1.stock_service_pb2 import (
    ReservationLine,
    ReservationRequest,
    ReservationResult,
    ReserveStockRequest,
)
from commerce.catalog.v1.stock_service_pb2_grpc import StockServiceStub
from commerce.order.v1.order_pb2 import Order
from commerce.payment.v1.payment_pb2 import Payment
from commerce.payment.v1.payment_service_pb2 import AuthorizePaymentRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.order import prices
from services.order.driving_rules import Driven
from services.runtime import telemetry
from services.runtime.ids import new_id
from services.runtime.refusals import reason_of
from services.runtime.times import now, timestamp

DAY = timedelta(days=1)


class Unanswered(Exception):
    """Another service did not do what it was asked: the name of its reason, or of its status, and its words."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(f"{reason}: {text}" if text else reason)


class Stock:
    """Reserves units. It waits at most so long for an answer."""

    def __init__(self, stub: StockServiceStub, seconds: float) -> None:
        self._stub, self._seconds = stub, seconds

    async def reserve(self, batch: Sequence[Driven]) -> Sequence[ReservationResult]:
        """Set aside what orders need; one result an order, in their order. Raises Unanswered."""
        request = ReserveStockRequest(
            reservations=[_reservation(each) for each in batch], request_id=str(new_id())
        )
        # A batch serves many traces and is part of the first; the catalog links the others to it.
        with telemetry.span("drive reserve", parent=batch[0].trace):
            try:
                reply = await self._stub.ReserveStock(request, timeout=self._seconds)
            except grpc.aio.AioRpcError as error:
                raise Unanswered(reason_of(error), error.details() or "") from error
        return reply.results


class Payments:
    """Authorizes payments. It waits at most so long for an answer."""

    def __init__(self, stub: PaymentServiceStub, seconds: float) -> None:
        self._stub, self._seconds = stub, seconds

    async def authorize(self, driven: Driven) -> Payment:
        """Ask for an order's payment, or how it stands. Raises Unanswered."""
        request = _authorization(driven.order)
        with telemetry.span("drive authorize", parent=driven.trace):
            try:
                reply = await self._stub.AuthorizePayment(request, timeout=self._seconds)
            except grpc.aio.AioRpcError as error:
                raise Unanswered(reason_of(error), error.details() or "") from error
        return reply.payment


def _reservation(driven: Driven) -> ReservationRequest:
    order = driven.order
    # An order of old has no such time; its units must not wait for ever, either.
    expires = order.expire_time if order.HasField("expire_time") else timestamp(now() + DAY)
    return ReservationRequest(
        order_id=order.order_id,
        store_id=order.store_id,
        lines=[
            ReservationLine(product_id=line.product_id, quantity=line.quantity, unit_price=line.unit_price)
            for line in order.lines
        ],
        traceparent=driven.trace.traceparent if driven.trace else "",
        customer_id=order.customer_id,
        expire_time=expires,
    )


def _authorization(order: Order) -> AuthorizePaymentRequest:
    return AuthorizePaymentRequest(
        order_id=order.order_id,
        store_id=order.store_id,
        customer_id=order.customer_id,
        amount=order.total,
        payment_method=order.payment_method,
        request_id=str(new_id()),
        lines=prices.breakdown(order),
    )
