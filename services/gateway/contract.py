"""What the gateway needs to know of each RPC, read from the descriptor set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from commerce.options.v1 import options_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from services.gateway.values import PARAMETER

DEADLINE_SECONDS = 10
# What a parameter of a path is, as a regular expression.
SEGMENT = "[^/?]+"
# Messages whose JSON is not made of their fields.
FOREIGN = ("google.protobuf.", "google.api.")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One REST call of an RPC, e.g. "POST", "/v1/orders/{order_id}:cancel", "*".

    `body` is the field of the request that the body is: "*" for all of it, empty when there is no body.
    """

    verb: str
    template: str
    body: str

    @property
    def regex(self) -> str:
        """The template as a regular expression (RE2), without a query."""
        return SEGMENT.join(re.escape(part) for part in PARAMETER.sub("\0", self.template).split("\0"))


@dataclass(frozen=True, kw_only=True)
class Events:
    """How a stream's replies become server-sent events: fields of the reply, and that of the request to go on after."""

    id: str
    after: str
    bookmark: str


@dataclass(frozen=True, kw_only=True)
class Rpc:
    """One RPC; without bindings it has no REST."""

    service: str
    name: str
    # Either side may send many messages.
    streams: bool
    # The client sends many.
    gathers: bool
    public: bool
    # Sending it twice does no more than sending it once.
    repeatable: bool
    deadline_seconds: int
    bindings: tuple[Binding, ...]
    events: Events | None
    request: Descriptor = field(compare=False)

    @property
    def path(self) -> str:
        """The path of the gRPC call."""
        return f"/{self.service}/{self.name}"


class UnknownService(LookupError):
    """A definition names a proto service that the descriptor set does not have."""


def rpcs(descriptors: Path, services: Iterable[str]) -> tuple[Rpc, ...]:
    """The RPCs of the named proto services. Raises UnknownService."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        pool.Add(file)
    found: list[Rpc] = []
    for name in services:
        try:
            service = pool.FindServiceByName(name)
        except KeyError:
            raise UnknownService(f"{descriptors} has no service {name}: generate it again") from None
        found.extend(_rpc(name, method) for method in service.methods)
    return tuple(found)


def _rpc(service: str, method: MethodDescriptor) -> Rpc:
    options = method.GetOptions()
    return Rpc(
        service=service,
        name=method.name,
        streams=method.server_streaming or method.client_streaming,
        gathers=method.client_streaming,
        public=options.Extensions[options_pb2.access].public,
        repeatable=options.idempotency_level != descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN,
        deadline_seconds=options.Extensions[options_pb2.deadline_seconds] or DEADLINE_SECONDS,
        bindings=tuple(_bindings(options.Extensions[annotations_pb2.http])),
        events=_events(options.Extensions[options_pb2.events]),
        request=method.input_type,
    )


def _events(option: options_pb2.Events) -> Events | None:
    return Events(id=option.id, after=option.after, bookmark=option.bookmark) if option.id else None


def _bindings(rule: http_pb2.HttpRule) -> Iterator[Binding]:
    pattern = rule.WhichOneof("pattern")
    if pattern == "custom":
        yield Binding(verb=rule.custom.kind, template=rule.custom.path, body=rule.body)
    elif pattern:
        yield Binding(verb=pattern.upper(), template=getattr(rule, pattern), body=rule.body)
    for additional in rule.additional_bindings:
        yield from _bindings(additional)
