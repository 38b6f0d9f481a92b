"""The janitor: it takes up operations that nobody carries, and ends payments whose time is over.

What became of an operation whose answer was lost, the provider is asked by our key, more seldom each time. Each gateway
has its own places, of which each store has its share, so that a provider that is slow holds up its own payments only,
of the stores that it is slow for.
"""

import asyncio
import random
from collections import Counter

from services.payment.gateways.registry import Gateways
from services.payment.payments import queries
from services.payment.payments.driver import Driver, locked
from services.payment.rules import give_up
from services.runtime import logs, telemetry, times
from services.runtime.database import HINDERED
from services.runtime.places import Places
from services.runtime.refusals import Refusal
from services.runtime.service import Runtime
from services.runtime.telemetry import Trace
from services.runtime.work import Work

# So many operations of one gateway are carried at once, and a store may have its share of them.
AT_ONCE = 32
# So many are taken before it is asked again whose places are full.
TAKEN = 8
SWEEP_SECONDS = 0.5
EXPIRING = 100
# When something is in flight on a payment whose time is over, that is waited for.
EXPIRY_SECONDS = 5.0


class Janitor:
    """Carries what is due, and sees to expiry."""

    def __init__(self, runtime: Runtime, driver: Driver, gateways: Gateways) -> None:
        self._runtime, self._driver, self._gateways = runtime, driver, gateways
        self._tasks: dict[asyncio.Task[None], tuple[str, str]] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                try:
                    while await self._take():
                        pass
                    await self._expire()
                except Refusal as refusal:
                    logs.log.warning("operations wait", reason=refusal.name)
                await self._driver.bell.wait(SWEEP_SECONDS * random.uniform(0.8, 1.2))
        finally:
            for task in self._tasks:
                task.cancel()

    async def _take(self) -> bool:
        """Lease operations that are due, of gateways that may be asked for them. Return whether there may be more."""
        full, full_for = self._full()
        found = await self._runtime.database.rows(
            queries.OPERATIONS_DUE,
            size=TAKEN,
            lease_seconds=self._driver.long_lease_seconds,
            full=full,
            full_for=[f"{code} {store}" for code, store in full_for],
        )
        for row in found:
            task = asyncio.create_task(self._resume(str(row["payment_id"]), str(row["operation_id"])))
            self._tasks[task] = (row["gateway"], str(row["store_id"]))
            task.add_done_callback(self._done)
        return len(found) == TAKEN

    def _full(self) -> tuple[list[str], set[tuple[str, str]]]:
        """Return the gateways that have no place left, and for which stores others may not be asked."""
        by_gateway = Counter(code for code, _ in self._tasks.values())
        full_for = {(each.code, store) for each in self._gateways for store in each.refused_stores()}
        for (code, store), held in Counter(self._tasks.values()).items():
            places = Places(AT_ONCE)
            places.taken = by_gateway[code]
            if not places.is_free_for(held):
                full_for.add((code, store))
        return [code for code, number in by_gateway.items() if number >= AT_ONCE], full_for

    def _done(self, task: asyncio.Task[None]) -> None:
        before = self._full()
        self._tasks.pop(task)
        if self._full() != before:
            self._driver.bell.ring()

    async def _resume(self, payment_id: str, operation_id: str) -> None:
        """Carry an operation that was recorded before. One that fails stays due."""
        try:
            payment = await self._driver.payment(payment_id)
            operation = payment.operation(operation_id)
            if operation.open:
                parent = Trace.parse(operation.traceparent)
                with telemetry.span(f"resume {operation.kind}", parent=parent):
                    await self._driver.find_out(payment, operation)
        except HINDERED as error:
            logs.log.warning("operation waits", operation_id=operation_id, error=logs.describe(error))
        except Exception as error:
            logs.log.error("operation not carried", operation_id=operation_id, exc_info=error)

    async def _expire(self) -> None:
        found = await self._runtime.database.rows(queries.PAYMENTS_EXPIRING, size=EXPIRING)
        for row in found:
            await self._expire_one(str(row["payment_id"]))

    async def _expire_one(self, payment_id: str) -> None:
        async def record(work: Work) -> None:
            payment = await locked(work, queries.PAYMENT_LOCKED, payment_id=payment_id)
            if payment is None or payment.expire_time is None or payment.expire_time > times.now():
                return
            change = give_up.overdue(payment, times.now())
            if change is None:
                await work.rows(queries.EXPIRY_LATER, payment_id=payment_id, seconds=EXPIRY_SECONDS)
                return
            trace = Trace.parse(change.operation.traceparent)
            with telemetry.span("expire payment", parent=trace):
                await self._driver.change(change, work)

        try:
            await self._runtime.carry_out(record, "expire payment")
        except HINDERED as error:
            logs.log.warning("expiry waits", payment_id=payment_id, error=logs.describe(error))
        except Exception as error:
            logs.log.error("payment not expired", payment_id=payment_id, exc_info=error)
