"""VerifyLedger: what was changed, left out or put in behind the database's back is found."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.ledger_service_pb2 import VerifyLedgerRequest

from services.payment.ledger import verification
from services.payment.ledger.verification import audited
from services.runtime.database import Database
from tests.payment.ledgers import behind_the_triggers, post, sealed, transaction, unsealed
from tests.shop import new_id, refused

TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNT = 9


async def verify(shop, after_number=0):
    request = VerifyLedgerRequest(store_id=shop.store_id, after_number=after_number)
    return await shop.ledger.VerifyLedger(request)


@pytest.fixture
async def books(ledger, shop):
    """A chain of some transactions, a minute apart; the ids in its order."""
    return await fill(ledger, shop)


async def fill(ledger, shop, count=COUNT):
    ids = []
    for number in range(1, count + 1):
        entries = transaction(shop.store_id, 10 * number, TIME + timedelta(minutes=number))
        await post(ledger, entries)
        ids.append(entries[0].transaction_id)
    await sealed(shop)
    return ids


async def recorded(shop, number):
    (row,) = await shop.clients.rows(
        "SELECT hash FROM payment.ledger_chain WHERE store_id = $1 AND number = $2", shop.store_id, number
    )
    return row["hash"].hex()


async def test_books_that_nobody_touched_are_intact(till, shop):
    payment = await till.capture(await till.authorize())
    await till.refund(payment, minor_units=500)
    await sealed(shop)

    found = await verify(shop)

    assert (found.number, found.intact, found.broken_number, found.more) == (3, True, 0, False)
    assert found.hash == await recorded(shop, 3)


async def test_empty_books_are_intact(shop):
    found = await verify(shop)
    assert (found.number, found.hash, found.intact, found.more) == (0, "", True, False)


async def test_it_goes_on_after_a_number(books, shop):
    for number in range(1, COUNT + 1):
        found = await verify(shop, number)
        assert (found.number, found.intact) == (COUNT, True)
        assert found.hash == await recorded(shop, COUNT)


async def test_what_is_not_sealed_yet_is_not_looked_at(books, ledger, payment_cluster, shop):
    holder = await asyncpg.connect(payment_cluster.dsn("payment"))
    async with unsealed(holder):
        await post(ledger, transaction(shop.store_id, time=TIME))
        found = await verify(shop)
        assert (found.number, found.intact) == (COUNT, True)
    await holder.close()


FORGED = new_id()
ENTRY = "payment.ledger_entries"
_FORGED = (
    f"INSERT INTO {ENTRY} (transaction_id, position, store_id, kind, account, currency_code, debit_minor_units, "
    "credit_minor_units, create_time, xid) SELECT {transaction}, position + {more}, store_id, kind, account, "
    "currency_code, debit_minor_units, credit_minor_units, create_time, {xid} "
    f"FROM {ENTRY} WHERE transaction_id = $1"
)
# What a superuser may do to the transaction number 5.
TAMPERING = {
    "an amount": f"UPDATE {ENTRY} SET debit_minor_units = debit_minor_units + 1 WHERE transaction_id = $1 "
    "AND debit_minor_units > 0",
    "both sides": f"UPDATE {ENTRY} SET debit_minor_units = debit_minor_units * 2, "
    "credit_minor_units = credit_minor_units * 2 WHERE transaction_id = $1",
    "an account": f"UPDATE {ENTRY} SET account = 'bank' WHERE transaction_id = $1 AND position = 1",
    "a currency": f"UPDATE {ENTRY} SET currency_code = 'USD' WHERE transaction_id = $1",
    "a kind": f"UPDATE {ENTRY} SET kind = 'payout' WHERE transaction_id = $1",
    "a time": f"UPDATE {ENTRY} SET create_time = create_time + interval '1 microsecond' WHERE transaction_id = $1",
    "whose payment": f"UPDATE {ENTRY} SET payment_id = gen_random_uuid() WHERE transaction_id = $1 AND position = 2",
    "whose order": f"UPDATE {ENTRY} SET order_id = gen_random_uuid() WHERE transaction_id = $1 AND position = 2",
    "which product": f"UPDATE {ENTRY} SET product_id = gen_random_uuid() WHERE transaction_id = $1 AND position = 1",
    "whose books": f"UPDATE {ENTRY} SET store_id = gen_random_uuid() WHERE transaction_id = $1",
    "the order of its entries": f"UPDATE {ENTRY} SET position = position + 7 WHERE transaction_id = $1",
    "an entry removed": f"DELETE FROM {ENTRY} WHERE transaction_id = $1 AND position = 2",
    "a transaction removed": f"DELETE FROM {ENTRY} WHERE transaction_id = $1",
    "entries put in": _FORGED.format(transaction="transaction_id", more=2, xid="xid"),
    "a transaction put in": _FORGED.format(transaction=f"'{FORGED}'", more=0, xid="xid - 1"),
    "a link changed": "UPDATE payment.ledger_chain SET hash = sha256(hash) WHERE transaction_id = $1",
    "a link removed": "DELETE FROM payment.ledger_chain WHERE transaction_id = $1",
    "a transaction and its link removed": f"WITH gone AS (DELETE FROM {ENTRY} WHERE transaction_id = $1) "
    "DELETE FROM payment.ledger_chain WHERE transaction_id = $1",
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_it_finds(books, payment_cluster, shop, what):
    async with behind_the_triggers(payment_cluster.admin_dsn) as superuser:
        await superuser.execute(TAMPERING[what], books[4])

    found = await verify(shop)

    assert (found.number, found.intact, found.broken_number, found.more) == (4, False, 5, False)
    assert found.hash == await recorded(shop, 4)


async def test_another_stores_books_are_no_worse_for_it(books, ledger, payment_cluster, shop):
    other = shop.another()
    await fill(ledger, other)
    async with behind_the_triggers(payment_cluster.admin_dsn) as superuser:
        await superuser.execute(TAMPERING["an amount"], books[4])

    assert (await verify(other)).intact


@pytest.mark.parametrize("when", [TIME - timedelta(days=1), TIME + timedelta(days=1)])
async def test_a_transaction_put_in_before_or_after_all_others_is_found(books, payment_cluster, shop, when):
    """Under the id of a transaction of the database that is long over, it would never be sealed."""
    async with behind_the_triggers(payment_cluster.admin_dsn) as superuser:
        await superuser.execute(TAMPERING["a transaction put in"].replace(FORGED, new_id()), books[0])
        await superuser.execute(
            f"UPDATE {ENTRY} SET create_time = $2 WHERE store_id = $1 AND transaction_id <> ALL($3::uuid[])",
            shop.store_id,
            when,
            books,
        )

    found = await verify(shop)

    assert not found.intact
    assert found.broken_number == (1 if when < TIME else COUNT + 1)


async def test_a_chain_that_has_lost_its_end_is_found_by_who_knows_its_number(books, payment_cluster, shop):
    async with behind_the_triggers(payment_cluster.admin_dsn) as superuser:
        await superuser.execute(TAMPERING["a transaction and its link removed"], books[-1])

    assert (await verify(shop)).number == COUNT - 1
    found = await verify(shop, COUNT)
    assert (found.intact, found.broken_number) == (False, COUNT)


async def test_many_pages_are_one_call_and_the_most_of_a_call_is_said(
    ledger, payment_cluster, shop, monkeypatch
):
    """With fewer transactions a call: the real number takes too long to fill."""
    await post(ledger, [each for n in range(50) for each in transaction(shop.store_id, time=TIME)])
    await sealed(shop)
    database = Database(payment_cluster.dsn("payment"), 1, 10)
    monkeypatch.setattr(verification, "PAGE", 7)
    monkeypatch.setattr(verification, "TRANSACTIONS", 21)
    numbers, found = [], await audited(database, shop.store_id, 0)
    while found.more:
        numbers.append(found.number)
        found = await audited(database, shop.store_id, found.number)
    await database.stop()

    assert ([*numbers, found.number], found.broken) == ([21, 42, 50], 0)
    assert found.hash.hex() == (await verify(shop)).hash


async def test_times_in_any_order_are_no_fault(ledger, payment_cluster, shop, monkeypatch):
    """Pages answer for times, and links are in another order."""
    for number in range(40):
        time = TIME + timedelta(minutes=number * 17 % 40)
        await post(ledger, transaction(shop.store_id, time=time))
    await sealed(shop)
    database = Database(payment_cluster.dsn("payment"), 1, 10)
    for page in (1, 2, 3, 7, 39, 40, 41):
        monkeypatch.setattr(verification, "PAGE", page)
        found = await audited(database, shop.store_id, 0)
        assert (found.number, found.broken) == (40, 0)
    await database.stop()


async def test_a_store_verifies_its_own_books_only(books, shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.another().ledger.VerifyLedger(VerifyLedgerRequest(store_id=shop.store_id))
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await verify(shop.as_("courier"))


async def test_a_negative_number_is_refused_by_name(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await verify(shop, -1)
    assert list(refusal.violations) == ["after_number"]


async def test_a_browser_verifies_them(books, shop):
    reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/ledger:verify?afterNumber=3")

    assert (reply.status, reply.body["intact"], reply.body["number"]) == (200, True, str(COUNT))
