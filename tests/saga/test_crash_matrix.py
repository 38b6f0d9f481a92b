"""The crash matrix of orders: checkout, cancel, return. Clients do not give up, and at the end everything adds up."""

import asyncio
from pathlib import Path

import pytest
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import ReturnLine

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
from tests.saga.matrix import Matrix, failing
from tests.saga.test_crashes import insist
from tests.shop import Clients, Shop, eventually, new_id

PRICE = 1999
UNITS = 2
STOCK = 10_000
VICTIMS = ["order", "payment", "catalog", "sandbox", "nats", "postgres"]

# So many buyers at once that some of them come while another's order is placed.
CROWD = 24

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
AT_ONCE = ["order batch orders placed"]
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


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory, failpoints):
    async with failing(tmp_path_factory.mktemp("matrix"), failpoints) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


class Buyers(Matrix):
    """Kills amid the orders of one customer for one product."""

    def __init__(self, shop: Shop, folder: Path, product: str, customer: str) -> None:
        super().__init__(shop.clients.cluster, folder)
        self.shop, self.product, self.customer = shop, product, customer
        self.checkouts: list[Checkout] = []

    def checkout(self) -> Checkout:
        body = {
            "customerId": self.customer,
            "lines": [{"productId": self.product, "quantity": UNITS}],
            "paymentMethod": "pm_sandbox_ok",
        }
        self.checkouts.append(Checkout(self.shop, body))
        return self.checkouts[-1]


@pytest.fixture
async def matrix(shop, failpoints):
    return Buyers(shop, failpoints, await shop.product(stock=STOCK, price=PRICE), await shop.customer())


async def test_a_kill_at_any_point_of_a_checkout_loses_nothing(matrix):
    async def act() -> None:
        checkout = matrix.checkout()
        await checkout.place()
        await checkout.watch({"CONFIRMED"})

    await matrix.run(CHECKOUT, VICTIMS, act)

    await adds_up(matrix, dict.fromkeys(_ids(matrix), (0, 0)))


async def test_a_kill_amid_a_crowd_loses_no_order_and_places_none_twice(matrix):
    async def act() -> None:
        crowd = [matrix.checkout() for _ in range(CROWD)]
        await asyncio.gather(*(checkout.place() for checkout in crowd))
        await asyncio.gather(*(checkout.watch({"CONFIRMED"}) for checkout in crowd))

    await matrix.run(AT_ONCE, VICTIMS, act)

    await adds_up(matrix, dict.fromkeys(_ids(matrix), (0, 0)))


async def test_a_kill_at_any_point_of_a_cancellation_gives_everything_back_once(matrix):
    async def act() -> None:
        checkout = matrix.checkout()
        await checkout.place()
        await checkout.watch({"CONFIRMED"})
        await insist(matrix.shop, "CancelOrder", cancel, checkout)
        await checkout.watch({"CANCELLED"})

    await matrix.run(CANCEL, VICTIMS, act)

    await adds_up(matrix, dict.fromkeys(_ids(matrix), (0, 0)))


async def test_a_kill_at_any_point_of_a_return_refunds_and_restocks_once(matrix):
    async def act() -> None:
        checkout = matrix.checkout()
        await checkout.place()
        await checkout.watch({"CONFIRMED"})
        for verb, ask in (("AcceptOrder", accept), ("ShipOrder", ship), ("DeliverOrder", deliver)):
            await insist(matrix.shop, verb, ask, checkout)
        await insist(matrix.shop, "ReturnOrder", lambda order_id: returns(order_id, matrix.product), checkout)

    await matrix.run(RETURN, VICTIMS, act)

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


def _ids(matrix: Buyers) -> list[str]:
    return [checkout.order_id for checkout in matrix.checkouts]


async def adds_up(matrix: Buyers, money: dict[str, tuple[int, int]]) -> None:
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
