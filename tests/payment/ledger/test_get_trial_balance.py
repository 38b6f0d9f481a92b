"""GetTrialBalance, and the ledger that it sums."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.ledger_service_pb2 import GetTrialBalanceRequest
from commerce.payment.v1.payment_pb2 import PaymentLine, PaymentState

from services.payment.ledger import queries as books
from tests.payment.ledgers import (
    behind_the_triggers,
    post,
    rows_read,
    said,
    sealed,
    some_transactions,
    sums,
    transaction,
    unsealed,
)
from tests.shop import eventually, new_id, refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def balance(shop):
    reply = await shop.ledger.GetTrialBalance(GetTrialBalanceRequest(store_id=shop.store_id))
    return said(reply.accounts), {one.currency_code: one.minor_units for one in reply.differences}


async def test_debits_equal_credits_in_each_currency(till, shop):
    for minor_units, currency in ((1999, "EUR"), (501, "EUR"), (7, "USD")):
        payment = await till.authorize(amount=Money(currency_code=currency, minor_units=minor_units))
        await till.capture(payment)
        if minor_units == 501:
            await till.refund(payment)

    expected = (
        [
            ("EUR", "authorizations", 2500, 2500),
            ("EUR", "customer_receivable", 2500, 2500),
            ("EUR", "provider_clearing", 2500, 501),
            ("EUR", "refunds", 501, 0),
            ("EUR", "revenue", 0, 2500),
            ("USD", "authorizations", 7, 7),
            ("USD", "customer_receivable", 7, 7),
            ("USD", "provider_clearing", 7, 0),
            ("USD", "revenue", 0, 7),
        ],
        {"EUR": 0, "USD": 0},
    )
    assert await balance(shop) == expected
    await sealed(shop)
    assert await balance(shop) == expected


async def test_a_promise_is_a_memo_and_no_income(till, shop):
    await till.authorize()

    assert await balance(shop) == (
        [("EUR", "authorizations", 0, 1999), ("EUR", "customer_receivable", 1999, 0)],
        {"EUR": 0},
    )


async def test_a_store_sees_its_own_books_only(till, shop):
    await till.capture(await till.authorize())

    assert await balance(shop.another()) == ([], {})
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        request = GetTrialBalanceRequest(store_id=shop.store_id)
        await shop.another().ledger.GetTrialBalance(request)


async def test_a_browser_reads_it(till, shop):
    await till.authorize()

    reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/ledger:trialBalance")

    assert reply.status == 200
    assert reply.body["differences"] == [{"currencyCode": "EUR", "minorUnits": "0"}]


async def test_a_customer_may_not_read_the_books(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await balance(shop.as_("customer", new_id()))


async def test_what_is_sealed_and_what_is_not_are_counted_once_each(ledger, payment_cluster, shop):
    chance = random.Random(5)
    times = [NOW + timedelta(hours=7 * n) for n in range(40)]
    before = some_transactions(chance, shop.store_id, times)
    await post(ledger, before)
    await sealed(shop)
    holder = await asyncpg.connect(payment_cluster.dsn("payment"))
    async with unsealed(holder):
        after = some_transactions(chance, shop.store_id, times)
        await post(ledger, after)
        assert (await balance(shop))[0] == sums(before + after)
    await holder.close()
    await sealed(shop)
    assert (await balance(shop))[0] == sums(before + after)


async def test_the_balance_is_zero_at_every_instant_while_payments_go_on(till, shop):
    """And nothing that was seen is ever missing later: the seal moves on in between."""
    sums_seen, going = [], True

    async def pay(number):
        payment = await till.authorize(minor_units=1000 + number)
        if number % 5 == 4:
            await till.void(payment)
            return
        await till.capture(payment)
        if number % 3 == 0:
            await till.refund(payment, minor_units=400)
            await till.refund(payment)

    async def look():
        while going:
            accounts, differences = await balance(shop)
            assert set(differences.values()) <= {0}
            sums_seen.append(sum(debits for _, _, debits, _ in accounts))

    looking = [asyncio.create_task(look()) for _ in range(3)]
    for begin in range(0, 90, 15):
        await asyncio.gather(*(pay(number) for number in range(begin, begin + 15)))
    going = False
    await asyncio.gather(*looking)

    assert len(sums_seen) > 100
    assert len(set(sums_seen)) > 20, "it was looked at while nothing happened"
    rows = await shop.clients.rows(
        "SELECT sum(debit_minor_units)::bigint FROM payment.ledger_entries WHERE store_id = $1", shop.store_id
    )
    assert (await balance(shop))[1] == {"EUR": 0}
    assert max(sums_seen) <= rows[0][0] == sum(debits for _, _, debits, _ in (await balance(shop))[0])


async def test_one_reader_never_sees_less_than_before(ledger, shop):
    """Between two looks entries move from the end of the books to their sums."""
    seen = [0]

    async def keep_posting():
        for _ in range(60):
            await post(ledger, [entry for _ in range(20) for entry in transaction(shop.store_id, 1)])

    posting = asyncio.create_task(keep_posting())
    while not posting.done():
        accounts, differences = await balance(shop)
        assert set(differences.values()) <= {0}
        seen.append(sum(debits for _, _, debits, _ in accounts))
    await posting

    assert seen == sorted(seen)
    assert (await balance(shop))[0] == [("EUR", "fees", 1200, 0), ("EUR", "provider_clearing", 0, 1200)]


async def test_it_reads_the_sums_and_the_end_of_the_books_however_long_they_are(ledger, shop):
    """As PostgreSQL runs it."""
    for _ in range(4):
        await post(ledger, [entry for n in range(2_500) for entry in transaction(shop.store_id, n + 1, NOW)])
    await sealed(shop)
    await ledger.execute("ANALYZE ledger_entries")
    await post(ledger, transaction(shop.store_id))
    seal = await ledger.fetchrow(books.SEAL_NOW.sql)
    arguments = books.TRIAL_BALANCE.arguments({"store_id": shop.store_id, **seal})

    plan = await ledger.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) " + books.TRIAL_BALANCE.sql, *arguments)

    assert rows_read(json.loads(plan)[0]["Plan"]) < 20, plan


LINES = [(new_id(), 1000), (new_id(), 600), ("", 399)]


def euros(minor_units):
    return Money(currency_code="EUR", minor_units=minor_units)


async def happens(till, chance):
    """A payment, and whatever may become of it."""
    lines = [
        PaymentLine(product_id=product_id, gross=euros(amount), discount=euros(77), tax=euros(77))
        for product_id, amount in LINES
    ]
    payment = await till.authorize(chance.choice(["ok", "ok", "ok", "declined"]), lines=lines)
    if payment.state != PaymentState.PAYMENT_STATE_AUTHORIZED:
        return
    for _ in range(chance.randint(0, 3)):
        left = payment.amount.minor_units - payment.captured.minor_units
        if left:
            payment = await till.capture(payment, minor_units=chance.randint(1, left))
    if chance.random() < 0.5 and payment.amount.minor_units > payment.captured.minor_units:
        payment = await till.void(payment)
    if payment.captured.minor_units and chance.random() < 0.6:
        payment = await till.refund(payment, minor_units=chance.randint(1, payment.captured.minor_units))
    left = payment.captured.minor_units - payment.refunded.minor_units
    if left and chance.random() < 0.6:
        dispute = await till.disputes(payment, chance.randint(1, left))
        await till.until(payment, "DISPUTED")
        outcome = chance.choice(["won", "lost", ""])
        if outcome:
            await till.decides(dispute, outcome)


async def held(shop):
    """What each account holds, and what the payments say that customers have promised and the provider owes."""
    accounts, differences = await balance(shop)
    assert set(differences.values()) == {0}
    (row,) = await shop.clients.rows(
        "SELECT coalesce(sum(amount_minor_units - captured_minor_units - voided_minor_units) "
        "FILTER (WHERE state NOT IN (1, 2, 3, 6, 8, 11)), 0)::bigint AS promised, "
        "sum(captured_minor_units - refunded_minor_units - disputed_minor_units - charged_back_minor_units)::bigint "
        "AS kept FROM payment.payments WHERE store_id = $1",
        shop.store_id,
    )
    return {account: debits - credits for _, account, debits, credits in accounts}, row


@pytest.mark.parametrize("seed", range(2))
async def test_the_accounts_are_what_the_payments_say_whatever_happens_to_them(till, shop, seed):
    """What customers have promised, what the provider owes us but for its fees, and where the rest has gone."""
    await asyncio.gather(*(happens(till, random.Random(20 * seed + number)) for number in range(20)))

    async def agree():
        accounts, row = await held(shop)
        kept = accounts.get("provider_clearing", 0) + accounts.get("fees", 0)
        return (accounts.get("customer_receivable", 0), kept) == (row["promised"], row["kept"]) and accounts

    # The bank's decisions come by webhook.
    accounts = await eventually(agree)
    assert accounts["customer_receivable"] == -accounts["authorizations"]
    assert {"disputes", "refunds", "revenue", "tax", "shipping", "discounts"} <= accounts.keys()


# The ledger.


async def test_the_database_refuses_a_transaction_that_does_not_balance(ledger, shop):
    fine, wrong = transaction(shop.store_id), transaction(shop.store_id, 100)
    wrong[1] = wrong[1]._replace(credit=99)

    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await post(ledger, [*fine, *wrong])

    assert refusal.value.constraint_name == "ledger_balanced"
    assert await balance(shop) == ([], {})


async def test_two_currencies_do_not_balance_each_other(ledger, shop):
    debit, credit = transaction(shop.store_id)

    with pytest.raises(asyncpg.CheckViolationError):
        await post(ledger, [debit, credit._replace(currency="USD")])


@pytest.mark.parametrize("amounts", [(5, 5), (0, 0), (-5, 0), (0, -5)])
async def test_an_entry_has_one_side(ledger, shop, amounts):
    debit, credit = amounts
    whole = transaction(shop.store_id)
    odd = whole[0]._replace(position=3, debit=debit, credit=credit)
    with pytest.raises(asyncpg.CheckViolationError):
        await post(ledger, [*whole, odd])


@pytest.mark.parametrize("same_transaction", [True, False])
async def test_what_was_posted_gets_no_entries_later(ledger, shop, same_transaction):
    """They would balance; but not by a statement of their own."""
    posted = transaction(shop.store_id)
    later = [entry._replace(position=entry.position + 2) for entry in posted]
    half = [posted[0], later[1]]

    if same_transaction:
        with pytest.raises(asyncpg.CheckViolationError):
            async with ledger.transaction():
                await post(ledger, half[:1])
                await post(ledger, half[1:])
        assert await balance(shop) == ([], {})
    else:
        await post(ledger, posted)
        with pytest.raises(asyncpg.CheckViolationError) as refusal:
            await post(ledger, later)
        assert refusal.value.constraint_name == "ledger_balanced"
        assert (await balance(shop))[0] == sums(posted)


REWRITING = [
    "UPDATE payment.{table} SET transaction_id = transaction_id",
    "DELETE FROM payment.{table}",
    "TRUNCATE payment.{table}",
]
TABLES = ["ledger_entries", "ledger_chain"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("rewriting", REWRITING)
async def test_the_service_has_no_right_to_rewrite_the_books(ledger, till, shop, rewriting, table):
    await till.capture(await till.authorize())
    before = await balance(shop)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ledger.execute(rewriting.format(table=table))
    assert await balance(shop) == before


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("rewriting", REWRITING)
async def test_the_rights_hold_without_the_triggers(ledger, till, rewriting, table):
    await till.capture(await till.authorize())

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with ledger.transaction():
            await ledger.execute(f"ALTER TABLE payment.{table} DISABLE TRIGGER USER")
            await ledger.execute(rewriting.format(table=table))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("rewriting", REWRITING)
async def test_the_triggers_hold_where_there_is_every_right(till, shop, rewriting, table):
    await till.capture(await till.authorize())
    before = await balance(shop)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await shop.clients.rows(rewriting.format(table=table))

    assert refusal.value.constraint_name == "ledger_append_only"
    assert await balance(shop) == before


async def test_a_superuser_without_triggers_can_rewrite_them(payment_cluster, ledger, shop):
    """Which is why there is a chain: see test_verify_ledger.py."""
    await post(ledger, transaction(shop.store_id))
    await sealed(shop)
    async with behind_the_triggers(payment_cluster.admin_dsn) as superuser:
        done = await superuser.execute(
            "UPDATE payment.ledger_entries SET account = 'bank' WHERE store_id = $1 AND account = 'fees'",
            shop.store_id,
        )
    assert done == "UPDATE 1"
