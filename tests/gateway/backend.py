"""A stand-in for the services: it offers every RPC of the contract, remembers what arrives, answers what it is told."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
import commerce
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

for _module in pkgutil.walk_packages(commerce.__path__, "commerce."):
    if _module.name.endswith("_pb2"):
        importlib.import_module(_module.name)

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, Context], Awaitable[Message]]
Stream = Callable[[Any, Context], AsyncIterator[Message]]
Gather = Callable[[AsyncIterator[Any], Context], Awaitable[Message]]


@dataclass(frozen=True)
class Arrival:
    """One call as the service got it; metadata keys are lower case."""

    rpc: str
    request: Any
    metadata: dict[str, str]
    replica: str


@dataclass
class Script:
    """What all replicas answer, by the RPC's name, and what arrived at any of them."""

    answers: dict[str, Answer] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    gathers: dict[str, Gather] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)

    def clear(self) -> None:
        self.answers.clear()
        self.streams.clear()
        self.gathers.clear()
        self.arrivals.clear()


class Backend:
    """One replica. An RPC without an answer in the script answers an empty response."""

    def __init__(self, name: str, script: Script) -> None:
        self.name = name
        self.script = script
        self.address = ""
        self._server: grpc.aio.Server | None = None

    async def start(self, address: str = "127.0.0.1:0") -> None:
        sizes = [("grpc.max_metadata_size", 32 << 10), ("grpc.absolute_max_metadata_size", 32 << 10)]
        server = grpc.aio.server(options=sizes)
        server.add_generic_rpc_handlers((_Handlers(self),))
        servicer = health.aio.HealthServicer()
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port(address)
        await server.start()
        self._server = server
        self.address = f"127.0.0.1:{port}"

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        service, _, name = details.method.strip("/").partition("/")
        if not service.startswith("commerce."):
            return None
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name.get(name)
        if method is None:
            return None
        request, response = (
            message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type)
        )
        codec: dict[str, Any] = {
            "request_deserializer": request.FromString,
            "response_serializer": response.SerializeToString,
        }
        if method.client_streaming:
            return grpc.stream_unary_rpc_method_handler(self._backend.script.gathers[name], **codec)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(name), **codec)
        return grpc.unary_unary_rpc_method_handler(self._unary(name, response), **codec)

    def _unary(self, name: str, response: type[Message]) -> Answer:
        async def unary(request: Message, context: Context) -> Message:
            self._arrived(name, request, context)
            answer = self._backend.script.answers.get(name)
            return await answer(request, context) if answer else response()

        return unary

    def _stream(self, name: str) -> Stream:
        async def stream(request: Message, context: Context) -> AsyncIterator[Message]:
            self._arrived(name, request, context)
            async for message in self._backend.script.streams[name](request, context):
                yield message

        return stream

    def _arrived(self, name: str, request: Message, context: Context) -> None:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self._backend.script.arrivals.append(Arrival(name, request, metadata, self._backend.name))
