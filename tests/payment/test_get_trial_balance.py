"""GetTrialBalance, and the ledger that it sums."""

import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.ledger_service_pb2 import GetTrialBalanceRequest

from tests.shop import new_id, refused


async def balance(shop):
    reply = await shop.ledger.GetTrialBalance(GetTrialBalanceRequest(store_id=shop.store_id))
    accounts = [
        (one.debits.currency_code, one.account, one.debits.minor_units, one.credits.minor_units)
        for one in reply.accounts
    ]
    return accounts, {one.currency_code: one.minor_units for one in reply.differences}


async def test_debits_equal_credits_in_each_currency(till, shop):
    for minor_units, currency in ((1999, "EUR"), (501, "EUR"), (7, "USD")):
        payment = await till.authorize(amount=Money(currency_code=currency, minor_units=minor_units))
        await till.capture(payment)
        if minor_units == 501:
            await till.refund(payment)

    assert await balance(shop) == (
        [
            ("EUR", "provider_clearing", 2500, 501),
            ("EUR", "refunds", 501, 0),
            ("EUR", "revenue", 0, 2500),
            ("USD", "provider_clearing", 7, 0),
            ("USD", "revenue", 0, 7),
        ],
        {"EUR": 0, "USD": 0},
    )


async def test_a_promise_is_no_money(till, shop):
    await till.authorize()

    assert await balance(shop) == ([], {})


async def test_a_store_sees_its_own_books_only(till, shop):
    await till.capture(await till.authorize())

    assert await balance(shop.another()) == ([], {})
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        request = GetTrialBalanceRequest(store_id=shop.store_id)
        await shop.another().ledger.GetTrialBalance(request)


@pytest.fixture
async def ledger(payment_cluster):
    """A connection as the payment service itself has one."""
    connection = await asyncpg.connect(payment_cluster.dsn("payment"))
    yield connection
    await connection.close()


ENTRY = (
    "INSERT INTO ledger_entries (transaction_id, account, store_id, currency_code, debit_minor_units, "
    "credit_minor_units, create_time) VALUES ($1, $2, $3, $4, $5, $6, now())"
)


async def test_the_database_refuses_a_transaction_that_does_not_balance(ledger, shop):
    transaction = new_id()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        async with ledger.transaction():
            await ledger.execute(ENTRY, transaction, "provider_clearing", shop.store_id, "EUR", 100, 0)
            await ledger.execute(ENTRY, transaction, "revenue", shop.store_id, "EUR", 0, 99)
    assert refusal.value.constraint_name == "ledger_balanced"
    assert await balance(shop) == ([], {})


async def test_two_currencies_do_not_balance_each_other(ledger, shop):
    transaction = new_id()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        async with ledger.transaction():
            await ledger.execute(ENTRY, transaction, "provider_clearing", shop.store_id, "EUR", 100, 0)
            await ledger.execute(ENTRY, transaction, "revenue", shop.store_id, "USD", 0, 100)


@pytest.mark.parametrize(
    "rewriting",
    [
        "UPDATE ledger_entries SET account = 'elsewhere'",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
    ],
)
async def test_the_database_refuses_to_rewrite_the_books(ledger, till, shop, rewriting):
    await till.capture(await till.authorize())
    before = await balance(shop)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await ledger.execute(rewriting)

    assert refusal.value.constraint_name == "ledger_append_only"
    assert await balance(shop) == before
