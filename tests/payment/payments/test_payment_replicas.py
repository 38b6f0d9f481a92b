"""Two replicas of the payment service: whatever both do about one payment has the effect of one."""

import asyncio
import random

import pytest

from services.cluster.cluster import Cluster
from tests.payment.agreement import agree, unsettled
from tests.payment.till import Till, at_once, said
from tests.shop import Clients, Shop

PAYMENTS = 30
AMOUNT = 2_100
ROUNDS = 5
# What was asked for twice, and nothing more: the state, and what was captured, refunded and voided.
ENDS = {
    "capture": ("PARTIALLY_CAPTURED", (1_400, 0, 0)),
    "refund": ("PARTIALLY_REFUNDED", (AMOUNT, 1_400, 0)),
    "void": ("VOIDED", (0, 0, AMOUNT)),
}


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory):
    home = tmp_path_factory.mktemp("payment-replicas")
    told = {
        "COMMERCE_PROVIDER_TIMEOUT_SECONDS": "0.5",
        # Silence is the matter here, not leaving the provider alone for it.
        "COMMERCE_PROVIDER_FAILURES": "1000",
    }
    async with Cluster(home, ["payment"], replicas={"payment": 2}, environment=told) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


@pytest.fixture
def tills(clients, cluster):
    """A till at each replica."""
    shop = Shop(clients)
    return [Till(shop.at(address)) for address in cluster.addresses("payment")]


async def hurried(shop, task):
    """Until a task is done, whatever is open is due again and again, so that both replicas take it."""
    while not task.done():
        await shop.clients.rows(
            """UPDATE payment.operations SET due_time = clock_timestamp() WHERE operation_id IN (
                SELECT operation_id FROM payment.operations WHERE store_id = $1 AND settle_time IS NULL
                FOR UPDATE SKIP LOCKED)""",
            shop.store_id,
        )
        await asyncio.sleep(random.uniform(0.02, 0.1))
    return await task


@pytest.mark.parametrize("method", ["silent_after", "silent_before"])
async def test_what_nobody_knows_is_settled_once_whoever_asks(tills, method):
    """Both replicas' janitors ask what became of it, and callers at both besides."""
    first, second = tills
    for _ in range(ROUNDS):
        payments = await at_once(
            *(till.authorize(method, minor_units=AMOUNT) for till in tills for _ in range(PAYMENTS // 2))
        )
        assert {said(payment) for payment in payments} == {"UNKNOWN"}

        confirming = at_once(*(till.confirm(payment) for payment in payments for till in tills * 2))
        await hurried(first.shop, asyncio.ensure_future(confirming))

        found = await agree(second)
        assert {account.state for account in found.values()} == {"AUTHORIZED"}
        assert {len(account.charges) for account in found.values()} == {1}
        assert {len(account.done("authorize")) for account in found.values()} == {1}
        # On a busy machine one may have the answer before the next has asked.
        if any(account.operations[0]["attempts"] > 2 for account in found.values()):
            return
    raise AssertionError("nobody asked twice")


@pytest.mark.parametrize("kind", ["capture", "refund", "void"])
async def test_an_unknown_operation_is_settled_once(tills, kind):
    first, second = tills
    payments = await at_once(*(first.authorize(minor_units=AMOUNT) for _ in range(PAYMENTS)))
    if kind == "refund":
        payments = await at_once(*(first.capture(payment) for payment in payments))
    for payment in payments:
        path = f"/v1/charges/{payment.provider_reference}/{kind}"
        await first.misbehaves(path, random.choice(["silent_after", "silent_before", "hang_up"]))

    parts = {} if kind == "void" else {"minor_units": 700}

    async def story(payment):
        await getattr(first, kind)(payment, **parts)
        # The other replica is asked for a part more while nobody knows of the first.
        if kind != "void":
            await getattr(second, kind)(payment, **parts)

    await hurried(first.shop, asyncio.ensure_future(at_once(*map(story, payments))))

    async def quiet():
        while await unsettled(first.shop):  # noqa: ASYNC110 (what is asked is another process)
            await asyncio.sleep(0.1)

    await hurried(first.shop, asyncio.ensure_future(quiet()))
    found = await agree(second)
    state, sums = ENDS[kind]
    assert {account.state for account in found.values()} == {state}
    assert {
        (each.sums["captured"], each.sums["refunded"], each.sums["voided"]) for each in found.values()
    } == {sums}


async def test_two_callers_at_two_replicas_take_and_give_back_once(tills):
    first, second = tills
    payments = await at_once(*(first.authorize(minor_units=AMOUNT) for _ in range(PAYMENTS)))

    async def story(payment):
        await asyncio.gather(
            *(till.capture(payment, minor_units=1_200) for till in tills), return_exceptions=True
        )
        await asyncio.gather(
            *(till.refund(payment, minor_units=700) for till in tills), return_exceptions=True
        )
        await asyncio.gather(*(till.void(payment) for till in tills), return_exceptions=True)

    await at_once(*map(story, payments))

    found = await agree(second)
    assert {account.state for account in found.values()} == {"PARTIALLY_REFUNDED"}
    assert {
        (each.sums["captured"], each.sums["refunded"], each.sums["voided"]) for each in found.values()
    } == {(1_200, 700, 900)}
