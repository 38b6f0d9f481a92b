"""What lists are tested with by the thousand, written into a store by the administrator of its database."""

import json
import random
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg

from services.runtime.ids import first_id, new_id
from services.runtime.statements import Statement

EXPLAIN = "EXPLAIN (ANALYZE, FORMAT JSON)"
NOW = datetime.now(UTC).replace(microsecond=0)


def moments(chance: random.Random, count: int, days: int) -> list[datetime]:
    """So many times of the last days, the oldest first."""
    return sorted(NOW - timedelta(microseconds=chance.randrange(days * 86_400_000_000)) for _ in range(count))


def id_at(time: datetime) -> str:
    """An id that was made then."""
    low = (uuid.uuid4().int & ((1 << 80) - 1)) & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=first_id(int(time.timestamp() * 1000)).int | low))


@asynccontextmanager
async def administrator(shop, schema):
    """A connection of the administrator, in a service's schema."""
    connection = await asyncpg.connect(
        shop.clients.cluster.admin_dsn, server_settings={"search_path": f'"{schema}"'}
    )
    try:
        yield connection
    finally:
        await connection.close()


async def rows_read(
    connection: asyncpg.Connection, statement: Statement, arguments: Sequence[object]
) -> Counter[str]:
    """How many rows each scan looks at, as PostgreSQL runs a statement.

    By a plan for its values, or, where it is prepared, by whichever plan it has settled for.
    """
    if statement.fresh_plan:
        ((plan,),) = await connection.fetch(f"{EXPLAIN} {statement.sql}", *arguments)
    else:
        prepared = await connection.prepare(statement.sql, name=f"settled_{new_id()}")
        for _ in range(10):
            await prepared.fetch(*arguments)
        given = ", ".join(f"'{each}'" for each in arguments)
        ((plan,),) = await connection.fetch(f'{EXPLAIN} EXECUTE "{prepared.get_name()}" ({given})')
    scans, parts = Counter[str](), [json.loads(plan)[0]["Plan"]]
    for part in parts:
        parts += part.get("Plans", [])
        if "Relation Name" in part or part["Node Type"] == "Bitmap Index Scan":
            dropped = sum(count for name, count in part.items() if name.startswith("Rows Removed by"))
            name = f"{part['Node Type']} {part.get('Index Name', part.get('Relation Name'))}"
            scans[name] += (part["Actual Rows"] + dropped) * part["Actual Loops"]
    return scans
