"""Questions that a process answers when it is ready, or at least lives. Each probe answers soon: True, or not yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import grpc.aio
from grpc_health.v1 import health_pb2

Probe = Callable[[], Awaitable[bool]]
PROBE_SECONDS = 2.0
# A process that works is late at times, with all cores busy and the disk behind.
ALIVE_SECONDS = 5.0
SILENCE = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
# What PostgreSQL's protocol may begin with: whether the server speaks TLS (SSLRequest). It answers with one byte.
TLS_QUESTION = bytes.fromhex("0000000804d2162f")
CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]


def tcp(address: str) -> Probe:
    """An open port."""

    async def probe() -> bool:
        return await _exchange(address, b"", 0) is not None

    return probe


def http(address: str, path: str) -> Probe:
    """GET path answers 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()

    async def probe() -> bool:
        answer = await _exchange(address, request, 12)
        return answer is not None and answer[9:12] == b"200"

    return probe


def http_alive(address: str) -> Probe:
    """Anything that HTTP answers with: also that it is not ready."""
    request = f"GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()

    async def probe() -> bool:
        return await _exchange(address, request, 1, ALIVE_SECONDS) is not None

    return probe


def nats(address: str, seconds: float = PROBE_SECONDS) -> Probe:
    """The server greets with INFO, which it does once JetStream has recovered."""

    async def probe() -> bool:
        return await _exchange(address, b"", 5, seconds) == b"INFO "

    return probe


def postgres_alive(path: str) -> Probe:
    """The server at a Unix socket says anything: also while it recovers, or has no room for a connection.

    Nobody logs in, which costs the server and us five times as much.
    """

    async def probe() -> bool:
        return await _exchange(path, TLS_QUESTION, 1, ALIVE_SECONDS) is not None

    return probe


def grpc_health(address: str) -> Probe:
    """grpc.health.v1 says SERVING for the whole server."""

    async def probe() -> bool:
        if await _exchange(address, b"", 0) is None:
            return False
        # A connection of its own: a kept one would be in back-off when the process is up again.
        async with _channel(address) as channel:
            return await _health(channel, PROBE_SECONDS) == health_pb2.HealthCheckResponse.SERVING

    return probe


def grpc_alive(address: str) -> Probe:
    """grpc.health.v1 says anything at all: also that it does not serve, as long as what it needs is away.

    The connection is kept as long as there are answers: a new one costs both sides several times what a question does.
    """
    kept: grpc.aio.Channel | None = None

    async def probe() -> bool:
        nonlocal kept
        kept = kept or _channel(address)
        said = await _health(kept, ALIVE_SECONDS)
        if said is None:
            silent, kept = kept, None
            await silent.close()
        return said is not None

    return probe


def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


async def _health(channel: grpc.aio.Channel, seconds: float) -> int | None:
    """What the server says of its health; None when it says nothing, 0 when it does not know."""
    try:
        reply = await channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(), timeout=seconds)
    except grpc.aio.AioRpcError as error:
        return None if error.code() in SILENCE else 0
    return int(reply.status)


async def _exchange(address: str, request: bytes, size: int, seconds: float = PROBE_SECONDS) -> bytes | None:
    """Connects to host:port or to a Unix socket's path, sends, reads `size` bytes; None when any of it fails."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await _connection(address)
            try:
                writer.write(request)
                return await reader.readexactly(size)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None


async def _connection(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("/"):
        return await asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))
