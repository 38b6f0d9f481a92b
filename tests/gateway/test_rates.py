"""Who has no token is paced by address, at the edge; whoever is told to come back is told when, in HTTP's words too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_service_pb2, order_service_pb2_grpc

from services.gateway.rates import BURST_SECONDS
from tests.gateway.conftest import Gateway, own_gateway
from tests.gateway.refusals import detail, grpc_reason, reason, refusal

ORDER_PATH = "/v1/orders/018f0000-0000-7000-8000-000000000009"
WEBHOOK = "/v1/webhooks/sandbox"
PER_SECOND = 4
BURST = BURST_SECONDS * PER_SECOND


@pytest.fixture
async def paced(gateway: Gateway, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with own_gateway(gateway, tmp_path, tokenless_calls_a_second=PER_SECOND) as own:
        yield own


async def flood(
    session: aiohttp.ClientSession, count: int, path: str = WEBHOOK
) -> list[aiohttp.ClientResponse]:
    """The replies to so many at once, each with its body."""

    async def one() -> aiohttp.ClientResponse:
        async with session.post(path, data=b"{}") as reply:
            await reply.read()
            return reply

    return await asyncio.gather(*(one() for _ in range(count)))


async def knock(session: aiohttp.ClientSession, count: int, path: str = WEBHOOK) -> Counter[int]:
    return Counter(reply.status for reply in await flood(session, count, path))


async def test_an_address_that_floods_without_a_token_is_refused_and_tokens_are_not(paced: Gateway) -> None:
    headers = {"authorization": f"Bearer {paced.keys.token()}"}
    async with (
        aiohttp.ClientSession(paced.url) as session,
        aiohttp.ClientSession(paced.url, headers=headers) as shop,
    ):
        found = await knock(session, 10 * BURST)
        assert BURST <= found.total() - found[429] < 3 * BURST
        for _ in range(2 * BURST):
            async with shop.get(ORDER_PATH) as reply:
                assert reply.status == 200
        reply = next(each for each in await flood(session, 5 * BURST) if each.status == 429)
        said = await refusal(reply)
        assert (reason(said), reply.headers["retry-after"]) == ("OVERLOADED", "1")
        assert detail(said, "RetryInfo")["retryDelay"] == "1s"


async def test_a_path_that_wants_a_token_counts_too(paced: Gateway) -> None:
    async with aiohttp.ClientSession(paced.url) as session:
        found = await knock(session, 5 * BURST, f"{ORDER_PATH}:cancel")
    assert found.keys() == {401, 429}


async def test_another_address_is_not_refused(paced: Gateway) -> None:
    other = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with (
        aiohttp.ClientSession(paced.url) as session,
        aiohttp.ClientSession(paced.url, connector=other) as neighbour,
    ):
        assert (await knock(session, 5 * BURST))[429]
        assert 429 not in await knock(neighbour, BURST // 2)


async def test_grpc_is_refused_in_its_own_words(paced: Gateway) -> None:
    request = order_service_pb2.GetOrderRequest(order_id=ORDER_PATH.rpartition("/")[2])
    async with (
        aiohttp.ClientSession(paced.url) as session,
        grpc.aio.insecure_channel(paced.address) as channel,
    ):
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        # While a busy machine gets to the call, the bucket may have a drop again.
        for _ in range(20):
            await knock(session, 5 * BURST)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.GetOrder(request)
            if error.value.code() is not grpc.StatusCode.UNAUTHENTICATED:
                break
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert grpc_reason(error.value) == "OVERLOADED"
