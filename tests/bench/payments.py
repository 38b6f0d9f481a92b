"""Row of payments: AuthorizePayment through the sandbox, beside what it cannot do without."""

import asyncio
import time
import uuid

import aiohttp

from tests.bench import costs, pgbench
from tests.bench.figures import Figure, spread
from tests.bench.house import House
from tests.bench.replay import keep_calling
from tests.bench.rounds import compared
from tests.bench.till import AUTHORIZE, PRICE, Till, till

AT_ONCE = 32  # Fewer than the questions that a provider is asked at once.


async def authorize(house: House) -> list[Figure]:
    """AuthorizePayment, beside its statements in pgbench and a bare round trip to the sandbox, one after the other."""
    stand = await till(house)
    headers, admin = stand.head(AUTHORIZE), stand.cluster.admin_dsn
    sql, trips, spent, calls = [], [], dict[str, float](), 0.0

    async def ours() -> float:
        nonlocal calls
        before = costs.seconds_by_process(stand.cluster)
        rate = await keep_calling(stand.connection, headers, stand.order, AT_ONCE, house.seconds)
        for name, seconds in costs.seconds_by_process(stand.cluster).items():
            spent[name] = spent.get(name, 0.0) + seconds - before.get(name, 0.0)
        calls += rate * house.seconds
        return rate

    async def theirs() -> float:
        sql.append(await pgbench.per_second(admin, stand.scripts["authorize"], AT_ONCE, house.seconds))
        trips.append(await _charges(stand, house.seconds))
        return 1 / (1 / sql[-1] + 1 / trips[-1])

    found = await compared(ours, theirs)
    cost = costs.each_ms({}, spent, round(calls))
    detail = (
        f"{spread(found.ours)} beside {spread(found.theirs)} /s, {AT_ONCE} at once: "
        f"{spread(sql)} /s in pgbench, then {spread(trips)} /s charges by aiohttp"
    )
    return [
        Figure(
            "authorize",
            "AuthorizePayment / its SQL in pgbench, then a bare charge",
            found.ratio,
            detail=detail,
        ),
        Figure("authorize", "CPU of one authorization", sum(cost.values()), "ms", detail=costs.parts(cost)),
    ]


async def _charges(stand: Till, seconds: float) -> float:
    """How many charges a second the sandbox makes for an HTTP client that does nothing else."""
    url = f"http://{stand.cluster.address('sandbox')}/v1/charges"
    authorization = f"Bearer {stand.cluster.home.secret('sandbox_api_key')}"
    answered, end = 0, time.monotonic() + seconds

    async def keep_asking() -> None:
        nonlocal answered
        while time.monotonic() < end:
            key = str(uuid.uuid4())
            body = {
                "amount_minor_units": PRICE,
                "currency_code": "EUR",
                "payment_method": "pm_sandbox_ok",
                "reference": key,
            }
            headers = {"Authorization": authorization, "Idempotency-Key": key}
            async with session.post(url, json=body, headers=headers) as reply:
                reply.raise_for_status()
                await reply.read()
            answered += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(keep_asking() for _ in range(AT_ONCE)))
    return answered / seconds
