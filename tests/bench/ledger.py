"""Row of the books: how fast entries are sealed, and a trial balance of many beside one of few."""

import time

import asyncpg
from commerce.payment.v1.ledger_service_pb2 import GetTrialBalanceRequest

from tests.bench.calls import GET
from tests.bench.figures import Figure, Limit, number, spread
from tests.bench.house import House
from tests.bench.replay import Connection, head, keep_calling
from tests.bench.rounds import Compared, compared
from tests.bench.served import ID
from tests.shop import eventually

TRIAL_BALANCE = "commerce.payment.v1.LedgerService/GetTrialBalance"
STORE = "01890000-0000-7000-8000-00000000b00c"
FEW, MANY = 10_000, 10_000_000
# So many are posted before they are sealed.
BATCH = 1_000_000
AT_ONCE = 8
# A capture each: four entries, spread over a year.
_POST = """
INSERT INTO payment.ledger_entries (transaction_id, position, store_id, kind, account, currency_code,
    debit_minor_units, credit_minor_units, payment_id, order_id, create_time)
SELECT id, position, $1, 'capture',
    (ARRAY['customer_receivable', 'authorizations', 'provider_clearing', 'revenue'])[position], 'EUR',
    CASE WHEN position IN (2, 3) THEN amount ELSE 0 END, CASE WHEN position IN (1, 4) THEN amount ELSE 0 END,
    id, id, now() - (n % 31536000) * interval '1 second'
FROM (SELECT uuidv7() AS id, n, 100 + n % 9900 AS amount FROM generate_series(1, $2::int) AS n) AS captures,
    generate_series(1, 4) AS position
"""
_SEALED = """
SELECT (xid, transaction_id) >= (
    SELECT xid, transaction_id FROM payment.ledger_entries WHERE xid = $1 ORDER BY transaction_id DESC LIMIT 1)
FROM payment.ledger_seal
"""


async def books(house: House) -> list[Figure]:
    """How fast what is posted is sealed; GetTrialBalance at few and at many entries, each beside the bare server."""
    cluster, database = await house.cluster(), await house.database()
    token = cluster.token("platform_admin")
    address, (bare, _) = cluster.address("payment"), await house.bare()
    ours, theirs = await Connection.to(address), await Connection.to(bare)
    plain = GetTrialBalanceRequest(store_id=ID).SerializeToString()
    asked = GetTrialBalanceRequest(store_id=STORE).SerializeToString()

    async def measured() -> Compared:
        async def run() -> float:
            headers = head(address, TRIAL_BALANCE, token)
            return await keep_calling(ours, headers, lambda: asked, AT_ONCE, house.seconds)

        async def echo() -> float:
            return await keep_calling(theirs, head(bare, GET, token), lambda: plain, AT_ONCE, house.seconds)

        return await compared(run, echo, 3)

    await _sealed_in(house, FEW)
    few = await measured()
    rates = [BATCH / await _sealed_in(house, BATCH) for _ in range((MANY - FEW) // BATCH)]
    await _sealed_in(house, MANY - FEW - BATCH * len(rates))
    many = await measured()
    for connection in (ours, theirs):
        connection.close()
    return [
        Figure("books", "entries sealed a second", min(rates), "1/s", detail=spread(rates)),
        Figure(
            "books",
            f"GetTrialBalance's time, {MANY:,} / {FEW:,} entries",
            few.ratio / many.ratio,
            "×",
            Limit(1.2, 1.05, at_most=True),
            f"{spread(many.ours)} beside {spread(few.ours)} calls/s, each set against the bare server's; "
            f"{number(await _sum_seconds(database) * 1000)} ms for PostgreSQL to sum them one by one",
        ),
    ]


async def _sealed_in(house: House, entries: int) -> float:
    """Post so many entries, and return how many seconds it took to seal them."""
    database = await house.database()
    holder = await asyncpg.connect((await house.cluster()).admin_dsn)
    # What began before is still running, so that nothing is sealed yet.
    async with holder.transaction():
        await holder.execute("SELECT pg_current_xact_id()")
        await database.execute("SET synchronous_commit = off; SET session_replication_role = replica")
        await database.execute(_POST, STORE, entries // 4)
        await database.execute("RESET synchronous_commit; RESET session_replication_role")
        await database.execute("VACUUM ANALYZE payment.ledger_entries")
        last = await database.fetchval("SELECT max(xid) FROM payment.ledger_entries")
    began = time.monotonic()
    await holder.close()
    await eventually(lambda: database.fetchval(_SEALED, last), seconds=600)
    return time.monotonic() - began


async def _sum_seconds(database: asyncpg.Connection) -> float:
    began = time.monotonic()
    await database.fetch(
        "SELECT account, sum(debit_minor_units), sum(credit_minor_units) FROM payment.ledger_entries "
        "WHERE store_id = $1 GROUP BY account",
        STORE,
    )
    return time.monotonic() - began
