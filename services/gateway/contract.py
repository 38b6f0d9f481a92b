"""What the gateway needs to know of each RPC, read from the descriptor set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from commerce.options.v1 import options_pb2

DEADLINE_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Rpc:
    """One RPC. `templates` are its REST paths, e.g. "/v1/orders/{order_id}:cancel"; none when it has no REST."""

    service: str
    name: str
    streams: bool
    public: bool
    # Sending it twice does no more than sending it once.
    repeatable: bool
    deadline_seconds: int
    templates: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path of the gRPC call."""
        return f"/{self.service}/{self.name}"


class UnknownService(LookupError):
    """A definition names a proto service that the descriptor set does not have."""


def rpcs(descriptors: Path, services: Iterable[str]) -> tuple[Rpc, ...]:
    """The RPCs of the named proto services. Raises UnknownService."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file
    known = {f"{file.package}.{service.name}": service for file in files for service in file.service}
    found: list[Rpc] = []
    for name in services:
        if name not in known:
            raise UnknownService(f"{descriptors} has no service {name}: generate it again")
        found.extend(_rpc(name, method) for method in known[name].method)
    return tuple(found)


def _rpc(service: str, method: descriptor_pb2.MethodDescriptorProto) -> Rpc:
    options = method.options
    return Rpc(
        service=service,
        name=method.name,
        streams=method.server_streaming or method.client_streaming,
        public=options.Extensions[options_pb2.access].public,
        repeatable=options.idempotency_level != descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN,
        deadline_seconds=options.Extensions[options_pb2.deadline_seconds] or DEADLINE_SECONDS,
        templates=tuple(_templates(options.Extensions[annotations_pb2.http])),
    )


def _templates(rule: http_pb2.HttpRule) -> Iterator[str]:
    pattern = rule.WhichOneof("pattern")
    if pattern == "custom":
        yield rule.custom.path
    elif pattern:
        yield getattr(rule, pattern)
    for additional in rule.additional_bindings:
        yield from _templates(additional)
