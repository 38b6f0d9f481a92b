"""Which payment methods can be paid with: what the payment service's gateways take, as it has told."""

import asyncio
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

import grpc
from commerce.payment.v1.payment_service_pb2 import Gateway, ListGatewaysRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.runtime import logs
from services.runtime.refusals import invalid

HOSTED = "hosted"
# What is taken changes only when the payment service is set up anew.
REFRESH_SECONDS = 10.0
# An answer this old decides what is refused: gateways may have come since. So bad orders cost one question a second.
FRESH_SECONDS = 1.0


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
    """Knows what can be paid with. Placing an order asks nobody, unless the method seems to be unknown."""

    def __init__(self, stub: PaymentServiceStub) -> None:
        self._stub = stub
        self._taken: Sequence[Taken] = ()
        self._asking = asyncio.Lock()
        # When it was asked last, by the loop's clock, and whether it answered.
        self._asked, self._answered = -FRESH_SECONDS, False

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await self._refresh()
            await asyncio.sleep(REFRESH_SECONDS * random.uniform(0.8, 1.2))

    async def check(self, payment_method: str, currency_code: str) -> None:
        """Refuse with INVALID_ARGUMENT a method that no gateway takes; while nobody can say so, none is refused.

        Saved methods are the payment service's to know.
        """
        if not payment_method.startswith("pm_") and payment_method != HOSTED:
            return
        if self._takes(payment_method, currency_code):
            return
        await self._refresh()
        if self._answered and not self._takes(payment_method, currency_code):
            raise invalid("payment_method", f"is none that can be paid with in {currency_code}")

    def _takes(self, payment_method: str, currency_code: str) -> bool:
        return any(each.takes(payment_method, currency_code) for each in self._taken)

    async def _refresh(self) -> None:
        """Ask what is taken, unless that was just asked."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._asked < FRESH_SECONDS:
                return
            self._asked, self._answered = now, False
            try:
                reply = await self._stub.ListGateways(ListGatewaysRequest(), timeout=FRESH_SECONDS)
            except grpc.aio.AioRpcError as error:
                logs.log.warning("payment methods not known", code=error.code().name)
                return
            self._taken, self._answered = [_taken(each) for each in reply.gateways], True


def _taken(gateway: Gateway) -> Taken:
    return Taken(
        re.compile(gateway.method_pattern, re.ASCII),
        gateway.hosted,
        frozenset(gateway.currency_codes),
    )
