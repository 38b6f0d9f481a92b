"""Thousands of payments at a provider of which one answer in twenty is lost, one comes twice, and one late.

2,000 of them; all 10,000 with COMMERCE_WHOLE_MATRIX=1.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from itertools import cycle
from typing import Any

import pytest
from commerce.payment.v1.payment_pb2 import PaymentState

from services.cluster.cluster import Cluster
from services.sandbox.rules import Shares, mixed
from tests.payment.agreement import Account, agree, balanced
from tests.payment.till import HOLDING, Till, said
from tests.shop import Clients, Shop, eventually

PAYMENTS = 10_000 if os.environ.get("COMMERCE_WHOLE_MATRIX") else 2_000
AT_ONCE = 48
SETTLE_SECONDS = 120.0
AMOUNT = 2_100
SHARES = Shares(unknown=0.05, duplicate=0.05, late=0.05)
ENVIRONMENT = {
    "COMMERCE_PROVIDER_TIMEOUT_SECONDS": "0.5",
    **{f"COMMERCE_SANDBOX_{name.upper()}_SHARE": str(share) for name, share in SHARES._asdict().items()},
}


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory):
    home = tmp_path_factory.mktemp("ten-thousand")
    async with Cluster(home, ["payment"], environment=ENVIRONMENT) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


async def test_of_thousands_of_payments_none_is_charged_twice_or_lost(clients):
    till = Till(Shop(clients))
    began = time.monotonic()

    payments = await _each(range(PAYMENTS), lambda _: till.authorize("mixed", minor_units=AMOUNT))
    told = Counter(said(payment) for payment in payments)
    assert told.keys() == {"AUTHORIZED", "UNKNOWN", "PENDING"}, told
    authorized = time.monotonic()
    await eventually(lambda: _all_decided(till.shop), SETTLE_SECONDS)
    decided = time.monotonic()
    await _each(zip(payments, cycle(STORIES), strict=False), lambda each: each[1](till, each[0]))
    found = await agree(till, SETTLE_SECONDS)
    ended = time.monotonic()

    _promises(found)
    await _books(till.shop, found)
    lots = Counter(_lot(each) for each in found.values())
    assert all(lots[name] > PAYMENTS / 40 for name in ("silent", "twice", "late")), lots
    # Of some the decision has come before we asked what became of the call.
    assert told["PENDING"] > PAYMENTS / 40
    slowest = max(
        one["settle_time"] - one["create_time"] for each in found.values() for one in each.operations
    )
    print(
        f"{PAYMENTS} payments in {ended - began:.1f} s, authorized {PAYMENTS / (authorized - began):.0f} a second; "
        f"told {dict(told)}, all decided {decided - authorized:.1f} s later; "
        f"{sum(len(each.operations) for each in found.values())} operations; "
        f"the provider was {dict(lots)}; the slowest settlement took {slowest.total_seconds():.1f} s"
    )


# What becomes of a payment that was authorized, in turn.


async def _left(till: Till, payment: Any) -> None:
    pass


async def _taken(till: Till, payment: Any) -> None:
    await till.capture(payment)


async def _given_up(till: Till, payment: Any) -> None:
    await till.void(payment)


async def _given_back(till: Till, payment: Any) -> None:
    await _surely_taken(till, payment)
    await till.refund(payment)


async def _given_back_in_part(till: Till, payment: Any) -> None:
    await _surely_taken(till, payment)
    await till.refund(payment, minor_units=333)


async def _taken_in_parts(till: Till, payment: Any) -> None:
    await asyncio.gather(*(till.capture(payment, minor_units=part) for part in (700, 1_400)))


async def _taken_and_given_up(till: Till, payment: Any) -> None:
    await till.capture(payment, minor_units=701, final=True)


async def _taken_in_part(till: Till, payment: Any) -> None:
    await _surely_taken(till, payment, minor_units=1)
    await till.refund(payment, minor_units=1)


async def _surely_taken(till: Till, payment: Any, minor_units: int | None = None) -> None:
    """Return when the money was taken: an answer that took too long is unknown at first."""
    if not (await till.capture(payment, minor_units=minor_units)).captured.minor_units:
        await eventually(lambda: till.settled(payment), SETTLE_SECONDS)


STORIES: tuple[Callable[[Till, Any], Awaitable[None]], ...] = (
    _taken,
    _given_up,
    _given_back,
    _left,
    _given_back_in_part,
    _taken_in_parts,
    _taken_and_given_up,
    _taken_in_part,
)
ENDS = (
    "CAPTURED",
    "VOIDED",
    "REFUNDED",
    "AUTHORIZED",
    "PARTIALLY_REFUNDED",
    "CAPTURED",
    "CAPTURED",
    "PARTIALLY_REFUNDED",
)


async def _each(whom: Iterable[Any], call: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    """Do something for each, some at once; the answers in their order."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Any) -> Any:
        async with gate:
            return await call(each)

    return list(await asyncio.gather(*map(one, whom)))


async def _all_decided(shop: Shop) -> bool:
    rows = await shop.clients.rows(
        "SELECT FROM payment.payments WHERE store_id = $1 AND state = ANY($2) LIMIT 1",
        shop.store_id,
        [PaymentState.PAYMENT_STATE_PENDING, PaymentState.PAYMENT_STATE_UNKNOWN],
    )
    return not rows


def _promises(found: dict[str, Account]) -> None:
    """Every payment is there, charged once, and where its story ends."""
    assert len(found) == PAYMENTS
    assert {len(each.charges) for each in found.values()} == {1}
    ends = Counter(each.state for each in found.values())
    assert ends == Counter(state for state, _ in zip(cycle(ENDS), range(PAYMENTS), strict=False))


async def _books(shop: Shop, found: dict[str, Account]) -> None:
    """The accounts hold what the payments say, which is what the provider says."""
    balances = await balanced(shop)
    kept = sum(each.sums["captured"] - each.sums["refunded"] for each in found.values())
    held = sum(
        each.sums["amount"] - each.sums["captured"] - each.sums["voided"]
        for each in found.values()
        if each.state in HOLDING
    )
    assert (balances["provider_clearing"], balances["customer_receivable"]) == (kept, held)
    theirs = [each.charges[0] for each in found.values()]
    assert kept == sum(each["captured_minor_units"] - each["refunded_minor_units"] for each in theirs)
    authorized = sum(each["authorized_minor_units"] for each in theirs)
    assert held == authorized - sum(
        each["captured_minor_units"] + each["voided_minor_units"] for each in theirs
    )


def _lot(account: Account) -> str:
    """How the provider dealt with a charge: as its key has drawn."""
    method = mixed(account.charges[0]["idempotency_key"], SHARES)
    if method.silent:
        return "silent"
    if method.webhook_copies > 1:
        return "twice"
    return "late" if method.status == "processing" else "well-behaved"
