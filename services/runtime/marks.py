"""The fields that the contract marks with a kind of text: looked up once for each type of message."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

from buf.validate import validate_pb2
from commerce.common.v1.money_pb2 import Money
from commerce.options.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.runtime import cards
from services.runtime.refusals import cut

Kind: TypeAlias = options_pb2.Text.ValueType
_OURS = "commerce."
# A map's key is the client's, and may be as long as a request.
_KEY_BYTES = 64
_MONEY = Money.DESCRIPTOR.full_name


class Marks(NamedTuple):
    """What a type of message has: fields with a kind, and fields whose messages have such fields."""

    own: tuple[tuple[str, FieldDescriptor, Kind], ...]
    within: tuple[tuple[str, FieldDescriptor, bool, "Marks"], ...]  # True where there are many.


class Marked(NamedTuple):
    """A text with a kind, and how another is put in its place."""

    path: str
    kind: Kind
    text: str
    put: Callable[[str], None]


def marked(message: Message, judged_apart: bool = False) -> Iterator[Marked]:
    """Yield the texts of a message that have a kind and are not empty.

    Items that the contract has somebody judge one by one are left out unless `judged_apart`.
    """
    marks = _marks(message.DESCRIPTOR)
    return iter(()) if marks is None else _marked(message, marks, judged_apart, "")


def all_marked(message: Message, holds: Callable[[Kind, str], bool]) -> bool:
    """Tell whether something holds for all texts of a message that have a kind: what `marked` would take longer for."""
    marks = _marks(message.DESCRIPTOR)
    return marks is None or _all(message, marks, holds)


def _all(message: Any, marks: Marks, holds: Callable[[Kind, str], bool]) -> bool:
    for name, _, kind in marks.own:
        value = getattr(message, name)
        if isinstance(value, str):
            if value and not holds(kind, value):
                return False
        elif (texts := _texts_in(value)) and not all(holds(kind, text) for text in texts):
            return False
    for name, _, are_many, inner in marks.within:
        if are_many:
            if not all(_all(each, inner, holds) for each in getattr(message, name)):
                return False
        elif message.HasField(name) and not _all(getattr(message, name), inner, holds):
            return False
    return True


def _texts_in(value: Any) -> Iterable[str]:
    """Return what a list, a map or a Money holds."""
    if isinstance(value, Money):
        return (value.currency_code,) if value.currency_code else ()
    return (*value, *value.values()) if isinstance(value, Mapping) else value


def _marked(message: Any, marks: Marks, judged_apart: bool, before: str) -> Iterator[Marked]:
    for name, field, kind in marks.own:
        yield from _texts(message, field, kind, before + name)
    for name, field, are_many, inner in marks.within:
        if are_many:
            if judged_apart or not _has_items_apart(field):
                for index, each in enumerate(getattr(message, name)):
                    yield from _marked(each, inner, judged_apart, f"{before}{name}[{index}].")
        elif message.HasField(name):
            yield from _marked(getattr(message, name), inner, judged_apart, f"{before}{name}.")


def _texts(message: Any, field: FieldDescriptor, kind: Kind, path: str) -> Iterator[Marked]:
    name = field.name
    value: Any = getattr(message, name)
    if field.message_type is None and not field.is_repeated:
        if value:
            yield Marked(path, kind, value, partial(setattr, message, name))
    elif field.message_type is None:
        for index, text in enumerate(value):
            yield Marked(f"{path}[{index}]", kind, text, partial(value.__setitem__, index))
    elif field.message_type.GetOptions().map_entry:
        pairs = list(value.items())
        for key, text in pairs:
            yield Marked(path + in_brackets(key), kind, text, partial(value.__setitem__, key))
        for key, _ in pairs:
            # A key is the name of what its value says, even where that has many lines.
            named = options_pb2.TEXT_NAME if kind == options_pb2.TEXT_PROSE else kind
            yield Marked(path + in_brackets(key), named, key, partial(_rename, value, key))
    elif value.currency_code:  # Of a Money.
        yield Marked(
            f"{path}.currency_code", kind, value.currency_code, partial(setattr, value, "currency_code")
        )


def in_brackets(subscript: object) -> str:
    """Say which of a list or a map."""
    return f"[{cut(cards.masked(str(subscript)), _KEY_BYTES)}]"


def _rename(entries: Any, key: str, to: str) -> None:
    """Have a map's value under another key, unless there is one."""
    if to not in entries:
        entries[to] = entries.pop(key)


@cache
def _marks(kind: Descriptor) -> Marks | None:
    own, within = [], []
    for field in kind.fields:
        inner = field.message_type
        if mark := field.GetOptions().Extensions[options_pb2.text]:
            assert inner is None or inner.GetOptions().map_entry or inner.full_name == _MONEY, field.full_name
            own.append((field.name, field, mark))
        elif inner is not None and inner.full_name.startswith(_OURS) and (marks := _marks(inner)):
            within.append((field.name, field, field.is_repeated, marks))
    return Marks(tuple(own), tuple(within)) if own or within else None


@cache
def _has_items_apart(field: FieldDescriptor) -> bool:
    items = field.GetOptions().Extensions[validate_pb2.field].repeated.items
    return bool(items.ignore == validate_pb2.IGNORE_ALWAYS)
