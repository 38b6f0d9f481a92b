"""A gateway behind a guard, so that a provider that is slow or away holds up nobody but its own payments.

Bulkhead: so many questions to one provider at once, of which each store has its share, and no others wait. Circuit
breaker: one that has failed a store again and again is not asked for that store for a while; whatever its buyers pay
with, other stores' payments go on. Whoever is turned away knows that nothing was sent; an answer that is not there in
time, though the gateway may have to ask more than once for it, is silence. Each process has guards of its own.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from commerce.payment.v1.payment_service_pb2 import GatewayHealth

from services.payment.gateways.breaker_rules import OK, OPEN, TRYING, Breaker
from services.payment.gateways.gateway import Gateway
from services.payment.rules.outcomes import Method, NeverSeen, NotSent, Outcome, Refused, Unknown
from services.payment.rules.payment import Operation, Payment
from services.runtime import logs
from services.runtime.places import Places

Answer = TypeVar("Answer")
BUSY, RESTING = NotSent("busy"), NotSent("open")


class Guard:
    """Stands before a gateway."""

    def __init__(
        self, gateway: Gateway, most: int, failures: int, rest_seconds: float, timeout_seconds: float
    ) -> None:
        """`most` questions at once; so many `failures` of a store in a row, and it is not asked for so long."""
        self.code, self.abilities = gateway.code, gateway.abilities
        # For what no place is needed: webhooks, which the provider waits for, and reports, which nobody does.
        self.unguarded = gateway
        self._timeout_seconds = timeout_seconds
        self._places, self._held = Places(most), Counter[str]()
        self._fresh = Breaker(most_failures=failures, rest_seconds=rest_seconds)
        # Of those stores whose last question failed.
        self._breakers: dict[str, Breaker] = {}

    @property
    def health(self) -> GatewayHealth.ValueType:
        """How the provider answers of late: the store that it answers worst."""
        found = {breaker.health(_now()) for breaker in self._breakers.values()}
        return next((each for each in (OPEN, TRYING) if each in found), OK)

    def health_for(self, store_id: str) -> GatewayHealth.ValueType:
        """How the provider answers a store of late."""
        return self._breaker(store_id).health(_now())

    def refused_stores(self) -> list[str]:
        """Return the stores for which the provider is left alone."""
        return [store for store in self._breakers if self.health_for(store) == OPEN]

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """As the gateway does."""
        return await self._asked(payment.store_id, partial(self.unguarded.perform, operation, payment))

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """As the gateway does."""
        return await self._asked(payment.store_id, partial(self.unguarded.look_up, operation, payment))

    async def method(self, token: str, store_id: str = "") -> Method | Refused | Unknown | NotSent:
        """As the gateway does."""
        return await self._asked(store_id, partial(self.unguarded.method, token))

    async def forget(self, token: str, store_id: str = "") -> Refused | Unknown | NotSent | None:
        """As the gateway does."""
        return await self._asked(store_id, partial(self.unguarded.forget, token))

    async def _asked(
        self, store: str, question: Callable[[], Awaitable[Answer]]
    ) -> Answer | Unknown | NotSent:
        if not self._places.has_room(self._held[store]):
            return BUSY
        begun = self._breaker(store).begun(_now())
        if begun is None:
            return RESTING
        self._keep(store, begun)
        good = None
        self._held[store] += 1
        self._places.taken += 1
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
            self._places.taken -= 1
            self._held[store] -= 1
            if not self._held[store]:
                del self._held[store]
            self._ended(store, good, begun.trial)

    def _breaker(self, store: str) -> Breaker:
        return self._breakers.get(store, self._fresh)

    def _keep(self, store: str, breaker: Breaker) -> None:
        if breaker.failures:
            self._breakers[store] = breaker
        else:
            self._breakers.pop(store, None)

    def _ended(self, store: str, good: bool | None, trial: int) -> None:
        now = _now()
        before = self._breaker(store)
        after = before.ended(good, trial, now)
        self._keep(store, after)
        told = {"gateway": self.code, "store_id": store}
        if before.health(now) == OK != after.health(now):
            logs.log.error("the provider is left alone", **told, failures=after.failures)
        elif before.health(now) != OK == after.health(now):
            logs.log.info("the provider answers again", **told)


def _now() -> float:
    return asyncio.get_running_loop().time()
