"""Fills a new column of the rows that there are, from within a migration."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

# No statement of a service may take longer than half a minute; so many rows take a second.
_ROWS = 5_000
_FIRST_ID = "00000000-0000-0000-0000-000000000000"


def backfill(
    connection: Connection,
    table: str,
    key: str,
    sources: Sequence[str],
    column: str,
    compute: Callable[..., str],
    where: str = "true",
) -> None:
    """Set a column to what is computed from others, in the order of a key that is a UUID."""
    read = text(
        f"SELECT {key}, {', '.join(sources)} FROM {table} WHERE {key} > :after AND {where} ORDER BY {key} LIMIT {_ROWS}"
    )
    write = text(
        f"UPDATE {table} SET {column} = new.value "
        f"FROM unnest(CAST(:keys AS uuid[]), CAST(:values AS text[])) AS new (key, value) WHERE {key} = new.key"
    )
    after = _FIRST_ID
    while rows := connection.execute(read, {"after": after}).all():
        keys = [row[0] for row in rows]
        connection.execute(write, {"keys": keys, "values": [compute(*row[1:]) for row in rows]})
        after = keys[-1]
