"""Orders by the thousand, written into a store by the administrator of its database."""

import random
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from services.order import life
from services.order.transitions import MOVED
from tests import bulk
from tests.bulk import NOW

STATES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
WEIGHTS = [1, 1, 1, 1, 20, 10, 40, 300, 10, 20, 30, 10, 20]


class Placed(NamedTuple):
    """One order."""

    order_id: str
    customer_id: str
    state: int
    total: int
    currency_code: str
    create_time: datetime


def orders(count: int, customers: int, days: int = 300, seed: int = 7) -> list[Placed]:
    """So many orders of so many customers in the last days, the oldest first."""
    chance = random.Random(seed)
    buyers = [str(uuid.uuid4()) for _ in range(customers)]
    return [
        Placed(
            order_id=bulk.id_at(time),
            customer_id=chance.choice(buyers),
            state=chance.choices(STATES, WEIGHTS)[0],
            # Many are equal, so that what comes next does not depend on the total alone.
            total=chance.choice((1999, 4999, chance.randrange(100_000))),
            currency_code=chance.choices(("EUR", "USD", "CHF"), (80, 19, 1))[0],
            create_time=time,
        )
        for time in bulk.moments(chance, count, days)
    ]


def administrator(shop):
    """A connection of the administrator, in the order service's schema."""
    return bulk.administrator(shop, "order")


async def write(
    connection: asyncpg.Connection, store_id: str, placed: list[Placed], lines: bool = True
) -> None:
    """Write orders, each with one line, as they are."""
    columns = {
        "order_id": "order_id",
        "customer_id": "customer_id",
        "state": "state",
        "total_minor_units": "total",
        "subtotal_minor_units": "total",
        "currency_code": "currency_code",
        "create_time": "create_time",
        "update_time": "create_time",
    }
    fixed = {
        "store_id": store_id,
        "payment_method": "pm_sandbox_ok",
        "delivery_address": b"",
        "sequence": 1,
        "traceparent": "",
    }
    await connection.copy_records_to_table(
        "orders",
        columns=[*columns, *fixed],
        records=[(*(getattr(each, name) for name in columns.values()), *fixed.values()) for each in placed],
    )
    if lines:
        await connection.copy_records_to_table(
            "order_lines",
            columns=[
                "order_id",
                "position",
                "product_id",
                "sku",
                "name",
                "quantity",
                "unit_price_minor_units",
            ],
            records=[
                (each.order_id, 1, each.customer_id, "SKU-1", "Analytical engine", 1, each.total)
                for each in placed
            ],
        )
    await connection.execute("ANALYZE orders, order_lines")


async def move(connection: asyncpg.Connection, transitions: Sequence[tuple[object, int]]) -> int:
    """Take a step with each of these orders, to these sequences, as the service does; return how many held."""
    if not transitions:
        return 0
    every: dict[str, object] = {
        "step": "assign_courier",
        "state": life.SHIPPED,
        "reason": "",
        "payment_id": None,
        "next_action_url": "",
        "due_time": None,
        "payment_expire_time": None,
        "unpaid_reason": "",
        "keeps_reason": False,
        "refund": 0,
        "actor": "SERVICE test",
        "trace_id": "",
    }
    values: dict[str, object] = {name: [value] * len(transitions) for name, value in every.items()}
    values["order_id"], values["sequence"] = map(list, zip(*sorted(transitions), strict=True))
    values["time"] = NOW
    return len(await connection.fetch(MOVED.sql, *MOVED.arguments(values)))
