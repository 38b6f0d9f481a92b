"""Row of postings: what captures post to the ledger, beside the same entries in a bare table; how soon it is sealed."""

import time

import asyncpg

from tests.bench import pgbench
from tests.bench.captures import to_capture
from tests.bench.figures import Figure, spread
from tests.bench.house import House
from tests.bench.rounds import compared
from tests.bench.till import LINES, Till, till
from tests.shop import eventually

AT_ONCE = 16
# A second: more than there is time for.
READY = 20_000
_BARE = """
CREATE TABLE bench.entries (LIKE payment.ledger_entries INCLUDING DEFAULTS, PRIMARY KEY (transaction_id, position));
CREATE TABLE bench.posted AS SELECT * FROM bench.entries
"""
_POSTED = (
    "INSERT INTO bench.posted SELECT * FROM payment.ledger_entries WHERE payment_id = $1 AND kind = 'capture'"
)
_COLUMNS = (
    "position, store_id, kind, account, currency_code, debit_minor_units, credit_minor_units, payment_id, order_id, "
    "product_id, create_time"
)
_PLAIN = f"""
INSERT INTO bench.entries (transaction_id, {_COLUMNS})
SELECT id, {_COLUMNS} FROM bench.posted, (SELECT gen_random_uuid() AS id) AS fresh;
"""
_SEALED = """
SELECT (
    SELECT xid FROM payment.ledger_entries WHERE (xid, transaction_id)
        > ((SELECT xid FROM payment.ledger_seal), (SELECT transaction_id FROM payment.ledger_seal))
    ORDER BY xid, transaction_id LIMIT 1
) IS NULL
"""


async def postings(house: House) -> list[Figure]:
    """Captures by the service's own statement, while nothing is sealed; then their sealing."""
    stand = await till(house)
    await stand.database.execute(_BARE)
    await stand.database.execute(_POSTED, stand.original.payment_id)
    entries: int = await stand.database.fetchval("SELECT count(*) FROM bench.posted")
    plain = house.folder / "plain.sql"
    plain.write_text(_PLAIN)
    sealed: list[float] = []

    async def ours() -> float:
        await to_capture(stand, round(READY * house.seconds))
        rate, seconds = await _captured(stand, house.seconds)
        sealed.append(entries * rate * house.seconds / seconds)
        return entries * rate

    async def theirs() -> float:
        return entries * await pgbench.per_second(stand.cluster.admin_dsn, plain, AT_ONCE, house.seconds)

    found = await compared(ours, theirs, 3)
    detail = (
        f"{spread(found.ours)} beside {spread(found.theirs)} /s, {AT_ONCE} captures of {LINES} lines at once, "
        f"{entries} entries each, in one statement with payment, operation, reply and event"
    )
    return [
        Figure("postings", "ledger entries posted / in a bare table", found.ratio, detail=detail),
        Figure("postings", "ledger entries sealed a second", min(sealed), "/s", detail=spread(sealed)),
    ]


async def _captured(stand: Till, seconds: float) -> tuple[float, float]:
    """Capture for so long. Return how many a second, and after how many seconds all of it was sealed."""
    holder = await asyncpg.connect(stand.cluster.admin_dsn)
    # What began before is still running, so that nothing is sealed yet.
    async with holder.transaction():
        await holder.execute("SELECT pg_current_xact_id()")
        rate = await pgbench.per_second(stand.cluster.admin_dsn, stand.scripts["capture"], AT_ONCE, seconds)
    began = time.monotonic()
    await holder.close()
    await eventually(lambda: stand.database.fetchval(_SEALED), seconds=120)
    return rate, time.monotonic() - began
