"""Each process is killed in the middle of 200 running checkouts: nothing is lost, charged twice or oversold."""

import asyncio
import random

import grpc
import pytest

from tests.order.asks import cancel
from tests.saga.checkouts import (
    BROKEN,
    PRICE,
    SETTLE_SECONDS,
    Crowd,
    audit,
    book,
    everything_ready,
    ours,
    stock,
)
from tests.shop import eventually

COUNT = 200
METHODS = (
    *("pm_sandbox_ok",) * 12,
    "pm_sandbox_declined",
    "pm_sandbox_slow",
    "pm_sandbox_silent_after",
    "pm_sandbox_silent_before",
    "pm_sandbox_requires_action",
    "pm_sandbox_duplicate_webhook",
)
PROCESSES = ["order", "payment", "catalog", "customer", "sandbox", "nats", "envoy", "postgres"]


@pytest.mark.parametrize("victim", PROCESSES)
async def test_a_process_killed_amid_checkouts_costs_nothing_but_time(shop, cluster, victim):
    crowd = Crowd(shop, await shop.product(stock=COUNT - 20, price=PRICE), await shop.customer())

    async def kill() -> None:
        await eventually(lambda: placed(crowd, COUNT // 4))
        cluster.kill(victim)

    await asyncio.gather(crowd.run(COUNT, methods=METHODS), kill())

    await everything_ready(cluster)
    assert cluster.process(victim).restarts > 0
    assert crowd.states().keys() <= {"CONFIRMED", "PAYMENT_FAILED", "AWAITING_CUSTOMER", "REJECTED"}
    await audit(crowd, COUNT - 20)


async def placed(crowd, count):
    return sum(1 for checkout in crowd.checkouts if checkout.order_id) >= count


async def insist(shop, rpc, ask, checkout):
    """Ask until there is an answer; one request_id throughout."""
    request = ask(checkout.order_id)
    while True:
        try:
            await getattr(shop.orders, rpc)(request, timeout=10)
            break
        except grpc.aio.AioRpcError as error:
            assert error.code() in BROKEN, (error.code(), error.details())
            await asyncio.sleep(random.uniform(0.1, 0.3))


async def settled(shop, crowd):
    """What the provider holds is what our books say and the orders' states demand."""
    theirs, mine = await book(shop), await ours(shop)
    for checkout in crowd.checkouts:
        charges = theirs.get(checkout.order_id, [])
        captured = sum(charge["captured_minor_units"] for charge in charges)
        refunded = sum(charge["refunded_minor_units"] for charge in charges)
        payment = mine.get(checkout.order_id)
        if payment is not None and (captured, refunded) != (
            payment["captured_minor_units"],
            payment["refunded_minor_units"],
        ):
            return False
        wanted = {"ACCEPTED": PRICE, "SHIPPED": PRICE, "DELIVERED": PRICE}.get(checkout.state, 0)
        if captured - refunded != wanted:
            return False
    return True


async def test_jetstreams_store_deleted_amid_checkouts_loses_no_effect(shop, cluster):
    crowd = Crowd(shop, await shop.product(stock=COUNT, price=PRICE), await shop.customer())
    cancelled = []

    async def cancel_some() -> None:
        await eventually(lambda: placed(crowd, COUNT // 2))
        for checkout in [each for each in crowd.checkouts if each.order_id][::4]:
            await insist(shop, "CancelOrder", cancel, checkout)
            cancelled.append(checkout)

    async def wipe() -> None:
        await eventually(lambda: placed(crowd, COUNT // 4))
        await cluster.wipe_jetstream()

    await asyncio.gather(crowd.run(COUNT), cancel_some(), wipe())

    await asyncio.gather(*(checkout.watch({"CANCELLED"}) for checkout in cancelled))
    await audit(crowd, COUNT)
    await eventually(lambda: settled(shop, crowd), SETTLE_SECONDS)
    assert await stock(shop, crowd.product) == (COUNT, COUNT - len(cancelled))
