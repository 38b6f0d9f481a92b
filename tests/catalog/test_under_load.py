"""Stock under load: whatever happens at once to the same products, no unit is made, lost or sold twice."""

import asyncio
import random

import pytest
from commerce.order.v1.order_events_pb2 import (
    OrderAccepted,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderReturned,
)
from commerce.order.v1.order_pb2 import OrderReturn, ReturnLine

from tests.catalog.orders import (
    adjust,
    changes,
    commit,
    deadlocks,
    kind,
    promised,
    release,
    reserve,
    stock,
    too_late,
    wants,
)
from tests.shop import eventually

CLIENTS, ROUNDS = 12, 8
# In one snapshot of the database: what is on hand, what the history says, and what is promised.
BOOKS = """
SELECT stock.on_hand, stock.reserved,
    (SELECT sum(delta) FROM catalog.stock_changes AS change WHERE change.product_id = stock.product_id) AS deltas,
    (SELECT coalesce(sum(quantity), 0)
        FROM catalog.reservations, unnest(product_ids, quantities) AS line(product_id, quantity)
        WHERE state = 1 AND line.product_id = stock.product_id) AS promised
FROM catalog.stock WHERE product_id = ANY ($1)
"""


@pytest.fixture
def shop(replicas):
    return replicas[0]


class Buyer:
    """A client that does what comes into its mind, and remembers how many units it brought and took for good."""

    def __init__(self, shop, tell, products):
        self.shop, self.tell, self.products = shop, tell, products
        self.events = []
        self.gone = dict.fromkeys(products, 0)

    def order(self, **given):
        lines = [(each, random.randint(1, 3)) for each in random.sample(self.products, 3)]
        return wants(self.shop, *lines, **given)

    async def go(self):
        for _ in range(ROUNDS):
            order, other = self.order(), self.order()
            assert await reserve(self.shop, order, other) == ["HELD", "HELD"]
            deed = random.choice([self.sell, self.give_back, self.by_events, self.forget, self.count])
            await deed(order, other)

    async def sell(self, *orders):
        await commit(self.shop, *(order.order_id for order in orders))
        self.takes(*orders)

    async def give_back(self, first, second):
        await asyncio.gather(
            commit(self.shop, first.order_id),
            release(self.shop, second.order_id, first.order_id),
        )
        await release(self.shop, first.order_id)

    async def by_events(self, first, second):
        for order in (first, second):
            await self.tell(OrderConfirmed, order.order_id)
        await self.tell(OrderAccepted, first.order_id)
        await self.tell(random.choice([OrderCancelled, OrderExpired]), second.order_id)
        line = first.lines[0]
        back = ReturnLine(product_id=line.product_id, quantity=line.quantity, restock=True)
        await self.tell(OrderReturned, first.order_id, returned=OrderReturn(lines=[back]))
        self.takes(first)
        self.gone[line.product_id] -= line.quantity

    async def forget(self, first, second):
        """Nobody confirms it in time."""
        assert await reserve(self.shop, self.order(expire_time=too_late())) == ["HELD"]
        await release(self.shop, first.order_id, second.order_id)

    async def count(self, first, second):
        await release(self.shop, second.order_id, first.order_id)
        product_id, delta = random.choice(self.products), random.randint(1, 5)
        await adjust(self.shop, product_id, delta)
        self.gone[product_id] -= delta

    def takes(self, *orders):
        for order in orders:
            for line in order.lines:
                self.gone[line.product_id] += line.quantity


async def test_the_books_are_right_at_every_instant_and_nobody_waits_in_a_circle(shop, replicas, tell):
    products = [await shop.product(stock=10_000) for _ in range(6)]
    buyers = [Buyer(replicas[number % 2], tell, products) for number in range(CLIENTS)]
    before = deadlocks(shop)

    async def audit():
        while True:
            for row in await shop.clients.rows(BOOKS, products):
                assert (row["deltas"], row["promised"]) == (row["on_hand"], row["reserved"])
            await asyncio.sleep(0.02)

    auditing = asyncio.create_task(audit())
    await asyncio.gather(*(buyer.go() for buyer in buyers))

    async def nothing_is_promised():
        return all([(await stock(shop, each))[1] == 0 for each in products])

    await eventually(nothing_is_promised)
    expected = [10_000 - sum(buyer.gone[each] for buyer in buyers) for each in products]

    async def all_is_back():
        return [(await stock(shop, each))[0] for each in products] == expected

    await eventually(all_is_back)
    assert not auditing.done(), auditing.exception()
    auditing.cancel()
    assert deadlocks(shop) == before
    assert [await promised(shop, each) for each in products] == [
        (0, (await promised(shop, each))[1]) for each in products
    ]
    for product_id in products:
        on_hand = 0
        for change in await changes(shop, product_id):
            on_hand += change.delta
            assert change.on_hand == on_hand, (kind(change), change.reason)
