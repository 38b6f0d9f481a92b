"""The sealer: every transaction has one place in its store's chain, and counts once in the sums of its day."""

import asyncio
import hashlib
import json
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import asyncpg

from services.payment.ledger.sealer import seal
from services.runtime.database import Database
from services.runtime.work import Work
from tests.payment.ledgers import ACCOUNTS, Entry, post, sealed, some_transactions, transaction, unsealed
from tests.shop import eventually

TIME = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
FIRST = timedelta(0)
WAITS_FOR_THE_DAYS = "SELECT FROM pg_locks WHERE relation = 'payment.ledger_days'::regclass AND NOT granted"


async def links(shop):
    rows = await shop.clients.rows(
        "SELECT number, transaction_id::text, hash FROM payment.ledger_chain WHERE store_id = $1 ORDER BY number",
        shop.store_id,
    )
    return [tuple(row) for row in rows]


async def days(shop):
    rows = await shop.clients.rows(
        "SELECT day::text, currency_code, account, debit_minor_units, credit_minor_units FROM payment.ledger_days "
        "WHERE store_id = $1",
        shop.store_id,
    )
    return {tuple(row) for row in rows}


def days_of(entries):
    found: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for entry in entries:
        for day in (entry.time.astimezone(UTC).date().isoformat(), "infinity"):
            found[day, entry.currency, entry.account][0] += entry.debit
            found[day, entry.currency, entry.account][1] += entry.credit
    return {(*account, *sides) for account, sides in found.items()}


async def in_order(shop):
    """The transactions of a store in the order in which the database began them."""
    rows = await shop.clients.rows(
        "SELECT xid, transaction_id::text AS id FROM payment.ledger_entries WHERE store_id = $1 "
        "GROUP BY xid, transaction_id ORDER BY xid, transaction_id",
        shop.store_id,
    )
    return [row["id"] for row in rows]


async def test_what_payments_post_is_sealed_soon_each_transaction_once(till, shop):
    payments = await asyncio.gather(*(till.authorize() for _ in range(12)))
    await asyncio.gather(*(till.capture(payment) for payment in payments))
    await till.refund(payments[0])

    await sealed(shop)

    chain = await links(shop)
    assert [number for number, _, _ in chain] == list(range(1, 26))
    assert [transaction_id for _, transaction_id, _ in chain] == await in_order(shop)


async def test_a_day_has_the_sums_of_its_entries_and_the_last_one_those_of_all(ledger, shop):
    chance = random.Random(3)
    times = [TIME + timedelta(microseconds=n % 3, hours=5 * n) for n in range(60)]
    entries = some_transactions(chance, shop.store_id, times)
    for begin in range(0, len(entries), 1):
        if begin == 0 or entries[begin].transaction_id != entries[begin - 1].transaction_id:
            whole = [each for each in entries if each.transaction_id == entries[begin].transaction_id]
            await post(ledger, whole)

    await sealed(shop)

    assert await days(shop) == days_of(entries)


