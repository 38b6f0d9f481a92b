"""What happens at the same moment happens in one order or the other: everything agrees afterwards, whichever it was.

Delays are drawn from a seed, which is printed: COMMERCE_SEED=… draws them again. The rush for the last unit has eight
rounds, and twenty with COMMERCE_WHOLE_MATRIX=1.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import Order
from google.protobuf.duration_pb2 import Duration

from tests.order.asks import accept, cancel, create, name, order_of, ship
from tests.order.deals import apply, new_coupon, set_up
from tests.order.operations import stopped
from tests.saga.checkouts import BROKEN, PRICE, book, no_dead_letters, ours, stock
from tests.saga.meetings import SETTLE_SECONDS, UNITS, Meeting, agree
from tests.shop import Refused, Shop, eventually, refused

BUYERS, ROUNDS = 1_000, 20 if os.environ.get("COMMERCE_WHOLE_MATRIX") else 8
AT_ONCE, BATCHES, STOPS = 30, 8, 4


@pytest.fixture
def chance():
    seed = int(os.environ.get("COMMERCE_SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"COMMERCE_SEED={seed}")
    return random.Random(seed)


# The last unit.


async def test_of_a_thousand_buyers_of_the_last_unit_one_has_it_in_every_round(shop, chance):
    customers: list[str] = []
    while len(customers) < BUYERS:
        customers += await asyncio.gather(*(shop.customer() for _ in range(100)))
    winners = []
    for _ in range(ROUNDS):
        product = await shop.product(stock=1, price=PRICE)
        orders = await asyncio.gather(*(_bought(shop, chance, each, product) for each in customers))
        assert len(set(orders)) == BUYERS

        try:
            await eventually(lambda: _have_ended(shop), SETTLE_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not ended: {Counter((await _states(shop, orders)).values())}") from None

        ends = await _states(shop, orders)
        assert Counter(ends.values()) == Counter(CONFIRMED=1, REJECTED=BUYERS - 1)
        assert await stock(shop, product) == (1, 1)
        winners += [order for order, state in ends.items() if state == "CONFIRMED"]
    charges = await book(shop)
    mine = await ours(shop)
    assert mine.keys() == set(winners), "only winners were asked for money"
    for winner in winners:
        assert [charge["authorized_minor_units"] for charge in charges[winner]] == [PRICE]
    await no_dead_letters(shop)


async def _bought(shop, chance, customer, product):
    """Order, as a client does who is told to come back later, or nothing: with the same request_id."""
    request = create(shop, customer, (product, 1))
    while True:
        try:
            return (await shop.orders.CreateOrder(request, timeout=30)).order.order_id
        except grpc.aio.AioRpcError as error:
            assert error.code() in BROKEN, error
            # Refusals for the load say to come back in a second.
            await asyncio.sleep(chance.uniform(0.5, 1.5))


async def _states(shop, orders):
    rows = await shop.clients.rows(
        'SELECT order_id, state FROM "order".orders WHERE order_id = ANY($1::uuid[])', orders
    )
    return {str(row["order_id"]): name(row["state"]) for row in rows}


async def _have_ended(shop):
    """Whether no order of the store is under way any more."""
    rows = await shop.clients.rows(
        'SELECT state FROM "order".orders WHERE store_id = $1 GROUP BY state', shop.store_id
    )
    return {name(row["state"]) for row in rows} <= {"CONFIRMED", "REJECTED"}


# Two things that meet at one order.


@dataclass
class Stage:
    """Where orders are placed: a store of their own with a product, a coupon and a customer."""

    shop: Shop
    chance: random.Random
    product: str
    customer: str

    async def placed(self, method="pm_sandbox_ok", code="TEN"):
        request = create(self.shop, self.customer, (self.product, 1), method=method, coupon_code=code)
        return (await self.shop.orders.CreateOrder(request)).order

    async def come(self, until, method="pm_sandbox_ok"):
        order = await self.placed(method)
        await self.shop.until(order.order_id, until)
        return await order_of(self.shop, order.order_id)

    async def cancelled(self, order, seconds):
        """Cancel an order after some time; return CANCELLED, or the state that did not allow it."""
        await asyncio.sleep(seconds)
        try:
            return name((await self.shop.orders.CancelOrder(cancel(order.order_id))).order.state)
        except grpc.aio.AioRpcError as error:
            return _refused(error).metadata["state"]

    async def done(self, rpc: str, request: object, seconds: float) -> None:
        """Ask for a step after some time, which the order's state may not allow any more."""
        await asyncio.sleep(seconds)
        try:
            await getattr(self.shop.orders, rpc)(request)
        except grpc.aio.AioRpcError as error:
            _refused(error)


