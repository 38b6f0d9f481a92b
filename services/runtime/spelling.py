"""One spelling for each value of a request, so that the same request is the same bytes."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from buf.validate import validate_pb2
from google.protobuf import field_mask_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

_Spell = Callable[[Any], None]
_MASK = field_mask_pb2.FieldMask.DESCRIPTOR.full_name


def unify(request: Any, data: bytes) -> None:
    """Spell each UUID of a request in small letters, and name each field of a mask once and in order.

    `data` is how it came: where no byte is a capital letter, no UUID has one.
    """
    for spell in _spellings(request.DESCRIPTOR, data.islower()):
        spell(request)


def canonical(request: Any) -> bytes:
    """Return the bytes of a unified request. What the contract does not know has no effect, so it is left out."""
    request.DiscardUnknownFields()
    return bytes(request.SerializeToString(deterministic=True))


@cache
def _spellings(kind: Descriptor, are_small: bool, outer: tuple[Descriptor, ...] = ()) -> tuple[_Spell, ...]:
    if kind in outer:
        return ()  # A message inside itself: the contract's requests have none, google.protobuf.Struct is one.
    return tuple(spell for field in kind.fields for spell in _of_field(field, are_small, (*outer, kind)))


def _of_field(field: FieldDescriptor, are_small: bool, outer: tuple[Descriptor, ...]) -> Iterator[_Spell]:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.message_type is None:
        if are_small:
            return
        if rules.string.uuid:
            yield _small(field.name)
        elif rules.repeated.items.string.uuid:
            yield _all_small(field.name)
    elif field.message_type.full_name == _MASK:
        yield _in_order(field.name)
    elif not field.message_type.GetOptions().map_entry:
        inner = _spellings(field.message_type, are_small, outer)
        if inner:
            yield _inside(field, inner)


def _small(name: str) -> _Spell:
    def spell(message: Any) -> None:
        value = getattr(message, name)
        small = value.lower()
        if small != value:
            setattr(message, name, small)

    return spell


def _all_small(name: str) -> _Spell:
    def spell(message: Any) -> None:
        values = getattr(message, name)
        values[:] = [value.lower() for value in values]

    return spell


def _in_order(name: str) -> _Spell:
    def spell(message: Any) -> None:
        if message.HasField(name):
            paths = getattr(message, name).paths
            paths[:] = sorted(set(paths))

    return spell


def _inside(field: FieldDescriptor, inner: tuple[_Spell, ...]) -> _Spell:
    def spell(message: Any) -> None:
        value = getattr(message, field.name)
        for each in value if field.is_repeated else (value,) if message.HasField(field.name) else ():
            for spell_inner in inner:
                spell_inner(each)

    return spell
