"""What stores have set in a service: one message each, in a table of `store_id` and `settings`."""

from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert as upsert

from services.runtime.database import Runs
from services.runtime.statements import param, statement


class StoreSettings:
    """Reads and replaces stores' settings. `more` are the columns besides, each with its value."""

    def __init__(self, table: Table, **more: Any) -> None:
        self._read = statement(
            select(table.c.settings).where(table.c.store_id == param("store_id")), "settings"
        )
        row = upsert(table).values(store_id=param("store_id"), settings=param("settings"), **more)
        self._replace = statement(
            row.on_conflict_do_update(
                index_elements=["store_id"], set_={name: row.excluded[name] for name in ("settings", *more)}
            ),
            "settings set",
        )

    async def read(self, db: Runs, store_id: str) -> bytes:
        """Return what a store has set, empty where it has set nothing."""
        row = await db.row(self._read, store_id=store_id)
        return row["settings"] if row else b""

    async def replace(self, db: Runs, store_id: str, settings: Message) -> None:
        """Set all of a store's settings."""
        await db.rows(
            self._replace, store_id=store_id, settings=settings.SerializeToString(deterministic=True)
        )
