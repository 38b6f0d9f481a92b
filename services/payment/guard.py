"""A gateway behind a guard, so that a provider that is slow or away holds up nobody but its own payments.

Bulkhead: so many questions to one provider at once, and no others wait. Circuit breaker: one that has failed again and
again is not asked for a while. Whoever is turned away knows that nothing was sent; an answer that is not there in time,
though the gateway may have to ask more than once for it, is silence. Each process has guards of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeVar

from commerce.payment.v1.payment_service_pb2 import GatewayHealth
from commerce.payment.v1.settlement_service_pb2 import SettlementLine

from services.payment.breaker_rules import OK, Breaker
from services.payment.gateways import Gateway
from services.payment.outcomes import Method, NeverSeen, Notice, NotSent, Outcome, Refused, Unknown
from services.payment.payments import Operation, Payment
from services.runtime import logs

Answer = TypeVar("Answer")
BUSY, RESTING = NotSent("busy"), NotSent("open")


class Guard:
    """Stands before a gateway."""

    def __init__(
        self, gateway: Gateway, most: int, failures: int, rest_seconds: float, timeout_seconds: float
    ) -> None:
        """`most` questions at once; so many `failures` in a row, and it is not asked for so long."""
        self.code, self.abilities = gateway.code, gateway.abilities
        self._gateway, self._timeout_seconds, self._places = gateway, timeout_seconds, most
        self._breaker = Breaker(most_failures=failures, rest_seconds=rest_seconds)

    @property
    def health(self) -> GatewayHealth.ValueType:
        """How the provider answers of late."""
        return self._breaker.health(_now())

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """As the gateway does."""
        return await self._asked(partial(self._gateway.perform, operation, payment))

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """As the gateway does."""
        return await self._asked(partial(self._gateway.look_up, operation, payment))

    async def method(self, token: str) -> Method | Refused | Unknown | NotSent:
        """As the gateway does."""
        return await self._asked(partial(self._gateway.method, token))

    async def forget(self, token: str) -> Refused | Unknown | NotSent | None:
        """As the gateway does."""
        return await self._asked(partial(self._gateway.forget, token))

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """As the gateway does."""
        await self._gateway.verify(body, headers)

    def read(self, body: bytes) -> Notice:
        """As the gateway does."""
        return self._gateway.read(body)

    def settlement(self, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
        """As the gateway does."""
        return self._gateway.settlement(begin, end)

    async def close(self) -> None:
        """Close the connections."""
        await self._gateway.close()

    async def _asked(self, question: Callable[[], Awaitable[Answer]]) -> Answer | Unknown | NotSent:
        if not self._places:
            return BUSY
        begun = self._breaker.begun(_now())
        if begun is None:
            return RESTING
        self._breaker, good = begun, None
        self._places -= 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await question()
            good = not isinstance(answer, Unknown | NotSent)
            return answer
        except TimeoutError:
            good = False
            return Unknown("timeout")
        finally:
            # Whoever is cancelled does not know how it went.
            self._places += 1
            self._ended(good, begun.trial)

    def _ended(self, good: bool | None, trial: int) -> None:
        now = _now()
        before, self._breaker = self._breaker, self._breaker.ended(good, trial, now)
        if before.health(now) == OK != self._breaker.health(now):
            logs.log.error("the provider is left alone", gateway=self.code, failures=before.failures + 1)
        elif before.health(now) != OK == self._breaker.health(now):
            logs.log.info("the provider answers again", gateway=self.code)


def _now() -> float:
    return asyncio.get_running_loop().time()
