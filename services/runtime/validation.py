"""Messages against the contract's own rules: each field that breaks one, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import protovalidate
from buf.validate import validate_pb2
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.options.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.runtime import cards
from services.runtime.marks import in_brackets
from services.runtime.refusals import Refusal, cut, invalid
from services.runtime.texts import misspelled, spell
from services.runtime.wording import words

# Its body is a provider's, and belongs to whoever takes it in.
_FOREIGN = "google.api.HttpBody.data"
_validator = protovalidate.Validator()
# A message says so many violations, and that there are more.
_SAID, _SAID_BYTES = 5, 550
# A list that is too long is not worth being checked item by item: that would take seconds, in which nobody is served.
_NONE_TOO_LONG_BYTES = 1_024


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
        raise _unreadable(kind.DESCRIPTOR, data) from None
    pairs = _wrong(request, data)
    if pairs:
        raise Refusal(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, _sentence(pairs), violations=pairs)
    return request


def _unreadable(kind: Any, data: bytes) -> Refusal:
    """Say why bytes are no message of a kind: with a text that is no UTF-8, which one that is."""
    for name in _undecoded(kind, data):
        return invalid(name, "must be UTF-8")
    return Refusal(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, f"The request is no {kind.full_name}")


def _undecoded(kind: Any, data: bytes) -> Iterator[str]:
    """Find the outermost texts that are no UTF-8: read as a message that knows no field, they are bytes."""
    with suppress(DecodeError):
        read: Any = UnknownFieldSet(Empty.FromString(data))
        for each in read:
            field = kind.fields_by_number.get(each.field_number)
            if field is not None and field.type == FieldDescriptor.TYPE_STRING:
                try:
                    bytes(each.data).decode()
                except UnicodeDecodeError:
                    yield field.name


def _sentence(pairs: list[tuple[str, str]]) -> str:
    """Say what is wrong first, and how much more is."""
    said = "; ".join(f"{field}: {text}" for field, text in pairs[:_SAID])
    more = len(pairs) - _SAID
    return said if more <= 0 else f"{cut(said, _SAID_BYTES)}; and {more} more"


def _wrong(message: Message, data: bytes) -> list[tuple[str, str]]:
    """Find what is wrong with a message; `data` is how it came."""
    # Looking for a NUL or a card number text by text takes longer than all rules together.
    if cards.may_hold(data):
        # What the contract does not know would go along wherever the message, or a part of it, is copied to.
        message.DiscardUnknownFields()
        held = [(cards.masked(path), cards.MUST_NOT) for path in _paths(message, cards.is_one)]
        if held:
            return held
    pairs: list[tuple[str, str]] = []
    if len(data) > _NONE_TOO_LONG_BYTES:
        pairs += _shortened(message, _holders(message.DESCRIPTOR))
    are_right = spell(message)
    pairs += _broken_rules(message)
    pairs += _named_again(message)
    if not are_right:
        broken = {path for path, _ in pairs}
        pairs += [(path, text) for path, text in misspelled(message) if path not in broken]
    # A zero that is said is a NUL byte, too: most such messages hold no text with one.
    if b"\0" in data and _may_hold_nul(message, _texts(message.DESCRIPTOR)):
        pairs += [(path, "holds a NUL, which cannot be stored") for path in _paths(message, _holds_nul)]
    return pairs


def _broken_rules(message: Message) -> list[tuple[str, str]]:
    try:
        broken = _validator.collect_violations(message)
        return [_broken(violation.proto, message.DESCRIPTOR) for violation in broken]
    except protovalidate.EvaluationError as error:
        return [_unchecked(message, str(error))]


def _unchecked(message: Message, error: str) -> tuple[str, str]:
    """Say which rule could not be worked out, as with a time beyond all: its id begins with its field's name."""
    rule, _, why = error.removeprefix("error evaluating ").partition(": ")
    name = rule.partition(".")[0]
    return next(_named(message, name), name), f"cannot be checked: {why}"


def _named(message: Message, name: str, before: str = "") -> Iterator[str]:
    """Find the fields of a name that are set."""
    for field, value in message.ListFields():
        if field.name == name:
            yield before + name
        for place, each in _parts(field, value):
            if isinstance(each, Message):
                yield from _named(each, name, f"{before}{field.name}{place}.")


