"""Every RPC of the contract, read from its descriptors, and a valid request for each."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from commerce.options.v1 import options_pb2
from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from services.runtime.definition import definitions
from tests.shop import modules, new_id

# Values that the contract's rules do not tell.
VALUES = {"currency_code": "EUR", "payment_method": "pm_sandbox_ok", "gateway": "sandbox"}
# How every request_id begins that is made up here, so that what came of it is found.
MADE_UP = "ed9e0000"


@dataclass(frozen=True)
class Rpc:
    """One RPC: the service that has it, who may call it, and its REST call, if there is one."""

    code: str
    method: MethodDescriptor
    public: bool
    allow: frozenset[str]
    verb: str
    template: str
    body: str

    @property
    def name(self) -> str:
        return str(self.method.name)

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.name}"

    @property
    def mutates(self) -> bool:
        level = self.method.GetOptions().idempotency_level
        return bool(level != descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS)

    @property
    def names_a_store(self) -> bool:
        return "store_id" in self.method.input_type.fields_by_name

    @property
    def things(self) -> list[str]:
        """What its path names, beside a store."""
        return [name for name in re.findall(r"\{(\w+_id)\}", self.template) if name != "store_id"]

    @property
    def asks_for_nothing(self) -> bool:
        """Whether an empty request is one that it can answer."""
        return not protovalidate.collect_violations(self._kind())

    def least(self, store_id: str) -> bytes:
        """The least that somebody of a store can ask: nothing, but of which store where that is all it takes."""
        kind = self._kind()
        if self.asks_for_nothing and self.names_a_store:
            kind.store_id = store_id
        return bytes(kind.SerializeToString())

    def request(self, **given: Any) -> Any:
        """A valid request; what is not given is made up. Unknown names in `given` are left out."""
        return filled(self._kind(), given)

    def _kind(self) -> Any:
        return message_factory.GetMessageClass(self.method.input_type)()

    def rest(self, request: Message) -> tuple[str, str, Any]:
        """The same request as REST: verb, path with query, JSON body (None without one)."""
        values = json_format.MessageToDict(request, preserving_proto_field_name=True)
        path = re.sub(r"\{(\w+)\}", lambda name: str(values.pop(name[1])), self.template)
        if self.body:
            return self.verb, path, values if self.body == "*" else values.get(self.body)
        pairs = [
            f"{name}={each}"
            for name, value in values.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        return self.verb, path + ("?" + "&".join(pairs) if pairs else ""), None


@cache
def rpcs() -> tuple[Rpc, ...]:
    """All RPCs of the services that have a definition."""
    for module in modules().values():
        importlib.import_module(module)
    pool = descriptor_pool.Default()
    return tuple(
        _rpc(definition.code, method)
        for definition in definitions()
        for service in definition.proto_services
        for method in pool.FindServiceByName(service).methods
    )


def closed() -> list[Rpc]:
    """The RPCs that want a token."""
    return [rpc for rpc in rpcs() if not rpc.public]


def roles() -> list[str]:
    """What the contract calls those who may come, without prefix."""
    names = [str(value.name).removeprefix("ROLE_") for value in options_pb2.Role.DESCRIPTOR.values]
    return [name for name in names if name != "UNSPECIFIED"]


def request_id() -> str:
    return MADE_UP + new_id()[len(MADE_UP) :]


def _rpc(code: str, method: MethodDescriptor) -> Rpc:
    options = method.GetOptions()
    assert isinstance(options, descriptor_pb2.MethodOptions)
    access = options.Extensions[options_pb2.access]
    rule = options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern") or ""
    return Rpc(
        code=code,
        method=method,
        public=access.public,
        allow=frozenset(options_pb2.Role.Name(role).removeprefix("ROLE_") for role in access.allow),
        verb=verb.upper(),
        template=getattr(rule, verb) if verb else "",
        body=rule.body,
    )


def filled(message: Any, given: Mapping[str, Any]) -> Any:
    """The message with a valid value in every field whose rules demand one."""
    for field in message.DESCRIPTOR.fields:
        for value in _values(field, given):
            if field.is_repeated:
                getattr(message, field.name).append(value)
            elif isinstance(value, Message):
                getattr(message, field.name).CopyFrom(value)
            else:
                setattr(message, field.name, value)
    return message


def _values(field: FieldDescriptor, given: Mapping[str, Any]) -> Iterator[Any]:
    """The value to set, or none."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.name in given:
        yield given[field.name]
    elif field.message_type is not None:
        if rules.required or rules.repeated.min_items:
            kind = message_factory.GetMessageClass(field.message_type)
            yield kind(data=b"{}") if kind is httpbody_pb2.HttpBody else filled(kind(), given)
    elif field.name in VALUES:
        yield VALUES[field.name]
    elif rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
        return
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        yield from _text(rules.repeated.items.string if field.is_repeated else rules.string, field)
    elif field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64):
        yield 1


def _text(rules: Any, field: FieldDescriptor) -> Iterator[str]:
    if field.has_presence:
        return
    if rules.uuid:
        yield request_id() if field.name == "request_id" else new_id()
    elif rules.email:
        yield f"{new_id()}@example.org"
    elif rules.min_len:
        yield new_id()[: rules.max_len]
