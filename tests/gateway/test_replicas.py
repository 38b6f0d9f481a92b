"""Several replicas behind one address."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from unittest import mock

import aiohttp
import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_service_pb2

from services.gateway import clusters
from tests.gateway.backend import Context
from tests.gateway.conftest import Gateway, own_gateway, until
from tests.gateway.refusals import detail, reason, refusal

ORDER_PATH = "/v1/orders/018f0000-0000-7000-8000-000000000009"
CANCEL = f"{ORDER_PATH}:cancel"


async def statuses(http: aiohttp.ClientSession, count: int, path: str = ORDER_PATH) -> Counter[int]:
    found: Counter[int] = Counter()
    for _ in range(count):
        async with http.get(path) as reply:
            found[reply.status] += 1
    return found


async def test_shares_calls_among_replicas(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    assert await statuses(http, 20) == {200: 20}
    assert Counter(arrival.replica for arrival in gateway.script.arrivals) == {
        "replica-0": 10,
        "replica-1": 10,
    }


async def test_loses_no_call_when_a_replica_dies_and_uses_it_again_when_it_is_back(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    first, second = gateway.replicas
    await first.stop()
    assert await statuses(http, 20) == {200: 20}
    assert {arrival.replica for arrival in gateway.script.arrivals} == {second.name}

    await first.start(first.address)

    async def is_used() -> bool:
        gateway.script.clear()
        await statuses(http, 4)
        return first.name in {arrival.replica for arrival in gateway.script.arrivals}

    await until(is_used, "the replica was never used again")


async def test_answers_503_with_a_time_to_come_back_when_no_replica_is_left(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    for replica in gateway.replicas:
        await replica.stop()
    try:
        async with http.get(ORDER_PATH) as reply:
            assert reply.status == 503
            status = await refusal(reply)
        assert (status["code"], reason(status)) == (14, "UNAVAILABLE")
        assert detail(status, "RetryInfo")["retryDelay"] == "1s"
    finally:
        for replica in gateway.replicas:
            await replica.start(replica.address)

    async def is_well() -> bool:
        return (await statuses(http, 4)) == {200: 4}

    await until(is_well, "the replicas were never used again")


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_repeats_what_a_stopping_replica_refused(
    gateway: Gateway, http: aiohttp.ClientSession, code: grpc.StatusCode
) -> None:
    async def stopping(request: object, context: Context) -> order_service_pb2.CancelOrderResponse:
        if len(gateway.script.arrivals) == 1:
            await context.abort(code, "stopping")
        return order_service_pb2.CancelOrderResponse()

    gateway.script.answers["CancelOrder"] = stopping
    async with http.post(CANCEL, json={"reason": "x"}) as reply:
        assert reply.status == 200
    assert {arrival.replica for arrival in gateway.script.arrivals} == {"replica-0", "replica-1"}
    assert [arrival.request.reason for arrival in gateway.script.arrivals] == ["x", "x"]


async def test_does_not_repeat_a_refusal(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async def refuse(request: object, context: Context) -> order_service_pb2.CancelOrderResponse:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
        raise AssertionError

    gateway.script.answers["CancelOrder"] = refuse
    async with http.post(CANCEL, json={"reason": "x"}) as reply:
        assert reply.status == 429
    assert len(gateway.script.arrivals) == 1


async def test_carries_many_streams_and_calls_at_once(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async def one() -> int:
        async with http.get(ORDER_PATH) as reply:
            return reply.status

    assert set(await asyncio.gather(*(one() for _ in range(200)))) == {200}


async def test_refuses_more_calls_than_a_service_is_given(gateway: Gateway, tmp_path: Path) -> None:
    enough = asyncio.Event()

    async def held(request: object, context: Context) -> order_service_pb2.GetOrderResponse:
        await enough.wait()
        return order_service_pb2.GetOrderResponse()

    gateway.script.answers["GetOrder"] = held
    headers = {"authorization": f"Bearer {gateway.keys.token()}"}
    with mock.patch.object(clusters, "MAX_REQUESTS", 2):
        async with (
            own_gateway(gateway, tmp_path) as own,
            aiohttp.ClientSession(own.url, headers=headers) as session,
        ):

            async def one() -> tuple[int, str]:
                async with session.get(ORDER_PATH) as reply:
                    return reply.status, "" if reply.status == 200 else reason(await refusal(reply))

            calls = [asyncio.create_task(one()) for _ in range(10)]

            async def only_two_wait() -> bool:
                return sum(call.done() for call in calls) == 8

            await until(only_two_wait, "more or fewer than eight were refused")
            enough.set()
            answers = Counter(await asyncio.gather(*calls))
    assert answers == {(200, ""): 2, (429, "OVERLOADED"): 8}