def _refused(error: grpc.aio.AioRpcError) -> Refused:
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED) as said:
        raise error
    return said


def _checkout(method: str) -> Callable[[Stage, float], Awaitable[Meeting]]:
    """Cancel an order some time after it was placed."""

    async def meet(stage: Stage, span: float) -> Meeting:
        order = await stage.placed(method)
        return Meeting(order, await stage.cancelled(order, stage.chance.uniform(0, span)))

    return meet


async def _coupon(stage: Stage, span: float) -> Meeting:
    """Add a coupon to an order that is being cancelled."""
    order = await stage.placed(code="")
    adding = stage.done("ApplyCoupon", apply(order.order_id), 0)
    told, _ = await asyncio.gather(stage.cancelled(order, stage.chance.uniform(0, span)), adding)
    return Meeting(order, told)


async def _challenge(stage: Stage, span: float) -> Meeting:
    """Its customer confirms the payment of an order that is being cancelled."""
    order = await stage.come("AWAITING_CUSTOMER", "pm_sandbox_requires_action")
    told, _ = await asyncio.gather(
        stage.cancelled(order, stage.chance.uniform(0, span)),
        _confirmed(order, stage.chance.uniform(0, span / 4)),
    )
    return Meeting(order, told)


async def _confirmed(order: Order, seconds: float) -> None:
    """What the customer does at the provider; too late, it is refused."""
    await asyncio.sleep(seconds)
    async with aiohttp.request("POST", order.next_action_url, json={"outcome": "pass"}) as reply:
        assert reply.status in (200, 409)


async def _accepted(stage: Stage, span: float) -> Meeting:
    """Accept an order that is being cancelled."""
    order = await stage.come("CONFIRMED")
    accepting = stage.done("AcceptOrder", accept(order.order_id), stage.chance.uniform(0, span))
    told, _ = await asyncio.gather(stage.cancelled(order, stage.chance.uniform(0, span)), accepting)
    return Meeting(order, told)


async def _captured(stage: Stage, span: float) -> Meeting:
    """Cancel an accepted order whose money is being taken."""
    order = await stage.come("CONFIRMED")
    await stage.shop.orders.AcceptOrder(accept(order.order_id))
    return Meeting(order, await stage.cancelled(order, stage.chance.uniform(0, span)))


async def _shipped(stage: Stage, span: float) -> Meeting:
    """Ship an order that is being cancelled."""
    order = await stage.come("CONFIRMED")
    await stage.shop.orders.AcceptOrder(accept(order.order_id))
    shipping = stage.done("ShipOrder", ship(order.order_id), stage.chance.uniform(0, span))
    told, _ = await asyncio.gather(stage.cancelled(order, stage.chance.uniform(0, span)), shipping)
    return Meeting(order, told)


async def _expired(stage: Stage, span: float) -> Meeting:
    """Cancel an order in the moment in which its time is over."""
    await set_up(stage.shop, payment_wait=Duration(seconds=2))
    order = await stage.placed("pm_sandbox_requires_action")
    return Meeting(order, await stage.cancelled(order, 2 + stage.chance.uniform(-span, span)))


async def _overtaken(stage: Stage, span: float) -> Meeting:
    """The provider answers in the moment in which the order's time is over; nobody cancels."""
    wait = Duration()
    wait.FromMilliseconds(1_300 + int(stage.chance.uniform(0, 1_000 * span)))
    await set_up(stage.shop, payment_wait=wait)
    return Meeting(await stage.placed("pm_sandbox_slow"))


def _took(step: str) -> Callable[[Meeting], bool]:
    return lambda meeting: step in meeting.steps


