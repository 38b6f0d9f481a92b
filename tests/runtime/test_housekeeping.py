"""What is older than the retention goes; what still has to go out stays, however old it is."""

import asyncio
import uuid

import pytest

from services.runtime import housekeeping
from services.runtime.database import Database, unavailable
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


SETTINGS = Settings.model_construct(retention_days=KEEP_DAYS)
# What an inbox remembers longer than its rows' events may be sent again.
LONGER = {"inbox": 24}
EDGE_HOURS = 0.05


@pytest.fixture
async def keeper(toy):
    """A housekeeper of the toy's schema."""
    database = Database(toy.clients.cluster.dsn("toy"), size=1, timeout=5)
    yield Housekeeping(database, SETTINGS)
    await database.stop()


async def put(toy, table, age_hours):
    time = f"clock_timestamp() - make_interval(secs => 3600 * {age_hours})"
    row = uuid.uuid4()
    await toy.clients.rows(f"INSERT INTO toy.{table} " + ROWS[table].format(time=time), row)
    return row


async def there(toy, table, row):
    key = "request_id" if table == "first_replies" else "event_id"
    return bool(await toy.clients.rows(f"SELECT 1 FROM toy.{table} WHERE {key} = $1", row))


@pytest.mark.parametrize("table", ROWS)
async def test_a_row_goes_at_the_end_of_its_time_and_not_before(toy, keeper, table):
    """An inbox remembers a day longer: what is sent again on the last day is known for sure."""
    edge = KEEP_DAYS * 24 + LONGER.get(table, 0)
    old, young = await put(toy, table, edge + EDGE_HOURS), await put(toy, table, edge - EDGE_HOURS)

    await keeper.tidy()

    assert not await there(toy, table, old)
    assert await there(toy, table, young)


async def test_however_many_rows_are_old_all_of_them_go(toy, keeper):
    await toy.clients.rows(
        "INSERT INTO toy.inbox (event_id, create_time) "
        "SELECT gen_random_uuid(), clock_timestamp() - interval '30 days' FROM generate_series(1, $1)",
        2 * housekeeping.BATCH + 1,
    )

    await keeper.tidy()

    assert not await toy.clients.rows(
        "SELECT FROM toy.inbox WHERE create_time < clock_timestamp() - interval '29 days'"
    )


async def test_an_event_that_was_never_published_stays(toy, keeper):
    waiting = uuid.uuid4()
    await toy.clients.rows(
        "INSERT INTO toy.outbox (event_id, type, payload, traceparent, create_time) "
        "VALUES ($1, 'nobody.listens', '', '', clock_timestamp() - interval '30 days')",
        waiting,
    )
    try:
        await keeper.tidy()
        assert await there(toy, "outbox", waiting)
    finally:
        await toy.clients.rows("DELETE FROM toy.outbox WHERE event_id = $1", waiting)


async def test_a_database_that_was_away_is_looked_after_when_it_is_back(toy, monkeypatch):
    monkeypatch.setattr(housekeeping, "EVERY_SECONDS", 0.02)
    database = _AwayAtFirst(toy.clients.cluster.dsn("toy"), size=1, timeout=5)
    work = asyncio.create_task(Housekeeping(database, SETTINGS).run())
    old = await put(toy, "inbox", 30 * 24)

    async def gone():
        return not await there(toy, "inbox", old)

    try:
        await eventually(gone)
        assert database.times_away == 0
    finally:
        work.cancel()
        await asyncio.wait([work])
        await database.stop()


class _AwayAtFirst(Database):
    """The toy's database, after it could not be reached three times."""

    times_away = 3

    async def rows(self, statement, _timeout=None, **values):
        if self.times_away:
            self.times_away -= 1
            raise unavailable()
        return await super().rows(statement, _timeout, **values)
