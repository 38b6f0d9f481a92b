"""What lists are tested with by the thousand, written into a store by the administrator of its database."""

import random
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg

from services.runtime.ids import first_id

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
