"""Migrations of tables that are in use, after those that the first release had: docs/decisions/migrations.md."""

import asyncio
import itertools
import re
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from tests.cluster.schemas import CHAINS, Schema

# What the first release had. It ran with nobody at the tables.
RELEASED = {"runtime": "0001", "catalog": "0002", "customer": "0001", "order": "0002", "payment": "0003"}
ID, STORE = "lpad(to_hex(n), 32, '0')::uuid", "'00000000-0000-0000-0000-000000000001'::uuid"

# So many rows of each table, as the first release writes them.
FILLS = {
    "catalog": f"""
        INSERT INTO products (product_id, store_id, sku, name, price_minor_units, currency_code, version, create_time,
            update_time, searchable)
        SELECT {ID}, {STORE}, CASE WHEN n % 50 = 0 THEN 'sku-' || n - 1 ELSE 'SKU-' || n END, 'One–way ' || n, 1, 'EUR',
            1, 'epoch', 'epoch', 'one–way ' || n
        FROM generate_series(1, {{rows}}) AS n;

        INSERT INTO categories (category_id, store_id, name)
        SELECT {ID}, {STORE}, CASE WHEN n % 10 = 0 THEN 'shelf ' || n - 1 ELSE 'Shelf ' || n END
        FROM generate_series(1, {{rows}} / 10) AS n
    """,
    "customer": f"""
        INSERT INTO customers (customer_id, store_id, full_name, email, phone, version, create_time, update_time)
        SELECT {ID}, {STORE}, 'Zoë ' || n, n || '@example.org', '', 1, 'epoch', 'epoch'
        FROM generate_series(1, {{rows}}) AS n
    """,
    "order": f"""
        INSERT INTO orders (order_id, store_id, customer_id, state, total_minor_units, subtotal_minor_units,
            currency_code, payment_method, delivery_address, sequence, create_time, update_time, traceparent)
        SELECT {ID}, {STORE}, {ID}, 8, 5, 5, 'EUR', '', '', 1, 'epoch', 'epoch', ''
        FROM generate_series(1, {{rows}}) AS n;

        INSERT INTO order_returns (return_id, order_id, product_ids, quantities, restocks, refund_minor_units, reason,
            create_time)
        SELECT {ID}, {ID}, '{{{{}}}}', '{{{{}}}}', '{{{{}}}}', n % 5, '', 'epoch'
        FROM generate_series(1, {{rows}}) AS n
    """,
    "payment": f"""
        INSERT INTO payments (payment_id, order_id, store_id, customer_id, state, currency_code, version, cancelled,
            create_time, update_time)
        SELECT {ID}, {ID}, {STORE}, {ID}, 4, 'EUR', 1, false, 'epoch', 'epoch' FROM generate_series(1, {{rows}}) AS n;

        INSERT INTO operations (operation_id, payment_id, store_id, kind, state, attempts, create_time, due_time,
            settle_time)
        SELECT {ID}, {ID}, {STORE}, 'capture', 2 + n % 2, 1, 'epoch', 'epoch', 'epoch'
        FROM generate_series(1, {{rows}}) AS n
    """,
}

# What replicas of the first release do meanwhile to the row of a number that nobody has yet.
USES = {
    "catalog": f"""
        INSERT INTO products (product_id, store_id, sku, name, price_minor_units, currency_code, version, create_time,
            update_time, searchable)
        SELECT {ID}, {STORE}, 'SKU-' || n, '', 1, 'EUR', 1, 'epoch', 'epoch', '' FROM (VALUES ({{number}})) AS new (n);
        UPDATE products SET price_minor_units = 2 WHERE sku = 'SKU-' || ({{number}} - {{rows}}) AND store_id = {STORE};
        INSERT INTO categories (category_id, store_id, name)
        SELECT {ID}, {STORE}, 'Shelf ' || n FROM (VALUES ({{number}})) AS new (n)
    """,
}
SQUAWK = [
    "--pg-version=18",
    "--reporter=gcc",
    # That they can be run again is tested, and migrate() sets the limits.
    "--exclude=prefer-robust-stmts,require-lock-timeout,require-statement-timeout",
    "--exclude=prefer-bigint-over-int,prefer-bigint-over-smallint,prefer-text-field",
]
TABLES = re.compile(r"^(from|import) \S*\.tables\b|^from services\.\S+ import .*\btables\b", re.MULTILINE)


class Killed(Exception):
    """The process is no more."""


