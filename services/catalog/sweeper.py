"""The sweeper: it gives back the units of reservations that were not confirmed in time.

It takes no locks to look: whatever moved on meanwhile is left alone once the stock is locked, so that any number of
replicas may sweep at once.
"""

import asyncio
import random
from collections.abc import Sequence

from services.catalog import reservations
from services.catalog.reservations import Reservations
from services.runtime import logs
from services.runtime.database import HINDERED
from services.runtime.service import Runtime
from services.runtime.work import Work

BATCH = 100
SWEEP_SECONDS = 1.0


class Sweeper:
    """Looks now and then for what is overdue."""

    def __init__(self, runtime: Runtime, reservations: Reservations) -> None:
        self._runtime, self._reservations = runtime, reservations

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                while await self._sweep():
                    pass
            except HINDERED as error:
                logs.log.warning("overdue reservations wait", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS * random.uniform(0.8, 1.2))

    async def _sweep(self) -> bool:
        """Release what is overdue, in one batch. Return whether there may be more that can be released."""
        order_ids = await reservations.overdue(self._runtime.database, BATCH)
        return bool(order_ids) and await self._expire(order_ids) and len(order_ids) == BATCH

    async def _expire(self, order_ids: Sequence[str]) -> bool:
        """Release reservations; one that cannot be released does not stop the others."""

        async def expire(work: Work) -> None:
            await self._reservations.expire(work, order_ids)

        try:
            await self._runtime.carry_out(expire, "expire")
        except HINDERED:
            raise
        except Exception as error:
            if len(order_ids) > 1:
                return all([await self._expire([each]) for each in order_ids])
            logs.log.error("reservation not released", order_id=order_ids[0], exc_info=error)
            return False
        return True
