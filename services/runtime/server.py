"""The gRPC server: RPCs composed from the contract, health, reflection in development, and a graceful end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.runtime.contract import methods
from services.runtime.pipeline import Environment, compose
from services.runtime.refusals import DETAILS, Refusal, details
from services.runtime.settings import Settings

_PENDING = 20_000
_SERVING = health_pb2.HealthCheckResponse.SERVING


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.message_bytes),
        ("grpc.max_send_message_length", 16 * settings.message_bytes),
        # Twice what the gateway takes, which says better what is too large.
        ("grpc.max_metadata_size", 32 << 10),
        ("grpc.absolute_max_metadata_size", 32 << 10),
        # A stream counts until we have let go of it: one that is reset at once still does. The gateway opens more
        # connections when one is full.
        ("grpc.max_concurrent_streams", settings.streams_per_connection),
        # What comes in one burst over many connections is admitted, or refused, by us: gRPC would cancel anybody's.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _PENDING),
        # Whoever pings more often three times is cut off; other services do every 30 s.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", 0),
    ]


class Server:
    """Serves some contract services until it is drained."""

    def __init__(
        self, settings: Settings, services: Sequence[str], handlers: Sequence[Any], at: Environment
    ) -> None:
        self._settings, self._services, self._at = settings, services, at
        self._server = grpc.aio.server(options=_options(settings))
        for service in services:
            self._server.add_generic_rpc_handlers((_composed(service, handlers, at),))
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.environment == "development":
            names = (
                *services,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            )
            reflection.enable_server_reflection(names, self._server)
        self._server.add_generic_rpc_handlers((_Unknown(),))

    async def start(self) -> None:
        """Listen; health says SERVING from now on."""
        if not self._server.add_insecure_port(self._settings.listen):
            raise OSError(f"cannot listen on {self._settings.listen}")
        await self._server.start()
        for name in ("", *self._services):
            await self._health.set(name, _SERVING)

    async def drain(self) -> None:
        """Take nothing new, let calls finish and tell streams to go elsewhere, then stop."""
        await self._health.enter_graceful_shutdown()
        self._at.streams.closed = True
        await self._server.stop(self._settings.drain_seconds)


class _Unknown(grpc.GenericRpcHandler):
    """Comes last and refuses what no service here offers."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        return grpc.unary_unary_rpc_method_handler(_unknown)


async def _unknown(_: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
    refusal = Refusal(ErrorReason.ERROR_REASON_UNIMPLEMENTED, "There is no such method here")
    await context.abort(refusal.code, refusal.message, ((DETAILS, details(refusal)),))


def _composed(service: str, handlers: Sequence[Any], at: Environment) -> grpc.GenericRpcHandler:
    """Find each RPC's handler by its name. One that is missing stops the start, not a call."""
    composed = {}
    for method in methods(service):
        owner = next((each for each in handlers if _serves(each, service)), None)
        handler = getattr(owner, method.name, None)
        if handler is None:
            raise LookupError(f"{method.full_name} has no handler")
        composed[method.name] = compose(method, handler, at)
    return grpc.method_handlers_generic_handler(service, composed)


def _serves(handler: Any, service: str) -> bool:
    name = service.rpartition(".")[2]
    return any(base.__name__ == f"{name}Servicer" for base in type(handler).__mro__)


async def run_until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the stop; a task that ends before is a fault and is raised."""
    waiting = asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done:
        if task is not waiting:
            await task
            raise RuntimeError("a worker ended")
