"""Payments by the thousand, written into a store by the administrator of its database."""

import random
import uuid
from datetime import datetime
from typing import NamedTuple

import asyncpg

from tests import bulk

STATES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
WEIGHTS = [1, 1, 1, 40, 300, 20, 20, 20, 10, 5, 10, 2]


class Made(NamedTuple):
    """One payment."""

    payment_id: str
    customer_id: str
    state: int
    amount: int
    currency_code: str
    gateway: str
    create_time: datetime


def payments(count: int, customers: int, days: int = 300, seed: int = 7) -> list[Made]:
    """So many payments of so many customers in the last days, the oldest first."""
    chance = random.Random(seed)
    payers = [str(uuid.uuid4()) for _ in range(customers)]
    return [
        Made(
            payment_id=bulk.id_at(time),
            customer_id=chance.choice(payers),
            state=chance.choices(STATES, WEIGHTS)[0],
            amount=chance.choice((1999, 4999, chance.randrange(100_000))),
            currency_code=chance.choices(("EUR", "USD", "CHF"), (80, 19, 1))[0],
            gateway=chance.choices(("sandbox", "stripe", "paypal"), (80, 19, 1))[0],
            create_time=time,
        )
        for time in bulk.moments(chance, count, days)
    ]


def administrator(shop):
    """A connection of the administrator, in the payment service's schema."""
    return bulk.administrator(shop, "payment")


async def write(connection: asyncpg.Connection, store_id: str, made: list[Made]) -> None:
    """Write payments as they are."""
    columns = {
        "payment_id": "payment_id",
        "order_id": "payment_id",
        "customer_id": "customer_id",
        "state": "state",
        "amount_minor_units": "amount",
        "currency_code": "currency_code",
        "gateway": "gateway",
        "create_time": "create_time",
        "update_time": "create_time",
    }
    fixed = {"store_id": store_id, "payment_method": "pm_sandbox_ok", "version": 1, "cancelled": False}
    await connection.copy_records_to_table(
        "payments",
        columns=[*columns, *fixed],
        records=[(*(getattr(each, name) for name in columns.values()), *fixed.values()) for each in made],
    )
    await connection.execute("ANALYZE payments")
