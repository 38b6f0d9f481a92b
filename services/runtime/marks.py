"""The fields that the contract marks with a kind of text: looked up once for each type of message."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from buf.validate import validate_pb2
from commerce.common.v1.money_pb2 import Money
from commerce.options.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Kind: TypeAlias = options_pb2.Text.ValueType
_OURS = "commerce."
_MONEY = Money.DESCRIPTOR.full_name


class Marks(NamedTuple):
    """What a type of message has: fields with a kind, and fields whose messages have such fields."""

    own: tuple[tuple[FieldDescriptor, Kind], ...]
    within: tuple[tuple[FieldDescriptor, "Marks"], ...]


class Marked(NamedTuple):
    """A text with a kind, and what holds it: a message by the field's name, a list by place, a map by key."""

    path: str
    kind: Kind
    text: str
    holder: Any
    key: Any


def marked(message: Message, judged_apart: bool = False) -> Iterator[Marked]:
    """Yield the texts of a message that have a kind and are not empty.

    Items that the contract has somebody judge one by one are left out unless `judged_apart`.
    """
    marks = _marks(message.DESCRIPTOR)
    return iter(()) if marks is None else _marked(message, marks, judged_apart, "")


def _marked(message: Any, marks: Marks, judged_apart: bool, before: str) -> Iterator[Marked]:
    for field, kind in marks.own:
        yield from _texts(message, field, kind, before + field.name)
    for field, inner in marks.within:
        name = field.name
        if field.is_repeated:
            if judged_apart or not _has_items_apart(field):
                for index, each in enumerate(getattr(message, name)):
                    yield from _marked(each, inner, judged_apart, f"{before}{name}[{index}].")
        elif message.HasField(name):
            yield from _marked(getattr(message, name), inner, judged_apart, f"{before}{name}.")


def _texts(message: Any, field: FieldDescriptor, kind: Kind, path: str) -> Iterator[Marked]:
    name = field.name
    value: Any = getattr(message, name)
    texts: Any
    if field.message_type is None:
        texts = enumerate(value) if field.is_repeated else ((name, value),)
    elif field.message_type.GetOptions().map_entry:
        texts = list(value.items())
    else:  # A Money.
        path, message, value = path + ".currency_code", value, value.currency_code
        texts = (("currency_code", value),)
    for key, text in texts:
        if text:
            holder, place = (message, "") if isinstance(value, str) else (value, f"[{key}]")
            yield Marked(path + place, kind, text, holder, key)


@cache
def _marks(kind: Descriptor) -> Marks | None:
    own, within = [], []
    for field in kind.fields:
        inner = field.message_type
        if mark := field.GetOptions().Extensions[options_pb2.text]:
            assert inner is None or inner.GetOptions().map_entry or inner.full_name == _MONEY, field.full_name
            own.append((field, mark))
        elif inner is not None and inner.full_name.startswith(_OURS) and (marks := _marks(inner)):
            within.append((field, marks))
    return Marks(tuple(own), tuple(within)) if own or within else None


@cache
def _has_items_apart(field: FieldDescriptor) -> bool:
    items = field.GetOptions().Extensions[validate_pb2.field].repeated.items
    return bool(items.ignore == validate_pb2.IGNORE_ALWAYS)
