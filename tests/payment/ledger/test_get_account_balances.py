"""GetAccountBalances: what each account held at a time, whatever is sealed by then."""

import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.ledger_service_pb2 import GetAccountBalancesRequest, GetTrialBalanceRequest
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.times import timestamp
from tests.payment.ledgers import post, said, sealed, some_transactions, sums, transaction, unsealed
from tests.shop import new_id, refused

DAY = timedelta(days=1)
FIRST = datetime(2026, 2, 26, tzinfo=UTC)
TICK = timedelta(microseconds=1)


async def balances(shop, at=None):
    at = at if at is None or isinstance(at, Timestamp) else timestamp(at)
    request = GetAccountBalancesRequest(store_id=shop.store_id, at=at)
    return said((await shop.ledger.GetAccountBalances(request)).accounts)


@pytest.fixture
async def holder(payment_cluster):
    connection = await asyncpg.connect(payment_cluster.dsn("payment"))
    yield connection
    await connection.close()


@pytest.mark.parametrize("seed", range(4))
async def test_at_any_time_they_are_the_sum_of_all_entries_before_it(ledger, holder, shop, seed):
    """Times within days, at their first and last instants, and equal ones; some sealed, some not, on the same days."""
    chance = random.Random(seed)

    def some_time():
        day = FIRST + chance.randrange(6) * DAY
        return day + chance.choice([timedelta(0), DAY - TICK, chance.random() * DAY, 5 * timedelta(hours=4)])

    before = some_transactions(chance, shop.store_id, [some_time() for _ in range(60)])
    after = some_transactions(chance, shop.store_id, [some_time() for _ in range(30)])
    await post(ledger, before)
    await post(ledger, some_transactions(chance, shop.another().store_id, [some_time()]))
    await sealed(shop)
    async with unsealed(holder):
        await post(ledger, after)
        entries = before + after
        times = [FIRST - DAY, FIRST, FIRST + 6 * DAY, *(some_time() for _ in range(40))]
        times += [entry.time for entry in chance.sample(entries, 20)]
        times += [entry.time + TICK for entry in chance.sample(entries, 20)]
        for at in times:
            assert await balances(shop, at) == sums(each for each in entries if each.time < at), at
    await sealed(shop)
    for at in times:
        assert await balances(shop, at) == sums(each for each in entries if each.time < at), at


async def test_without_a_time_they_are_the_trial_balance(ledger, till, shop):
    payment = await till.capture(await till.authorize())
    await till.refund(payment, minor_units=3)
    reply = await shop.ledger.GetTrialBalance(GetTrialBalanceRequest(store_id=shop.store_id))
    assert await balances(shop) == said(reply.accounts) != []


async def test_a_payment_counts_from_when_it_was_posted(till, shop):
    payment = await till.authorize()
    operation = (await till.get(payment)).operations[0]
    posted = operation.settle_time.ToDatetime(tzinfo=UTC)

    assert await balances(shop, posted) == []
    assert await balances(shop, posted + TICK) == await balances(shop) != []


@pytest.mark.parametrize(
    ("at", "all_of_it"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), False),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), True),
    ],
)
async def test_the_ends_of_the_calendar_are_times_too(ledger, shop, at, all_of_it):
    entries = transaction(shop.store_id)
    await post(ledger, entries)
    for _ in range(2):
        assert await balances(shop, at) == (sums(entries) if all_of_it else [])
        await sealed(shop)


async def test_a_time_beyond_the_calendar_is_refused_by_name(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await balances(shop, Timestamp(seconds=10**14))
    assert list(refusal.violations) == ["at"]


async def test_a_store_sees_its_own_only(till, shop):
    await till.authorize()
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        request = GetAccountBalancesRequest(store_id=shop.store_id)
        await shop.another().ledger.GetAccountBalances(request)
    for role in ("customer", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await balances(shop.as_(role, new_id() if role == "customer" else None))


async def test_a_browser_reads_them_at_a_time(ledger, shop):
    await post(ledger, transaction(shop.store_id, 15, FIRST))

    for at, expected in ((FIRST, []), (FIRST + DAY, ["fees", "provider_clearing"])):
        path = f"/v1/stores/{shop.store_id}/ledger:balances?at={at.isoformat().replace('+00:00', 'Z')}"
        reply = await shop.rest("GET", path)
        assert (reply.status, [one["account"] for one in reply.body["accounts"]]) == (200, expected)
