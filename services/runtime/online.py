"""What a migration does to a table in use, so that nobody who reads or writes it waits for longer than moments.

Everything here commits by itself and may be done twice: a migration that was killed is run again from its beginning.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from alembic import op
from sqlalchemy import Connection, Row, text

# Whoever writes one of these rows waits until the batch is written: some tens of milliseconds.
_ROWS = 500
_FIRST_ID = "00000000-0000-0000-0000-000000000000"


@contextmanager
def online() -> Iterator[Connection]:
    """Leave the migration's transaction: each statement in the block commits by itself, and lets go of its locks."""
    with op.get_context().autocommit_block():
        yield op.get_bind()


def batches(
    connection: Connection, table: str, columns: Sequence[str], where: str = "true"
) -> Iterator[Sequence[Row[tuple[object, ...]]]]:
    """Read the rows that there are, some at a time, in the order of the first column: a UUID, and unique."""
    key = columns[0]
    read = text(
        f"SELECT {', '.join(columns)} FROM {table} WHERE {key} > :after AND ({where})"
        f" ORDER BY {table}.{key} LIMIT {_ROWS}"
    )
    after: object = _FIRST_ID
    while rows := connection.execute(read, {"after": after}).all():
        yield rows
        after = rows[-1][0]


def backfill(
    connection: Connection,
    table: str,
    key: str,
    sources: Sequence[str],
    column: str,
    compute: Callable[..., str],
    where: str = "true",
) -> None:
    """Set a text to what is computed from others, batch by batch; a row whose others have changed meanwhile is left."""
    names = [f"source_{number}" for number in range(len(sources))]
    arrays = "".join(f", CAST(:{name} AS text[])" for name in names)
    same = "".join(
        f" AND CAST({source} AS text) = new.{name}" for source, name in zip(sources, names, strict=True)
    )
    write = text(
        f"UPDATE {table} SET {column} = new.value"
        f" FROM unnest(CAST(:keys AS uuid[]), CAST(:values AS text[]){arrays})"
        f" AS new ({', '.join(['key', 'value', *names])})"
        f" WHERE {key} = new.key AND {column} IS DISTINCT FROM new.value{same}"
    )
    columns = [key, *(f"CAST({source} AS text)" for source in sources)]
    for rows in batches(connection, table, columns, where):
        keys, *texts = zip(*rows, strict=True)
        values = [compute(*row[1:]) for row in rows]
        given = {name: list(each) for name, each in zip(names, texts, strict=True)}
        connection.execute(write, {"keys": list(keys), "values": values, **given})


def build_index(connection: Connection, name: str, on: str, unique: bool = False) -> None:
    """Build an index of what `on` says; half an index, which a killed migration has left, is dropped first."""
    whole = connection.execute(
        text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
    ).scalar()
    if whole is False:
        drop_index(connection, name)
    if not whole:
        kind = "UNIQUE INDEX" if unique else "INDEX"
        _execute_patiently(connection, f"CREATE {kind} CONCURRENTLY {name} ON {on}")


def drop_index(connection: Connection, name: str) -> None:
    """Drop an index, if it is there."""
    _execute_patiently(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _execute_patiently(connection: Connection, statement: str) -> None:
    """Run a statement that waits for others, and lets nobody wait behind it."""
    connection.exec_driver_sql("SET lock_timeout = 0")
    try:
        connection.exec_driver_sql(statement)
    finally:
        connection.exec_driver_sql("RESET lock_timeout")