async def test_the_chain_is_what_anybody_can_compute_from_the_books(ledger, shop):
    """Written down a second time: the entries in their order, a JSON array each, a line each."""
    for amount in (1, 2, 3):
        await post(
            ledger,
            transaction(
                shop.store_id,
                amount,
                TIME,
                "EUR",
                ACCOUNTS,
                product_id="01890000-0000-7000-8000-000000000001",
            ),
        )
    await sealed(shop)

    before = b""
    for _, transaction_id, recorded in await links(shop):
        rows = await shop.clients.rows(
            "SELECT * FROM payment.ledger_entries WHERE transaction_id = $1 ORDER BY position", transaction_id
        )
        lines = [
            json.dumps(
                [
                    str(row["transaction_id"]),
                    row["position"],
                    str(row["store_id"]),
                    row["kind"],
                    row["account"],
                    row["currency_code"],
                    row["debit_minor_units"],
                    row["credit_minor_units"],
                    None,
                    None,
                    str(row["product_id"]),
                    (row["create_time"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1),
                ]
            )
            for row in rows
        ]
        digest = hashlib.sha256("\n".join(lines).encode()).digest()
        before = hashlib.sha256(before + digest).digest()
        assert recorded == before


async def test_what_began_before_and_ends_later_is_not_left_out(ledger, payment_cluster, shop):
    holder = await asyncpg.connect(payment_cluster.dsn("payment"))
    first, second = transaction(shop.store_id, 1), transaction(shop.store_id, 2)
    async with unsealed(holder):
        await post(ledger, second)
        await post(holder, first)  # It began before the other one.
        other_store = shop.another()
        await post(ledger, transaction(other_store.store_id))
    await holder.close()

    await sealed(shop)

    assert [each for _, each, _ in await links(shop)] == [first[0].transaction_id, second[0].transaction_id]
    assert await days(shop) == days_of(first + second)


async def test_nothing_is_sealed_while_what_began_before_it_is_running(ledger, payment_cluster, shop):
    holder = await asyncpg.connect(payment_cluster.dsn("payment"))
    async with unsealed(holder):
        await post(ledger, transaction(shop.store_id))
        database = Database(payment_cluster.dsn("payment"), 1, 10)
        assert await _seal(database) == 0
        await database.stop()
        assert await links(shop) == []
    await holder.close()
    await sealed(shop)
    assert len(await links(shop)) == 1


async def _seal(database):
    work = Work(database)
    number = await seal(work)
    await work.close()
    return number


async def test_many_sealers_at_once_seal_each_transaction_once(ledger, payment_cluster, shop):
    """Replicas: here some more, which never rest."""
    going, stores = True, [shop, shop.another(), shop.another()]
    database = Database(payment_cluster.dsn("payment"), 4, 10)

    async def keep_sealing():
        number = 0
        while going:
            number += await _seal(database)
        return number

    sealing = [asyncio.create_task(keep_sealing()) for _ in range(4)]
    posted: defaultdict[str, list[Entry]] = defaultdict(list)
    for amount in range(1, 200):
        store = stores[amount % 3]
        entries = transaction(store.store_id, amount)
        posted[store.store_id] += entries
        await post(ledger, entries)
    for store in stores:
        await sealed(store)
    going = False
    assert sum(await asyncio.gather(*sealing)) > 0
    await database.stop()

    for store in stores:
        chain = await links(store)
        assert [number for number, _, _ in chain] == list(range(1, len(chain) + 1))
        assert [transaction_id for _, transaction_id, _ in chain] == await in_order(store)
        assert await days(store) == days_of(posted[store.store_id])


async def test_a_transaction_of_the_database_with_more_than_a_batch_is_sealed_whole(ledger, shop):
    entries = [entry for _ in range(4_500) for entry in transaction(shop.store_id, 7, TIME)]
    await post(ledger, entries)

    await sealed(shop)

    chain = await links(shop)
    assert [number for number, _, _ in chain] == list(range(1, 4_501))
    assert [transaction_id for _, transaction_id, _ in chain] == await in_order(shop)
    assert await days(shop) == days_of(entries)


async def test_a_sealer_that_dies_leaves_no_gap(till, ledger, payment_cluster, shop):
    """It dies with links of the chain on their way, and nothing of them on record."""
    posted = [entry for _ in range(30) for entry in transaction(shop.store_id)]
    keeper = await asyncpg.connect(payment_cluster.admin_dsn)
    async with keeper.transaction():
        await keeper.execute("LOCK TABLE payment.ledger_days IN SHARE MODE")
        await post(ledger, posted)
        await eventually(lambda: shop.clients.rows(WAITS_FOR_THE_DAYS))
        await till.kill()
    await keeper.close()

    await sealed(shop)

    assert [number for number, _, _ in await links(shop)] == list(range(1, 31))
    assert await days(shop) == days_of(posted)


async def test_it_finds_what_comes_after_a_rest(ledger, shop):
    for _ in range(3):
        await post(ledger, transaction(shop.store_id))
        await sealed(shop)
    await eventually(lambda: shop.clients.rows("SELECT FROM payment.ledger_seal WHERE xid > 0"))
    assert [number for number, _, _ in await links(shop)] == [1, 2, 3]
