"""The contract as its descriptors say it, with comments; and copies of it that are broken on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from commerce.options.v1 import options_pb2
from google.protobuf import descriptor_pb2

OURS = "commerce."
_MESSAGES, _SERVICES = (
    descriptor_pb2.FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER,
    descriptor_pb2.FileDescriptorProto.SERVICE_FIELD_NUMBER,
)
_FIELDS = descriptor_pb2.DescriptorProto.FIELD_FIELD_NUMBER
_METHODS = descriptor_pb2.ServiceDescriptorProto.METHOD_FIELD_NUMBER


@dataclass(frozen=True)
class Rpc:
    """One RPC, where it stands and what stands above it."""

    package: str
    service: str
    method: descriptor_pb2.MethodDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def full_name(self) -> str:
        return f"{self.service}/{self.name}"

    @property
    def mutates(self) -> bool:
        return self.method.options.idempotency_level != descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS

    @property
    def only_services(self) -> bool:
        return list(self.method.options.Extensions[options_pb2.access].allow) == [options_pb2.ROLE_SERVICE]

    @property
    def snake_name(self) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()


class Contract:
    """All files of the contract, ours and those that ours import."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.files = files

    @cached_property
    def ours(self) -> list[descriptor_pb2.FileDescriptorProto]:
        return [file for file in self.files.file if file.package.startswith(OURS)]

    @cached_property
    def messages(self) -> dict[str, descriptor_pb2.DescriptorProto]:
        """By full name, those inside others too, of all files."""
        return {
            name: message
            for file in self.files.file
            for name, message in _named(file.package, file.message_type)
        }

    @cached_property
    def enums(self) -> dict[str, descriptor_pb2.EnumDescriptorProto]:
        return {f"{file.package}.{enum.name}": enum for file in self.ours for enum in file.enum_type}

    @property
    def rpcs(self) -> Iterator[Rpc]:
        for file in self.ours:
            comments = {tuple(at.path): at.leading_comments.strip() for at in file.source_code_info.location}
            for number, service in enumerate(file.service):
                for index, method in enumerate(service.method):
                    comment = comments.get((_SERVICES, number, _METHODS, index), "")
                    yield Rpc(file.package, f"{file.package}.{service.name}", method, comment)

    def rpc(self, name: str) -> Rpc:
        return next(rpc for rpc in self.rpcs if rpc.name == name)

    def field(self, message: str, name: str) -> descriptor_pb2.FieldDescriptorProto:
        return next(field for field in self.messages[message].field if field.name == name)

    def comment(self, message: str, name: str) -> str:
        """What stands above a field of an outermost message."""
        for file in self.ours:
            for number, each in enumerate(file.message_type):
                if f"{file.package}.{each.name}" == message:
                    index = [field.name for field in each.field].index(name)
                    path = [_MESSAGES, number, _FIELDS, index]
                    return " ".join(
                        at.leading_comments for at in file.source_code_info.location if at.path == path
                    )
        return ""

    def reachable(self, name: str) -> set[str]:
        """A message and every message of ours inside it, by full name."""
        found: set[str] = set()
        waiting = [name.removeprefix(".")]
        while waiting:
            each = waiting.pop()
            if each not in found and each.startswith(OURS):
                found.add(each)
                waiting += [
                    field.type_name.removeprefix(".")
                    for field in self.messages[each].field
                    if field.type_name
                ]
                waiting = [each for each in waiting if each in self.messages]
        return found

    def broken(self, damage: Callable[[Contract], object]) -> Contract:
        """A copy after some damage."""
        files = descriptor_pb2.FileDescriptorSet()
        files.CopyFrom(self.files)
        copy = Contract(files)
        damage(copy)
        return Contract(files)


def _named(
    prefix: str, messages: Iterable[descriptor_pb2.DescriptorProto]
) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    for message in messages:
        name = f"{prefix}.{message.name}"
        yield name, message
        yield from _named(name, message.nested_type)
