"""Calls to other services: typed stubs over one channel, with our identity, the caller's, the trace and the deadline.

stock = StockServiceStub(channel("127.0.0.1:7003", token))
"""

import json
import time
from collections.abc import Callable
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from services.runtime import failpoints, semantics, telemetry
from services.runtime.pipeline import CALLER, DEADLINE

# Every write carries a request_id or is keyed by its subject, so that repeating a call is safe.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                # A server that stops answers CANCELLED to what comes in at that moment.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]
DEFAULT_SECONDS = 10.0
BEHALF = "x-commerce-on-behalf-of"


def channel(address: str, token: str) -> grpc.aio.Channel:
    """Return a channel for generated stubs, kept for the life of the process. `address` may be a comma list."""
    target = address if "://" in address or address.startswith("dns:") else f"ipv4:{address}"
    return cast(
        grpc.aio.Channel, _Channel(grpc.aio.insecure_channel(target, options=_OPTIONS), address, token)
    )


class _Channel:
    """Stands where generated stubs expect a channel; each RPC becomes one `_Outgoing`."""

    def __init__(self, raw: grpc.aio.Channel, address: str, token: str) -> None:
        self._raw = raw
        self._server = semantics.server(address)
        self._token = token

    def unary_unary(self, path: str, **codec: Any) -> "_Outgoing":
        """Return what a stub calls for an RPC with one reply."""
        return _Outgoing(path, self._raw.unary_unary(path, **codec), self._server, self._token)

    def unary_stream(self, path: str, **codec: Any) -> Any:
        """Return what a stub calls for an RPC with many replies."""
        return self._raw.unary_stream(path, **codec)

    async def close(self) -> None:
        """Close the connection."""
        await self._raw.close()


class _Outgoing:
    def __init__(self, path: str, call: Callable[..., Any], server: semantics.Attributes, token: str) -> None:
        self._name = path.removeprefix("/")
        self._attributes = {**semantics.rpc(self._name), **server}
        self._call = call
        self._authorization = f"Bearer {token}"

    async def __call__(self, request: Message, timeout: float | None = None) -> Message:
        """Call the RPC. Raises grpc.aio.AioRpcError; refusals.reason_of names the reason."""
        with telemetry.span(self._name, kind="client", attributes=self._attributes) as span:
            metadata = [("authorization", self._authorization), ("traceparent", span.trace.traceparent)]
            caller = CALLER.get()
            if caller is not None:
                metadata.append((BEHALF, caller.actor))
            try:
                if failpoints.ARMED:
                    await failpoints.reach(f"before call {self._name.rpartition('/')[2]}")
                reply: Message = await self._call(request, timeout=_remaining(timeout), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                telemetry.end_rpc(span, error.code().name)
                raise
            telemetry.end_rpc(span, "OK")
            if failpoints.ARMED:
                await failpoints.reach(f"after call {self._name.rpartition('/')[2]}")
            return reply


def _remaining(timeout: float | None) -> float:
    seconds = DEFAULT_SECONDS if timeout is None else timeout
    deadline = DEADLINE.get()
    if deadline is None:
        return seconds
    return max(0.001, min(seconds, deadline - time.monotonic()))