def _broken(violation: Any, kind: Any) -> tuple[str, str]:
    if violation.field is None:  # A rule of the whole message; its text names the field first.
        field, _, text = violation.message.partition(": ")
        return field, text
    return _path(violation.field), words(violation, kind)


def _path(field: Any) -> str:
    parts = []
    for element in field.elements:
        subscript = element.subscript
        parts.append(element.field_name + (in_brackets(subscript.value) if subscript is not None else ""))
    return ".".join(parts)


def _named_again(message: Message) -> Iterator[tuple[str, str]]:
    """Tell of the lists of a request that name something more than once."""
    for name, by, must in _distinct(message.DESCRIPTOR):
        items = getattr(message, name)
        if len(items) > 1 and len({getattr(each, by).lower() for each in items}) < len(items):
            yield name, must


@cache
def _distinct(kind: Descriptor) -> tuple[tuple[str, str, str], ...]:
    """Return the lists whose items differ, the field in which they do, and what must be."""
    by = {field.name: field.GetOptions().Extensions[options_pb2.distinct] for field in kind.fields}
    return tuple(
        (name, field, f"must name each {field.removesuffix('_id')} once")
        for name, field in by.items()
        if field
    )


class _Holder(NamedTuple):
    """A field that is a list or a map of so many at most, or that has such in it."""

    name: str
    most: int | None
    is_repeated: bool
    inner: tuple[_Holder, ...]


@cache
def _holders(kind: Descriptor) -> tuple[_Holder, ...]:
    return tuple(each for each in map(_holder, kind.fields) if each.most is not None or each.inner)


def _holder(field: FieldDescriptor) -> _Holder:
    rules, kind = field.GetOptions().Extensions[validate_pb2.field], field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _Holder(field.name, rules.map.max_pairs, False, ())
    inner = () if kind is None or _is_judged_apart(field) else _holders(kind)
    return _Holder(field.name, rules.repeated.max_items or None, field.is_repeated, inner)


def _shortened(message: Message, holders: tuple[_Holder, ...], before: str = "") -> Iterator[tuple[str, str]]:
    """Cut lists and maps that are too long, so that the rest can be checked, and tell of them."""
    for name, most, is_repeated, inner in holders:
        value, path = getattr(message, name), before + name
        if most is not None and len(value) > most:
            yield path, f"must have at most {most} items"
            _shorten(value, most)
        if inner and not is_repeated:
            yield from _shortened(value, inner, f"{path}.")
        elif inner:
            for index, each in enumerate(value):
                yield from _shortened(each, inner, f"{path}[{index}].")


def _shorten(value: Any, most: int) -> None:
    if isinstance(value, MutableMapping):
        for key in list(value)[most:]:
            del value[key]
    else:
        del value[most:]


class _Texts(NamedTuple):
    """A message's fields that are texts and that have texts in them, each with whether it is a list."""

    own: tuple[tuple[str, bool], ...]
    within: tuple[tuple[str, bool, _Texts], ...]


@cache
def _texts(kind: Descriptor, outer: tuple[Descriptor, ...] = ()) -> _Texts | None:
    """Return the texts of a kind of message; None where a map or a message within itself makes that a long story."""
    own, within = [], []
    for field in kind.fields:
        inner = field.message_type
        if _is_judged_apart(field):
            continue
        if field.type == FieldDescriptor.TYPE_STRING:
            own.append((field.name, field.is_repeated))
        elif inner is not None:
            texts = (
                None
                if inner in (*outer, kind) or inner.GetOptions().map_entry
                else _texts(inner, (*outer, kind))
            )
            if texts is None:
                return None
            if any(texts):
                within.append((field.name, field.is_repeated, texts))
    return _Texts(tuple(own), tuple(within))


def _may_hold_nul(message: Any, texts: _Texts | None) -> bool:
    """Tell whether a text of a message is worth being looked for: a tenth of the work of naming it."""
    if texts is None:
        return True
    for name, is_list in texts.own:
        value = getattr(message, name)
        if any("\0" in each for each in value) if is_list else "\0" in value:
            return True
    for name, is_list, inner in texts.within:
        if is_list:
            if any(_may_hold_nul(each, inner) for each in getattr(message, name)):
                return True
        elif message.HasField(name) and _may_hold_nul(getattr(message, name), inner):
            return True
    return False


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
            yield from ((in_brackets(key), text) for text in (key, each))
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
