"""Migrations: Alembic, each service its own chain in its own schema, run at the start under a lock.

A chain is a folder of files whose names begin with their revision (`0001_orders.py`), so that a process that finds its
schema up to date need not load Alembic at all. How to write one: docs/decisions/migrations.md.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from services.runtime.logs import log

if TYPE_CHECKING:
    from sqlalchemy import Connection

RUNTIME = Path(__file__).parent / "migrations"
_LOCK = 7_361_004
_TRY_LOCK = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))"
_SETTINGS = {
    # A statement that waits for a table's lock lets everybody who comes later wait behind it: it gives up and comes
    # again. Every migration may be run again from its beginning.
    "lock_timeout": "100ms",
    # The role's own limit is for calls: an index of a million rows takes longer.
    "statement_timeout": "0",
    # What a killed process was doing ends soon, too.
    "client_connection_check_interval": "500ms",
}
# Ten times as long as others may have to wait behind a try.
_PAUSE_SECONDS = 1.0
# Somebody else is at the table, or at rows of it: lock_not_available, deadlock_detected.
_IN_USE = ("55P03", "40P01")


async def migrate(dsn: str, chains: dict[str, Path]) -> None:
    """Bring the schema to the head of each chain; the keys are the tables that record the revisions."""
    connection = await asyncpg.connect(dsn, server_settings=_SETTINGS)
    try:
        if not await _pending(connection, chains):
            return
        await _lock(connection)
        if pending := await _pending(connection, chains):
            await _upgrade(connection, pending)
    finally:
        await connection.close()


async def _pending(connection: asyncpg.Connection, chains: dict[str, Path]) -> dict[str, Path]:
    return {table: chain for table, chain in chains.items() if await _is_behind(connection, table, chain)}


async def _lock(connection: asyncpg.Connection) -> None:
    """Let replicas that start together migrate a schema one after the other, each for as long as it takes.

    The lock is the migrating connection's own: it is there for as long as something of the migration runs. It is asked
    for again and again, as an index that is built waits for every statement under way, and so for one that waits.
    """
    # Another process has it, so there is no event to wait for.
    while not await connection.fetchval(_TRY_LOCK, _LOCK):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def _is_behind(connection: asyncpg.Connection, table: str, chain: Path) -> bool:
    """Tell whether the chain goes on. A schema that is further is a newer version's, and good enough for this one."""
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return True
    revision: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")
    return revision is None or revision < _head(chain)


def _head(chain: Path) -> str:
    return max(path.name for path in chain.glob("[0-9]*.py")).partition("_")[0]


async def _upgrade(own: asyncpg.Connection, chains: dict[str, Path]) -> None:
    """Run chains over a connection, again for as long as a table cannot be had."""
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import StaticPool

    async def connect() -> asyncpg.Connection:
        return own

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        poolclass=StaticPool,
        # What goes wrong is logged, and parameters may be what rows hold of persons.
        hide_parameters=True,
    )
    while True:
        try:
            async with engine.connect() as connection:
                for table, chain in chains.items():
                    await connection.run_sync(_run, table, chain)
                await connection.commit()
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _IN_USE:
                raise
            log.warning("a migration waits for a table that is in use", statement=error.statement)
            await asyncio.sleep(_PAUSE_SECONDS)


def _run(connection: "Connection", table: str, chain: Path) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(chain))
    config.set_main_option("version_locations", str(chain))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, scripts, fn=lambda revision, _: scripts._upgrade_revs("head", revision)
    ) as at:
        at.configure(connection=connection, version_table=table, transaction_per_migration=True)
        with at.begin_transaction():
            at.run_migrations()
