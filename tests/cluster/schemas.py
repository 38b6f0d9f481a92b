"""A schema of a scratch database: made by migrations or from tables.py, filled, and looked at."""

import shutil
from pathlib import Path
from urllib.parse import urlencode

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import services
from services.runtime.definition import chosen
from services.runtime.migrations import RUNTIME, migrate

HOUSE = Path(services.__path__[0])
EXTENSIONS = sorted({name for definition in chosen() for name in definition.extensions})
# Each chain, with the module that declares what it makes.
CHAINS = {"runtime": (RUNTIME, "services.runtime.tables")} | {
    definition.code: (HOUSE / definition.code / "migrations", f"services.{definition.code}.tables")
    for definition in chosen()
    if (HOUSE / definition.code / "migrations").is_dir()
}

COLUMNS = """
SELECT relname AS table, attname AS column, format_type(atttypid, atttypmod) AS type, attnotnull AS required,
    pg_get_expr(adbin, adrelid) AS default
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = $1::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text AS table, conname AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint WHERE connamespace = $1::regnamespace AND contype NOT IN ('n', 't')
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = $1"
OPTIONS = "SELECT relname, reloptions FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r'"


class Schema:
    """An empty schema of a scratch database."""

    def __init__(self, dsn: str, name: str) -> None:
        self.name = name
        self.dsn = f"{dsn}{'&' if '?' in dsn else '?'}{urlencode({'search_path': f'{name},extensions'})}"

    async def upgrade(self, chain: Path) -> None:
        await migrate(self.dsn, {"revision": chain})

    async def begin(self, chain: Path, folder: Path, revision: str = "0001") -> None:
        """Upgrade to a revision, as it was when there was none after it."""
        for path in chain.glob("[0-9]*.py"):
            if path.name.partition("_")[0] <= revision:
                shutil.copy(path, folder)
        await self.upgrade(folder)

    async def create(self, metadata) -> None:
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda *_, **__: asyncpg.connect(self.dsn),
            poolclass=NullPool,
        )
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        await engine.dispose()

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            found: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return found
        finally:
            await connection.close()

    async def insert(self, table: str, **values: object) -> None:
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.rows(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())

    async def content(self) -> dict[str, list[str]]:
        """The rows of each table."""
        tables = await self.rows("SELECT tablename FROM pg_tables WHERE schemaname = $1", self.name)
        return {
            table: [
                row["row"] for row in await self.rows(f"SELECT t::text AS row FROM {table} AS t ORDER BY 1")
            ]
            for (table,) in tables
        }

    async def shape(self) -> dict[str, object]:
        """Everything that the schema is, by what it is called; the order of columns is no part of it."""
        found: dict[str, object] = {}
        for row in await self.rows(COLUMNS, self.name):
            found[f"column {row['table']}.{row['column']}"] = tuple(row)[2:]
        for row in await self.rows(CONSTRAINTS, self.name):
            found[f"constraint {row['table']}.{row['name']}"] = row["definition"]
        for row in await self.rows(INDEXES, self.name):
            found[f"index {row['tablename']}.{row['indexname']}"] = row["indexdef"].replace(
                f"{self.name}.", ""
            )
        for row in await self.rows(OPTIONS, self.name):
            found[f"table {row['relname']}"] = row["reloptions"]
        return found
