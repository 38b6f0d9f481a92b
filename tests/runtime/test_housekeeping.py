"""What is older than the retention goes; what still has to go out stays, however old it is."""

import asyncio
import uuid

import pytest

from services.runtime import housekeeping
from services.runtime.database import Database
from services.runtime.housekeeping import Housekeeping
from services.runtime.settings import Settings
from tests.shop import eventually

KEEP_DAYS = 7
ROWS = {
    "first_replies": "(request_id, request_hash, reply, create_time) VALUES ($1, '', '', {time})",
    "inbox": "(event_id, create_time) VALUES ($1, {time})",
    "outbox": "(event_id, type, payload, traceparent, create_time, publish_time) "
    "VALUES ($1, 'commerce.customer.v1.CustomerCreated', '', '', {time}, {time})",
}


@pytest.fixture(autouse=True)
async def keeper(toy, monkeypatch):
    """The housekeeper of the toy's schema, at work."""
    monkeypatch.setattr(housekeeping, "EVERY_SECONDS", 0.05)
    settings = Settings.model_construct(retention_days=KEEP_DAYS)
    database = Database(toy.clients.cluster.dsn("toy"), size=1, timeout=5)
    work = asyncio.create_task(Housekeeping(database, settings).run())
    yield
    work.cancel()
    await asyncio.wait([work])
    await database.stop()


async def put(toy, table, age_days):
    time = f"clock_timestamp() - make_interval(days => {age_days})"
    row = uuid.uuid4()
    await toy.clients.rows(f"INSERT INTO toy.{table} " + ROWS[table].format(time=time), row)
    return row


async def there(toy, table, row):
    key = "request_id" if table == "first_replies" else "event_id"
    return bool(await toy.clients.rows(f"SELECT 1 FROM toy.{table} WHERE {key} = $1", row))


@pytest.mark.parametrize("table", ROWS)
async def test_old_rows_go_and_young_ones_stay(toy, table):
    old, young = await put(toy, table, KEEP_DAYS + 1), await put(toy, table, KEEP_DAYS - 1)

    await _gone(toy, table, old)

    assert await there(toy, table, young)


async def _gone(toy, table, old):
    async def no_more():
        return not await there(toy, table, old)

    await eventually(no_more, 5)


async def test_an_event_that_was_never_published_stays(toy):
    waiting = uuid.uuid4()
    await toy.clients.rows(
        "INSERT INTO toy.outbox (event_id, type, payload, traceparent, create_time) "
        "VALUES ($1, 'nobody.listens', '', '', clock_timestamp() - interval '30 days')",
        waiting,
    )
    try:
        await _gone(toy, "inbox", await put(toy, "inbox", KEEP_DAYS + 1))
        assert await there(toy, "outbox", waiting)
    finally:
        await toy.clients.rows("DELETE FROM toy.outbox WHERE event_id = $1", waiting)