# How two things meet, in how many seconds, and what tells which of them came first.
RACES: dict[str, tuple[Callable[[Stage, float], Awaitable[Meeting]], float, Callable[[Meeting], bool]]] = {
    "cancelled as its units are reserved": (_checkout("pm_sandbox_ok"), 0.05, _took("reserve")),
    "cancelled as it is paid": (_checkout("pm_sandbox_ok"), 0.2, _took("authorize")),
    "cancelled as it is declined": (_checkout("pm_sandbox_declined"), 0.2, _took("decline")),
    "cancelled as a slow provider answers": (_checkout("pm_sandbox_slow"), 3.0, _took("authorize")),
    "cancelled as a provider falls silent that has done nothing": (
        _checkout("pm_sandbox_silent_before"),
        5.0,
        _took("lose"),
    ),
    "cancelled as that provider is heard again": (
        _checkout("pm_sandbox_silent_before"),
        8.0,
        _took("authorize"),
    ),
    "cancelled as one is heard again that has done all": (
        _checkout("pm_sandbox_silent_after"),
        8.0,
        _took("authorize"),
    ),
    "cancelled as its customer confirms": (_challenge, 0.2, _took("authorize")),
    "cancelled as a coupon is added": (_coupon, 0.01, _took("apply_coupon")),
    "cancelled as it is accepted": (_accepted, 0.02, _took("accept")),
    "cancelled as its money is taken": (_captured, 0.3, lambda meeting: meeting.taken_before),
    "cancelled as it is sent": (_shipped, 0.02, _took("ship")),
    "cancelled as its time is over": (_expired, 0.6, _took("expire")),
    "paid as its time is over": (_overtaken, 1.0, _took("authorize")),
}


@pytest.mark.parametrize("race", RACES)
async def test_whatever_comes_first_all_agree_about_an_order_that_is(shop, chance, race):
    """Both orders of events are seen, again and again; told, state, money, units and coupon always agree."""
    meet, span, first = RACES[race]
    coupon = await new_coupon(shop)
    stage = Stage(shop, chance, await shop.product(stock=UNITS, price=PRICE), await shop.customer())
    meetings: list[Meeting] = []
    seen: Counter[bool] = Counter()
    # What takes seconds is mostly waited for: twice as many at once take as long.
    at_once = AT_ONCE if span < 1 else 2 * AT_ONCE
    for _ in range(BATCHES):
        latest = await asyncio.gather(*(meet(stage, span) for _ in range(at_once)))
        meetings += latest
        await agree(stage, latest, meetings, coupon)
        outcomes = Counter(first(meeting) for meeting in latest)
        seen += outcomes
        # A box that is slower, or faster, than most.
        span *= (
            2 if 4 * outcomes[True] < outcomes[False] else 0.5 if 4 * outcomes[False] < outcomes[True] else 1
        )
        if len(meetings) >= 2 * AT_ONCE and min(seen[True], seen[False]) >= 3:
            break

    await agree(stage, meetings, meetings, coupon)
    print(f"{race}: {dict(seen)} in {span} s")
    assert seen[True] and seen[False], f"only one order of events was seen: {seen}"
    await no_dead_letters(shop)


@pytest.mark.parametrize("code", ["catalog", "payment"])
async def test_all_agree_about_orders_that_are_cancelled_while_a_service_stands_still(shop, chance, code):
    """When it goes on it is asked for units or money, and told that nobody wants them any more, at once."""
    coupon = await new_coupon(shop)
    stage = Stage(shop, chance, await shop.product(stock=UNITS, price=PRICE), await shop.customer())
    meetings = [Meeting(await stage.come("CONFIRMED"))]
    for _ in range(STOPS):
        with stopped(shop, code):
            orders = await asyncio.gather(*(stage.placed() for _ in range(AT_ONCE)))
            told = await asyncio.gather(*(stage.cancelled(each, chance.uniform(0, 0.5)) for each in orders))
        latest = [Meeting(*each) for each in zip(orders, told, strict=True)]
        meetings += latest
        await agree(stage, latest, meetings, coupon)
    assert Counter(each.state for each in meetings) == Counter(CONFIRMED=1, CANCELLED=STOPS * AT_ONCE)
    await no_dead_letters(shop)
