"""Whoever abuses HTTP/2 at the gateway's port is cut off, costs it little, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_service_pb2, order_service_pb2_grpc

from tests import hostile
from tests.bench.replay import head
from tests.gateway.conftest import Gateway, own_gateway
from tests.shop import WAIT_SECONDS

MOST_BYTES = 128 << 20
METHOD = "commerce.order.v1.OrderService/GetOrder"
NAMES = (
    "rapid resets",
    "resets of strangers",
    "streams",
    "pings",
    "settings",
    "endless headers",
    "header bombs",
)


def floods(address: str, token: str) -> dict[str, Iterable[bytes]]:
    headers = head(address, METHOD, token)
    return {
        "rapid resets": hostile.rapid_resets(headers, 30_000),
        "resets of strangers": hostile.rapid_resets(head(address, METHOD, ""), 30_000),
        "streams": hostile.many_streams(headers, 30_000),
        "pings": hostile.pings(200_000),
        "settings": hostile.settings(200_000),
        "endless headers": hostile.endless_headers(headers, 20_000),
        "header bombs": hostile.header_bombs(headers, 2_000),
    }


@pytest.mark.parametrize("kind", NAMES)
async def test_a_flood_is_cut_off_and_nobody_else_notices(
    gateway: Gateway, tmp_path: Path, kind: str
) -> None:
    async with own_gateway(gateway, tmp_path) as own:
        frames = floods(own.address, own.keys.token())[kind]
        process = psutil.Process(envoy(own))
        before, most = process.memory_info().rss, 0

        def look(_: int = 0) -> None:
            nonlocal most
            most = max(most, process.memory_info().rss)

        flood = asyncio.create_task(hostile.flood(own.address, frames, look))
        async with grpc.aio.insecure_channel(own.address) as channel:
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            metadata = (("authorization", f"Bearer {own.keys.token()}"),)
            for _ in range(20):
                await stub.GetOrder(
                    order_service_pb2.GetOrderRequest(), metadata=metadata, timeout=WAIT_SECONDS
                )
                look()
            while not flood.done():
                await stub.GetOrder(
                    order_service_pb2.GetOrderRequest(), metadata=metadata, timeout=WAIT_SECONDS
                )
                look()
        assert await flood
        assert most - before < MOST_BYTES


def envoy(gateway: Gateway) -> int:
    """The process that listens there."""
    port = f'"port_value": {gateway.address.rpartition(":")[2]}}}'
    return next(one.pid for one in psutil.Process().children() if port in _configuration(one))


def _configuration(process: psutil.Process) -> str:
    """What an Envoy was told, or nothing of another process."""
    words = process.cmdline()
    return Path(words[words.index("-c") + 1]).read_text() if "-c" in words and "envoy" in words[0] else ""
