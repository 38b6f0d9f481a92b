"""The writer: it puts payments on record, and what became of them, many at once where many come at once.

Each of the two goes by itself when nothing else does; what comes meanwhile goes together (runtime/batches.py).
"""

from collections.abc import Sequence
from typing import Any

import asyncpg
from google.protobuf.message import Message

from services.payment.payments import records
from services.runtime.batches import Batches
from services.runtime.service import Runtime
from services.runtime.work import End, Work

# In sixteen a row costs PostgreSQL a quarter of what it costs alone, in more little less: they only wait for the last.
MOST = 32

Values = dict[str, Any]


class Writer:
    """Writes by the statements of `records`, whose values it is given."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._recorded = Batches("payments recorded", self._record_one, self._record_many, MOST)
        self._changed = Batches("payments changed", self._change_one, self._change_many, MOST)

    async def record(self, values: Values) -> bool:
        """Record a payment with its first operation. Return whether it was: not when its order has one already."""
        return await self._recorded.do(values)

    async def change(self, values: Values, work: Work, reply: Message | None = None) -> None:
        """End a piece of work with a payment's change. Raises NotNullViolationError when the payment has moved."""
        await self._changed.do((values, End(work, values["payment_id"], reply)))

    async def _record_one(self, values: Values) -> bool:
        return bool(await self._runtime.database.rows(records.PAYMENT_RECORDED, **values))

    async def _record_many(self, batch: Sequence[Values]) -> Sequence[bool]:
        found = await self._runtime.database.rows_once(
            records.PAYMENTS_RECORDED, **records.values_of_many(batch)
        )
        # Not by the operation: that of an order which is asked for twice is the same.
        recorded = {str(row["payment_id"]) for row in found}
        return [values["payment_id"] in recorded for values in batch]

    async def _change_one(self, one: tuple[Values, End]) -> None:
        values, end = one
        await end.work.commit(records.PAYMENT_CHANGED_AND_CLOSED, end.reply, **values)

    async def _change_many(self, batch: Sequence[tuple[Values, End]]) -> Sequence[Exception | None]:
        # Of two changes of one payment the later one comes too late.
        firsts = {end.id: (values, end) for values, end in reversed(batch)}
        ends = [end for _, end in firsts.values()]
        values = records.values_of_changes([values for values, _ in firsts.values()])
        held = await self._runtime.commit_together(records.PAYMENTS_CHANGED_AND_CLOSED, ends, **values)
        return [None if end in held else _moved() for _, end in batch]


def _moved() -> asyncpg.NotNullViolationError:
    """What PostgreSQL says of one that has moved when it is changed alone."""
    moved: asyncpg.NotNullViolationError = asyncpg.NotNullViolationError("the payment has moved")
    return moved
