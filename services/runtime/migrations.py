"""Migrations: Alembic, each service its own chain in its own schema, run at the start under a lock.

A chain is a folder of files whose names begin with their revision (`0001_orders.py`), so that a process that finds its
schema up to date need not load Alembic at all.
"""

import asyncio
from pathlib import Path

import asyncpg

RUNTIME = Path(__file__).parent / "migrations"
_LOCK = 7_361_004


async def migrate(dsn: str, chains: dict[str, Path], wait_seconds: float = 60) -> None:
    """Bring the schema to the head of each chain; the keys are the tables that record the revisions."""
    lock = await asyncpg.connect(dsn)
    try:
        pending = {table: path for table, path in chains.items() if await _is_behind(lock, table, path)}
        if not pending:
            return
        # One lock a schema: replicas that start together migrate one after the other.
        await lock.execute(
            "SELECT pg_advisory_lock($1, hashtext(current_schema()))", _LOCK, timeout=wait_seconds
        )
        for table, path in pending.items():
            if await _is_behind(lock, table, path):
                await asyncio.to_thread(_upgrade, dsn, table, path)
    finally:
        await lock.close()


async def _is_behind(connection: asyncpg.Connection, table: str, chain: Path) -> bool:
    """Tell whether the chain goes on. A schema that is further is a newer version's, and good enough for this one."""
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return True
    revision: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")
    return revision is None or revision < _head(chain)


def _head(chain: Path) -> str:
    return max(path.name for path in chain.glob("[0-9]*.py")).partition("_")[0]


def _upgrade(dsn: str, table: str, chain: Path) -> None:
    """Run a chain in a thread and a loop of its own: Alembic is synchronous."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(chain))
    config.set_main_option("version_locations", str(chain))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)

    def run(connection: Connection) -> None:
        connection.exec_driver_sql("SET lock_timeout = '5s'")
        # The role's own limit is for calls: an index of a million rows takes longer.
        connection.exec_driver_sql("SET statement_timeout = 0")
        with EnvironmentContext(
            config, scripts, fn=lambda revision, _: scripts._upgrade_revs("head", revision)
        ) as at:
            at.configure(connection=connection, version_table=table, transaction_per_migration=True)
            with at.begin_transaction():
                at.run_migrations()

    async def main() -> None:
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda *_, **__: asyncpg.connect(dsn), poolclass=NullPool
        )
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
        await engine.dispose()

    asyncio.run(main())