@pytest.fixture
def released(schema, tmp_path):
    """Makes schemas as the first release leaves them, with rows in them."""
    numbers = itertools.count()

    async def make(code: str, rows: int) -> Schema:
        made: Schema = await schema()
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        await made.begin(CHAINS[code][0], folder, RELEASED[code])
        for statement in FILLS[code].format(rows=rows).split(";"):
            await made.rows(statement)
        return made

    return make


@asynccontextmanager
async def client(schema: Schema):
    """A replica's connection, which waits for nobody longer than a second."""
    connection = await asyncpg.connect(schema.dsn, server_settings={"lock_timeout": "1s"})
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def watched(see):
    """Show each statement that migrations run before it is run."""

    def before(connection, cursor, statement, parameters, context, executemany):
        see(statement)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.parametrize("code", USES)
async def test_let_old_replicas_read_and_write_a_large_table(released, code):
    rows = 30_000
    schema = await released(code, rows)

    async with client(schema) as replica:
        migration = asyncio.create_task(schema.upgrade(CHAINS[code][0]))
        for number in itertools.count(rows + 1):
            for statement in USES[code].format(number=number, rows=rows).split(";"):
                await replica.execute(statement)
            if migration.done():
                break
        await migration

    assert number > rows + 10


async def test_let_nobody_wait_behind_them_for_somebody_who_reads_long(released):
    schema = await released("customer", 10)

    async with client(schema) as report, client(schema) as replica:
        async with report.transaction():
            await report.execute("SELECT FROM customers")
            migration = asyncio.create_task(schema.upgrade(CHAINS["customer"][0]))
            while not await report.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'customers'::regclass"
            ):
                assert not migration.done()
            await replica.execute("UPDATE customers SET phone = '1'")
        await migration


@pytest.mark.parametrize("code", FILLS)
async def test_end_as_if_nothing_had_been_when_they_are_killed_before_any_statement(released, code):
    chain, _ = CHAINS[code]
    smooth, killed = await released(code, 60), await released(code, 60)
    await smooth.upgrade(chain)

    def kill(_):
        if next(statements) == kills:
            raise Killed

    kills = 0
    while True:
        statements = itertools.count()
        with watched(kill):
            try:
                await killed.upgrade(chain)
                break
            except Killed:
                kills += 1

    assert kills > 5
    assert await killed.shape() == await smooth.shape()
    assert await killed.content() == await smooth.content()


@pytest.mark.parametrize("code", FILLS)
async def test_build_an_index_again_that_was_left_half_built(released, code):
    schema, smooth = await released(code, 10), await released(code, 10)
    chain, _ = CHAINS[code]
    await smooth.upgrade(chain)

    async with client(schema) as report:
        async with report.transaction(isolation="repeatable_read"):
            # An index is whole when nobody looks at rows of before any more.
            await report.execute("SELECT")
            migration = asyncio.create_task(schema.upgrade(chain))
            while not await schema.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index "
                "JOIN pg_class ON pg_class.oid = relid WHERE phase = 'waiting for old snapshots' "
                "AND relnamespace = current_schema()::regnamespace"
            ):
                assert not migration.done()
            with pytest.raises(SQLAlchemyError):
                await migration
        assert await report.fetchval(
            "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace"
        )
    await schema.upgrade(chain)

    assert await schema.shape() == await smooth.shape()


@pytest.mark.parametrize("code", FILLS)
async def test_run_no_statement_that_stops_readers_writers_or_old_replicas(released, code):
    schema = await released(code, 10)
    statements: list[str] = []

    with watched(statements.append):
        await schema.upgrade(CHAINS[code][0])

    # Squawk knows what each change of a schema locks, and what an old replica's statements break on.
    squawk = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("squawk"),
        *SQUAWK,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    found, _ = await squawk.communicate(";\n".join(statements).encode())
    assert (squawk.returncode, found.decode()) == (0, "")
    # Rows are changed by their keys, some at a time, and not in a statement that takes longer the more there are.
    changes = [each for each in statements if each.lstrip().startswith(("UPDATE", "DELETE", "INSERT"))]
    assert [each for each in changes if not any(key in each for key in ("unnest(", "ANY(", "revision"))] == []


@pytest.mark.parametrize("code", CHAINS)
def test_say_themselves_what_they_make(code):
    """What tables.py declares changes; what a migration makes must not."""
    paths = list(CHAINS[code][0].glob("[0-9]*.py"))

    assert paths
    assert [path.name for path in paths if TABLES.search(path.read_text())] == []
