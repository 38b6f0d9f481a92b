"""Messages against the contract's own rules: each field that breaks one, and how."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from services.runtime import cards
from services.runtime.codes import unlisted
from services.runtime.refusals import Refusal

# Its body is a provider's, and belongs to whoever takes it in.
_FOREIGN = "google.api.HttpBody.data"
_validator = protovalidate.Validator()


def warm(kind: type[Message]) -> None:
    """Compile the message's rules now; the first call should not pay for it."""
    _validator.collect_violations(kind())


def violations(message: Message) -> list[tuple[str, str]]:
    """Return the path of each field that breaks a rule or cannot be stored, and what is wrong with it."""
    return _wrong(message, message.SerializeToString())


def parsed(kind: type[Message], data: bytes) -> Message:
    """Read and validate a request, or refuse it with each field and what is wrong with it."""
    try:
        request = kind.FromString(data)
    except DecodeError:
        raise Refusal(
            ErrorReason.ERROR_REASON_INVALID_ARGUMENT, f"The request is no {kind.DESCRIPTOR.full_name}"
        ) from None
    pairs = _wrong(request, data)
    if pairs:
        message = "; ".join(f"{field}: {text}" for field, text in pairs[:5])
        raise Refusal(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message, violations=pairs)
    return request


def _wrong(message: Message, data: bytes) -> list[tuple[str, str]]:
    """Find what is wrong with a message; `data` is how it came."""
    # Looking for a NUL or a card number text by text takes longer than all rules together.
    if cards.may_hold(data):
        # What the contract does not know would go along wherever the message, or a part of it, is copied to.
        message.DiscardUnknownFields()
        held = [(cards.masked(path), cards.MUST_NOT) for path in _paths(message, cards.is_one)]
        if held:
            return held
    pairs = _broken_rules(message)
    broken = {path for path, _ in pairs}
    pairs += [(path, text) for path, text in unlisted(message) if path not in broken]
    if b"\0" in data:
        pairs += [(path, "holds a NUL, which cannot be stored") for path in _paths(message, _holds_nul)]
    return pairs


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


def _holds_nul(value: object) -> bool:
    """PostgreSQL takes no text with a NUL."""
    return isinstance(value, str) and "\0" in value


def _paths(message: Message, holds: Callable[[object], bool], before: str = "") -> Iterator[str]:
    """Find the values that hold something."""
    for field, value in message.ListFields():
        if _is_judged_apart(field):
            continue
        for place, each in _parts(field, value):
            path = before + field.name + place
            if isinstance(each, Message):
                yield from _paths(each, holds, path + ".")
            elif holds(each):
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
    """Tell whether somebody else judges what is in a field: the handler each item by its rules, or a rule all of it."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    items = rules.repeated.items
    return bool(
        items.ignore == validate_pb2.IGNORE_ALWAYS
        or rules.string.uuid
        or items.string.uuid
        or field.full_name == _FOREIGN
    )
