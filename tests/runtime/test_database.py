"""The pool: first come, first served; what was interrupted ends; what the server closed is not lent again."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from sqlalchemy import Float, column, func, literal_column, select, table

from services.runtime.database import Database
from services.runtime.migrations import RUNTIME, migrate
from services.runtime.refusals import Refusal
from services.runtime.statements import param, statement
from tests.shop import WAIT_SECONDS, eventually

ONE = statement(select(literal_column("1").label("one")), "one")
SLEEP = statement(select(func.pg_sleep(param("seconds", Float))), "sleep")
KEPT = statement(select(column("id")).select_from(table("kept")).with_for_update(), "kept")


@pytest.fixture
async def database(toy):
    database = Database(toy.clients.cluster.dsn("toy"), size=2, timeout=5)
    await database.start()
    yield database
    await database.stop()


async def running(toy, words):
    return await toy.clients.rows(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'toy' AND state = 'active' AND query LIKE $1",
        f"%{words}%",
    )


async def test_whoever_comes_again_and_again_does_not_keep_the_others_waiting(toy):
    database = Database(toy.clients.cluster.dsn("toy"), size=1, timeout=5)

    async def again_and_again():
        while True:
            await database.rows(ONE)

    greedy = asyncio.create_task(again_and_again())
    await asyncio.sleep(0.1)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(20):
                await database.rows(ONE)
    finally:
        greedy.cancel()
        await asyncio.wait([greedy])
        await database.stop()


async def test_a_statement_whose_caller_has_gone_ends(toy, database):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await database.rows(SLEEP, seconds=20)
    assert await running(toy, "pg_sleep")

    async def none():
        return not await running(toy, "pg_sleep")

    await eventually(none, 15)


async def test_a_connection_that_the_server_closed_is_not_lent_again(toy, database):
    await toy.clients.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'toy'")
    await asyncio.sleep(0.2)

    assert len(await database.rows(ONE)) == 1
    await toy.clients.cluster.wait_ready("toy")


async def test_cancelled_callers_leave_the_pool_as_it_was(database):
    for patience in (0.0, 0.001, 0.005, 0.02):
        waiting = [asyncio.create_task(database.rows(SLEEP, seconds=0.004)) for _ in range(20)]
        await asyncio.sleep(patience)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.wait(waiting, timeout=WAIT_SECONDS)
        assert all(task.done() for task in waiting)

    async with asyncio.timeout(WAIT_SECONDS):
        assert len(await asyncio.gather(*(database.rows(ONE) for _ in range(50)))) == 50


@asynccontextmanager
async def locked(toy):
    """A row that somebody else holds."""
    import asyncpg

    await toy.clients.rows("CREATE TABLE toy.kept AS SELECT 1 AS id")
    await toy.clients.rows("ALTER TABLE toy.kept OWNER TO toy")
    keeper = await asyncpg.connect(toy.clients.cluster.admin_dsn)
    try:
        async with keeper.transaction():
            await keeper.execute("SELECT 1 FROM toy.kept FOR UPDATE")
            yield
    finally:
        await keeper.close()
        await toy.clients.rows("DROP TABLE toy.kept")


async def test_a_lock_that_does_not_come_is_worth_coming_back_for(toy):
    impatient = Database(toy.clients.cluster.dsn("toy") + "&options=-c%20lock_timeout%3D100", 1, 5)
    async with locked(toy):
        with pytest.raises(Refusal) as refused:
            await impatient.rows(KEPT)
    assert refused.value.reason == ErrorReason.ERROR_REASON_UNAVAILABLE
    await impatient.stop()


async def test_a_process_starts_on_the_schema_of_a_newer_one(toy):
    await toy.clients.rows("UPDATE toy.runtime_revision SET version_num = '9999'")
    try:
        await migrate(toy.clients.cluster.dsn("toy"), {"runtime_revision": RUNTIME})
    finally:
        await toy.clients.rows("UPDATE toy.runtime_revision SET version_num = '0001'")
