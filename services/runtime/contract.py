"""What the contract says of each RPC, read from the descriptors once, when the server starts."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

from commerce.options.v1 import options_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

ROLES = {value.number: value.name.removeprefix("ROLE_") for value in options_pb2.Role.DESCRIPTOR.values}


@dataclass(frozen=True)
class Method:
    """One RPC: its names, its messages, and the rules that the runtime keeps for it."""

    name: str  # CancelOrder
    full_name: str  # commerce.order.v1.OrderService/CancelOrder
    request: type[Message]
    response: type[Message]
    streams: bool  # one request, many replies
    file: bool  # the replies are the pieces of one
    gathers: bool  # many requests, each of them a transaction; then one reply
    mutates: bool
    public: bool
    allow: frozenset[str]  # roles without their prefix
    deadline_seconds: int | None
    keyed: bool  # the one request carries a request_id; many have keys of their own, which the handler minds
    store_scoped: bool  # the request names its store
    cost: int  # of options.proto


def methods(service: str) -> list[Method]:
    """Return the RPCs of a service, given its full name, in the order of the contract."""
    descriptor = descriptor_pool.Default().FindServiceByName(service)
    return [_method(service, method) for method in descriptor.methods]


def _method(service: str, method) -> Method:  # type: ignore[no-untyped-def]
    options = method.GetOptions()
    access = options.Extensions[options_pb2.access]
    return Method(
        name=method.name,
        full_name=f"{service}/{method.name}",
        request=message_factory.GetMessageClass(method.input_type),
        response=message_factory.GetMessageClass(method.output_type),
        streams=method.server_streaming,
        file=method.output_type.full_name == "google.api.HttpBody",
        gathers=method.client_streaming,
        mutates=options.idempotency_level != descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS,
        public=access.public,
        allow=frozenset(ROLES[role] for role in access.allow),
        deadline_seconds=options.Extensions[options_pb2.deadline_seconds] or None,
        keyed="request_id" in method.input_type.fields_by_name and not method.client_streaming,
        store_scoped="store_id" in method.input_type.fields_by_name,
        cost=options.Extensions[options_pb2.cost] or _cost(method),
    )


def _cost(method) -> int:  # type: ignore[no-untyped-def]
    if method.client_streaming:
        return options_pb2.COST_IMPORT
    if method.server_streaming:
        return options_pb2.COST_STREAM
    reads = method.GetOptions().idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    return options_pb2.COST_READ if reads else options_pb2.COST_WRITE


@cache
def files() -> descriptor_pb2.FileDescriptorSet:
    """Return every file of the contract, as the gateway gets it."""
    data = resources.files("commerce").joinpath("descriptors.binpb").read_bytes()
    return descriptor_pb2.FileDescriptorSet.FromString(data)
