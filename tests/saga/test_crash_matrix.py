"""The crash matrix: at each named point of checkout, cancel and return, each process involved is killed.

Points lie before and after every commit, every call to another service or the provider, and every publishing of events
(services/runtime/failpoints.py). A point of a process that is to die kills it there; for another victim the process
stands still at the point until the victim is dead. Clients do not give up, and at the end everything adds up.

The cells come in an order drawn from a seed, which is printed: COMMERCE_SEED=… repeats it. A process dies before and
after each of its own points; for the others the seed draws which of the two it is, so that a run takes minutes:
COMMERCE_WHOLE_MATRIX=1 takes both.
"""

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import ReturnLine

from services.cluster import processes
from services.cluster.cluster import Cluster
from tests.order.asks import accept, cancel, deliver, get, name, ship
from tests.saga.checkouts import (
    SETTLE_SECONDS,
    Checkout,
    book,
    everything_ready,
    no_dead_letters,
    ours,
    stock,
)
from tests.saga.test_crashes import insist
from tests.shop import Clients, Shop, eventually, new_id

PRICE = 1999
UNITS = 2
STOCK = 10_000
VICTIMS = ["order", "payment", "catalog", "sandbox", "nats", "postgres"]

# Where each service passes, each "before" and "after".
CHECKOUT = [
    "order commit CreateOrder",
    "order call ReserveStock",
    "catalog commit ReserveStock",
    "order commit record reserve",
    "order call AuthorizePayment",
    "payment sql payment recorded",
    "payment provider authorize",
    "payment commit AuthorizePayment",
    "order commit record authorize",
    "order publish OrderConfirmed",
    "catalog commit OrderConfirmed",
]
CANCEL = [
    "order commit CancelOrder",
    "order publish OrderCancelled",
    "catalog commit OrderCancelled",
    "payment commit OrderCancelled",
    "payment provider void",
    "payment commit record void",
]
RETURN = [
    "order commit ReturnOrder",
    "order publish OrderReturned",
    "catalog commit OrderReturned",
    "payment commit OrderReturned",
    "payment provider refund",
    "payment commit record refund",
]


@dataclass(frozen=True)
class Cell:
    """One kill: of whom, and when."""

    when: str
    point: str
    victim: str

    @property
    def file(self) -> str:
        service, _, point = self.point.partition(" ")
        return f"{service} {self.when} {point}"

    @property
    def own(self) -> bool:
        return self.point.startswith(f"{self.victim} ")

    def __str__(self) -> str:
        return f"{self.victim} killed {self.when} {self.point}"


@pytest.fixture(scope="module")
def failpoints(tmp_path_factory):
    return tmp_path_factory.mktemp("failpoints")


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory, failpoints):
    short = {"COMMERCE_ORDER_LEASE_SECONDS": "2", "COMMERCE_PROVIDER_TIMEOUT_SECONDS": "1"}
    home = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as patch:
        # The supervisor gives a process that keeps dying a rest; here it is us who kill.
        patch.setattr(processes, "BACKOFF_LAST_SECONDS", processes.BACKOFF_FIRST_SECONDS)
        async with Cluster(home, environment={"COMMERCE_FAILPOINTS": str(failpoints), **short}) as cluster:
            yield cluster


@pytest.fixture(scope="module")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


