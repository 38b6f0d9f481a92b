"""Messages against the contract's own rules: each field that breaks one, and how."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from services.runtime.refusals import Refusal

_validator = protovalidate.Validator()


def warm(kind: type[Message]) -> None:
    """Compile the message's rules now; the first call should not pay for it."""
    _validator.collect_violations(kind())


def violations(message: Message) -> list[tuple[str, str]]:
    """Return the path of each field that breaks a rule or cannot be stored, and what is wrong with it."""
    # Looking for a NUL text by text takes longer than all rules together.
    return _broken_rules(message) + (_nuls(message) if b"\0" in message.SerializeToString() else [])


def parsed(kind: type[Message], data: bytes) -> Message:
    """Read and validate a request, or refuse it with each field and what is wrong with it."""
    try:
        request = kind.FromString(data)
    except DecodeError:
        raise Refusal(
            ErrorReason.ERROR_REASON_INVALID_ARGUMENT, f"The request is no {kind.DESCRIPTOR.full_name}"
        ) from None
    pairs = _broken_rules(request)
    if b"\0" in data:
        pairs += _nuls(request)
    if pairs:
        message = "; ".join(f"{field}: {text}" for field, text in pairs[:5])
        raise Refusal(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message, violations=pairs)
    return request


def _broken_rules(message: Message) -> list[tuple[str, str]]:
    return [_broken(violation.proto) for violation in _validator.collect_violations(message)]


def _broken(violation: Any) -> tuple[str, str]:
    if violation.field is None:  # A rule of the whole message; its text names the field first.
        field, _, text = violation.message.partition(": ")
        return field, text
    return _path(violation.field), violation.message


def _path(field: Any) -> str:
    parts = []
    for element in field.elements:
        subscript = element.subscript
        parts.append(element.field_name + (f"[{subscript.value}]" if subscript is not None else ""))
    return ".".join(parts)


def _nuls(message: Message) -> list[tuple[str, str]]:
    """Find the texts that hold a NUL: PostgreSQL takes none."""
    return [(path, "holds a NUL, which cannot be stored") for path in _paths_of_nuls(message)]


def _paths_of_nuls(message: Message, before: str = "") -> Iterator[str]:
    for field, value in message.ListFields():
        if _is_judged_apart(field):
            continue
        for place, each in _parts(field, value):
            path = before + field.name + place
            if isinstance(each, Message):
                yield from _paths_of_nuls(each, path + ".")
            elif isinstance(each, str) and "\0" in each:
                yield path


def _parts(field: FieldDescriptor, value: Any) -> Iterator[tuple[str, Any]]:
    """What a field holds, each with its place in it."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from ((f"[{key}]", text) for text in (key, each))
    elif field.is_repeated:
        yield from ((f"[{index}]", each) for index, each in enumerate(value))
    else:
        yield "", value


@cache
def _is_judged_apart(field: FieldDescriptor) -> bool:
    """Tell whether the contract leaves it to the handler to judge each item by its rules."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return bool(rules.repeated.items.ignore == validate_pb2.IGNORE_ALWAYS)
