"""Housekeeping: first replies, inbox rows and published events are kept for some days, then deleted in batches."""

import asyncio

from sqlalchemy import Table, delete, func, select

from services.runtime import logs
from services.runtime.database import Database
from services.runtime.refusals import Refusal
from services.runtime.settings import Settings
from services.runtime.statements import Statement, param, statement
from services.runtime.tables import first_replies, inbox, outbox

EVERY_SECONDS = 600.0
BATCH = 5_000


def _old(table: Table, *also: object, longer: int = 0) -> Statement:
    (key,) = table.primary_key.columns
    age = func.make_interval(0, 0, 0, param("days") + longer)
    old = select(key).where(table.c.create_time < func.now() - age, *also).limit(BATCH)  # type: ignore[arg-type]
    return statement(delete(table).where(key.in_(old)).returning(key), f"old {table.name}", fresh_plan=True)


# An inbox remembers events longer than anybody may send them again.
_OLD = (_old(first_replies), _old(inbox, longer=1), _old(outbox, outbox.c.publish_time.is_not(None)))


class Housekeeping:
    """Deletes what is older than the retention."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings

    async def run(self) -> None:
        """Look every few minutes, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.tidy()
            except Refusal as refusal:
                logs.log.warning("housekeeping waits", reason=refusal.name)

    async def tidy(self) -> None:
        """Delete all that is old now."""
        for each in _OLD:
            await self._delete(each)

    async def _delete(self, old: Statement) -> None:
        deleted = BATCH
        while deleted == BATCH:
            deleted = len(await self._database.rows(old, days=self._settings.retention_days))
