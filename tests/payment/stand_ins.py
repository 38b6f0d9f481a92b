"""Gateways of no provider, for what the real ones cannot be made to do at will."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from commerce.payment.v1.settlement_service_pb2 import SettlementLine

from services.payment.gateways.gateway import Abilities
from services.payment.gateways.guard import Guard
from services.payment.gateways.registry import Gateways
from services.payment.rules.outcomes import Method, NeverSeen, Notice, NotSent, Outcome, Refused, Unknown
from services.payment.rules.payment import Operation, Payment

CARD = Method(brand="visa", last_four="4242", expiry_month=1, expiry_year=2040)


class StandIn:
    """Answers every question with what `answer` is then; while `held`, none."""

    def __init__(self, code: str = "stand_in", abilities: Abilities | None = None) -> None:
        self.code, self.abilities = code, abilities or Abilities()
        self.answer: Any = CARD
        self.asked = self.asked_at_once = self.most_at_once = 0
        self._free = asyncio.Event()
        self._free.set()

    def hold(self) -> None:
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        return await self._answered()  # type: ignore[no-any-return]

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        return await self._answered()  # type: ignore[no-any-return]

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        await self._answered()

    def read(self, body: bytes) -> Notice:
        return Notice(event_id="1", type="nothing")

    async def method(self, token: str) -> Method | Refused | Unknown | NotSent:
        return await self._answered()  # type: ignore[no-any-return]

    async def forget(self, token: str) -> Refused | Unknown | NotSent | None:
        return await self._answered()  # type: ignore[no-any-return]

    async def settlement(self, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
        nothing: tuple[SettlementLine, ...] = ()
        for line in nothing:
            yield line

    async def close(self) -> None:
        self.let_go()

    async def _answered(self) -> Any:
        self.asked += 1
        self.asked_at_once += 1
        self.most_at_once = max(self.most_at_once, self.asked_at_once)
        try:
            await self._free.wait()
            return self.answer
        finally:
            self.asked_at_once -= 1


def gateways_that_can(**abilities: Abilities) -> Gateways:
    """Gateways by their codes."""
    return Gateways(Guard(StandIn(code, able), 8, 8, 1.0, 1.0) for code, able in abilities.items())
