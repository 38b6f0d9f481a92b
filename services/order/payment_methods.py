"""What can be paid with, as the payment service tells: what gateways take, and what customers have saved."""

import asyncio
import random
import re
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import grpc
from commerce.order.v1.order_service_pb2 import CreateOrderRequest
from commerce.payment.v1.payment_method_service_pb2 import ListPaymentMethodsRequest
from commerce.payment.v1.payment_method_service_pb2_grpc import PaymentMethodServiceStub
from commerce.payment.v1.payment_service_pb2 import Gateway, ListGatewaysRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.runtime import logs
from services.runtime.ids import is_uuid
from services.runtime.refusals import invalid

HOSTED, PREFERRED = "hosted", "default"
# What is taken changes only when the payment service is set up anew.
REFRESH_SECONDS = 10.0
# An answer this old decides what is refused: gateways may have come since. So bad orders cost one question a second.
FRESH_SECONDS = 1.0
# How long an answer is waited for: a machine that is busy takes a second now and then. The rest of the call's ten is
# for the order, which is placed without an answer, too.
ANSWER_SECONDS = 3.0


class Taken(NamedTuple):
    """What a gateway takes. No currencies means any."""

    pattern: re.Pattern[str]
    hosted: bool
    currency_codes: frozenset[str]

    def takes(self, payment_method: str, currency_code: str) -> bool:
        """Tell whether it takes a payment method in a currency."""
        if self.currency_codes and currency_code not in self.currency_codes:
            return False
        return self.hosted if payment_method == HOSTED else bool(self.pattern.fullmatch(payment_method))


class PaymentMethods:
    """Knows what can be paid with. Placing an order asks nobody, unless the method is a saved one or seems unknown."""

    def __init__(self, stub: PaymentServiceStub, saved: PaymentMethodServiceStub) -> None:
        self._stub, self._saved = stub, saved
        self._taken: Sequence[Taken] = ()
        self._asking = asyncio.Lock()
        # When it was asked last, by the loop's clock, and whether it answered.
        self._asked, self._answered = -FRESH_SECONDS, False

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await self._refresh()
            await asyncio.sleep(REFRESH_SECONDS * random.uniform(0.8, 1.2))

    async def check(self, request: CreateOrderRequest, currency_code: str) -> None:
        """Refuse with INVALID_ARGUMENT a method that no gateway takes, or that the customer has not saved in the store.

        While nobody can say so, none is refused.
        """
        payment_method = request.payment_method
        if self._takes(payment_method, currency_code):
            return
        if payment_method == PREFERRED or is_uuid(payment_method):
            if await self._is_unsaved(request):
                raise invalid("payment_method", "is none that the customer has saved in the store")
            return
        await self._refresh()
        if self._answered and not self._takes(payment_method, currency_code):
            raise invalid("payment_method", f"is none that can be paid with in {currency_code}")

    async def _is_unsaved(self, request: CreateOrderRequest) -> bool:
        """Whether the payment service says that the customer has no such method."""
        asked = ListPaymentMethodsRequest(customer_id=request.customer_id)
        try:
            reply = await self._saved.ListPaymentMethods(asked, timeout=ANSWER_SECONDS)
        except grpc.aio.AioRpcError as error:
            logs.log.warning("saved payment methods not known", code=error.code().name)
            return False
        kept = [each for each in reply.payment_methods if each.store_id == request.store_id]
        if request.payment_method == PREFERRED:
            return not any(each.default for each in kept)
        return str(UUID(request.payment_method)) not in {each.payment_method_id for each in kept}

    def _takes(self, payment_method: str, currency_code: str) -> bool:
        return any(each.takes(payment_method, currency_code) for each in self._taken)

    async def _refresh(self) -> None:
        """Ask what is taken, unless that was just asked."""
        async with self._asking:
            loop = asyncio.get_running_loop()
            if loop.time() - self._asked < FRESH_SECONDS:
                return
            self._asked, self._answered = loop.time(), False
            try:
                reply = await self._stub.ListGateways(ListGatewaysRequest(), timeout=ANSWER_SECONDS)
            except grpc.aio.AioRpcError as error:
                # Those who waited for this answer need not wait for another.
                self._asked = loop.time()
                logs.log.warning("payment methods not known", code=error.code().name)
                return
            self._taken, self._answered = [_taken(each) for each in reply.gateways], True


def _taken(gateway: Gateway) -> Taken:
    return Taken(
        re.compile(gateway.method_pattern, re.ASCII),
        gateway.hosted,
        frozenset(gateway.currency_codes),
    )
