"""Books that nobody paid for: posted as the service posts, many or at strange times; and what they add up to."""

import random
from collections import defaultdict
from collections.abc import Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg

from tests.shop import Shop, eventually, new_id

_POST = """
INSERT INTO payment.ledger_entries (transaction_id, position, store_id, kind, account, currency_code,
    debit_minor_units, credit_minor_units, payment_id, order_id, product_id, create_time)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::bigint[], $9::uuid[], $10::uuid[], $11::uuid[], $12::timestamptz[])
"""
ACCOUNTS = ("fees", "revenue", "tax", "shipping", "refunds", "disputes", "bank")


class Entry(NamedTuple):
    """A row of the books."""

    transaction_id: str
    position: int
    store_id: str
    kind: str
    account: str
    currency: str
    debit: int
    credit: int
    payment_id: str | None
    order_id: str | None
    product_id: str | None
    time: datetime


def transaction(
    store_id: str,
    amount: int = 15,
    time: datetime | None = None,
    currency: str = "EUR",
    accounts: tuple[str, ...] = ("fees",),
    **more: Any,
) -> list[Entry]:
    """A transaction that debits each account so much, and credits the provider with all of it."""
    transaction_id = new_id()
    sides = [(account, amount, 0) for account in accounts]
    sides.append(("provider_clearing", 0, amount * len(accounts)))
    return [
        Entry(
            transaction_id,
            position,
            store_id,
            "fee",
            account,
            currency,
            debit,
            credit,
            more.get("payment_id"),
            more.get("order_id"),
            more.get("product_id"),
            time or datetime.now(UTC),
        )
        for position, (account, debit, credit) in enumerate(sides, 1)
    ]


def some_transactions(chance: random.Random, store_id: str, times: Iterable[datetime]) -> list[Entry]:
    """A transaction at each time, of one to three accounts, in two currencies."""
    return [
        entry
        for time in times
        for entry in transaction(
            store_id,
            chance.randint(1, 10**6),
            time,
            chance.choice(["EUR", "USD"]),
            tuple(chance.sample(ACCOUNTS, chance.randint(1, 3))),
        )
    ]


async def post(connection: asyncpg.Connection, entries: list[Entry]) -> None:
    """Post whole transactions in one statement."""
    await connection.execute(_POST, *(list(column) for column in zip(*entries, strict=True)))


def sums(entries: Iterable[Entry]) -> list[tuple[str, str, int, int]]:
    """What each account has, by currency and account: debits and credits."""
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for entry in entries:
        found[entry.currency, entry.account][0] += entry.debit
        found[entry.currency, entry.account][1] += entry.credit
    return [(*account, debits, credits) for account, (debits, credits) in sorted(found.items())]


def said(accounts: Iterable[Any]) -> list[tuple[str, str, int, int]]:
    """What a reply says of each account."""
    return [
        (one.debits.currency_code, one.account, one.debits.minor_units, one.credits.minor_units)
        for one in accounts
    ]


async def sealed(shop: Shop) -> None:
    """Return when everything in a store's books has its place in the chain."""
    unsealed = """
        SELECT FROM payment.ledger_entries AS entry WHERE store_id = $1 AND NOT EXISTS (
            SELECT FROM payment.ledger_chain WHERE ledger_chain.transaction_id = entry.transaction_id) LIMIT 1
    """

    async def all_are() -> bool:
        return not await shop.clients.rows(unsealed, shop.store_id)

    await eventually(all_are)


@asynccontextmanager
async def unsealed(connection: asyncpg.Connection):
    """Nothing that is posted in this block is sealed in it: a transaction that began before is still running."""
    async with connection.transaction():
        await connection.execute("SELECT pg_current_xact_id()")
        yield


@asynccontextmanager
async def behind_the_triggers(dsn: str):
    """A superuser who may do anything."""
    connection = await asyncpg.connect(dsn)
    tables = ("payment.ledger_entries", "payment.ledger_chain")
    try:
        async with connection.transaction():
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield connection
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    finally:
        await connection.close()


def rows_read(plan: dict[str, Any]) -> float:
    """How many rows the scans of an explained plan looked at."""
    dropped = sum(count for name, count in plan.items() if name.startswith("Rows Removed by"))
    own = (plan["Actual Rows"] + dropped) * plan["Actual Loops"] if "Relation Name" in plan else 0
    return float(own + sum(rows_read(part) for part in plan.get("Plans", [])))