class Matrix:
    """Goes through cells; the orders of earlier ones go on beside the next."""

    def __init__(self, shop: Shop, folder: Path, product: str, customer: str) -> None:
        self.shop, self.cluster, self.folder = shop, shop.clients.cluster, folder
        self.product, self.customer = product, customer
        self.checkouts: list[Checkout] = []
        self._going: list[asyncio.Task[None]] = []

    def checkout(self) -> Checkout:
        body = {
            "customerId": self.customer,
            "lines": [{"productId": self.product, "quantity": UNITS}],
            "paymentMethod": "pm_sandbox_ok",
        }
        self.checkouts.append(Checkout(self.shop, body))
        return self.checkouts[-1]

    async def run(self, points: list[str], act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Kill at each point, each victim; `act` is what passes them."""
        cells = [
            Cell(when, point, who) for point in points for when in ("before", "after") for who in VICTIMS
        ]
        seed = int(os.environ.get("COMMERCE_SEED", "0")) or random.randrange(1, 1 << 32)
        print(f"COMMERCE_SEED={seed}: {len(cells)} kills")
        random.Random(seed).shuffle(cells)
        for cell in cells:
            await self._kill(cell, act)
        async with asyncio.timeout(2 * SETTLE_SECONDS):
            await asyncio.gather(*self._going)

    async def _kill(self, cell: Cell, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        point = self.folder / cell.file
        reached = point.with_name(f"{point.name}.reached")
        process = self.cluster.process(cell.victim)
        restarts = process.restarts
        point.write_text("die" if cell.own else "hold")
        self._going.append(asyncio.create_task(act()))
        try:
            await eventually(lambda: _exists(reached), SETTLE_SECONDS)
        except TimeoutError:
            raise AssertionError(f"nobody came to the point: {cell}") from None
        if not cell.own:
            self.cluster.kill(cell.victim)
            point.with_name(f"{point.name}.go").touch()

        async def back() -> bool:
            return process.restarts > restarts

        await eventually(back)
        await self.cluster.wait_ready(cell.victim)
        reached.unlink()
        point.with_name(f"{point.name}.go").unlink(missing_ok=True)


def _cells(points: list[str], seed: random.Random) -> list[Cell]:
    cells = []
    for point in points:
        for victim in VICTIMS:
            both = [Cell("before", point, victim), Cell("after", point, victim)]
            cells += both if both[0].own or os.environ.get("COMMERCE_WHOLE_MATRIX") else [seed.choice(both)]
    seed.shuffle(cells)
    return cells


async def _exists(path: Path) -> bool:
    return path.exists()


@pytest.fixture
async def matrix(shop, failpoints):
    return Matrix(shop, failpoints, await shop.product(stock=STOCK, price=PRICE), await shop.customer())


async def test_a_kill_at_any_point_of_a_checkout_loses_nothing(matrix):
    async def act() -> None:
        checkout = matrix.checkout()
        await checkout.place()
        await checkout.watch({"CONFIRMED"})

    await matrix.run(CHECKOUT, act)

    await adds_up(matrix, dict.fromkeys(_ids(matrix), (0, 0)))


async def test_a_kill_at_any_point_of_a_cancellation_gives_everything_back_once(matrix):
    async def act() -> None:
        checkout = matrix.checkout()
        await checkout.place()
        await checkout.watch({"CONFIRMED"})
        await insist(matrix.shop, "CancelOrder", cancel, checkout)
        await checkout.watch({"CANCELLED"})

    await matrix.run(CANCEL, act)

    await adds_up(matrix, dict.fromkeys(_ids(matrix), (0, 0)))


async def test_a_kill_at_any_point_of_a_return_refunds_and_restocks_once(matrix):
    async def act() -> None:
        checkout = matrix.checkout()
        await checkout.place()
        await checkout.watch({"CONFIRMED"})
        for verb, ask in (("AcceptOrder", accept), ("ShipOrder", ship), ("DeliverOrder", deliver)):
            await insist(matrix.shop, verb, ask, checkout)
        await insist(matrix.shop, "ReturnOrder", lambda order_id: returns(order_id, matrix.product), checkout)

    await matrix.run(RETURN, act)

    await adds_up(matrix, dict.fromkeys(_ids(matrix), (PRICE * UNITS, PRICE)))
    rows = await matrix.shop.clients.rows(
        "SELECT kind, sum(delta) AS units FROM catalog.stock_changes WHERE product_id = $1 GROUP BY kind",
        matrix.product,
    )
    units = {row["kind"]: row["units"] for row in rows}
    assert (units[3], units[5]) == (-UNITS * len(matrix.checkouts), len(matrix.checkouts))


def returns(order_id: str, product: str) -> rpc.ReturnOrderRequest:
    line = ReturnLine(product_id=product, quantity=1, restock=True)
    return rpc.ReturnOrderRequest(order_id=order_id, lines=[line], reason="too large", request_id=new_id())


def _ids(matrix: Matrix) -> list[str]:
    return [checkout.order_id for checkout in matrix.checkouts]


async def adds_up(matrix: Matrix, money: dict[str, tuple[int, int]]) -> None:
    """What the clients saw, what is on record, the stock, the provider's book: `money` is captured and refunded."""
    shop = matrix.shop
    await everything_ready(matrix.cluster)
    assert len(money) == len(matrix.checkouts), "two requests became one order"
    rows = await shop.clients.rows('SELECT count(*) FROM "order".orders WHERE store_id = $1', shop.store_id)
    assert rows[0]["count"] == len(money), "an order exists that nobody was told of"
    for checkout in matrix.checkouts:
        sequences = [sequence for sequence, _ in checkout.seen]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences))), checkout.seen
    try:
        await eventually(lambda: _settled(shop, money), SETTLE_SECONDS)
    except TimeoutError:
        raise AssertionError(await _unsettled(shop, money)) from None
    held, taken = 0, 0
    for order_id in money:
        order = (await shop.orders.GetOrder(get(order_id))).order
        held += UNITS if name(order.state) == "CONFIRMED" else 0
        taken += sum(line.shipped_quantity - line.returned_quantity for line in order.lines)

    async def stocked() -> bool:
        return await stock(shop, matrix.product) == (STOCK - taken, held)

    await eventually(stocked, SETTLE_SECONDS)
    await no_dead_letters(shop)


async def _settled(shop: Shop, money: dict[str, tuple[int, int]]) -> bool:
    return not await _unsettled(shop, money)


async def _unsettled(shop: Shop, money: dict[str, tuple[int, int]]) -> dict[str, object]:
    """The orders whose money is not where it should be, at the provider or in our books."""
    theirs, mine = await book(shop), await ours(shop)
    wrong: dict[str, object] = {}
    for order_id, wanted in money.items():
        charges = [each for each in theirs.get(order_id, []) if each["authorized_minor_units"] > 0]
        payment = mine[order_id]
        ours_says = payment["captured_minor_units"], payment["refunded_minor_units"]
        provider_says = [(each["captured_minor_units"], each["refunded_minor_units"]) for each in charges]
        if ours_says != wanted or provider_says != [wanted]:
            wrong[order_id] = (wanted, ours_says, provider_says)
    return wrong
