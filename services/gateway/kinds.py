"""What a value must be, by the type that the transcoder names when it cannot read one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor

PREFIX = "type.googleapis.com/"
WHOLE, NUMBER, TEXT = "must be a whole number", "must be a number", "must be a text"
KINDS = {
    "TYPE_INT32": WHOLE,
    "TYPE_INT64": WHOLE,
    "TYPE_UINT32": WHOLE,
    "TYPE_UINT64": WHOLE,
    "TYPE_DOUBLE": NUMBER,
    "TYPE_FLOAT": NUMBER,
    "TYPE_BOOL": "must be true or false",
    "TYPE_STRING": TEXT,
    "TYPE_BYTES": "must be base64",
    f"{PREFIX}google.protobuf.Timestamp": "must be a time, such as 2026-11-27T12:00:00Z",
    f"{PREFIX}google.protobuf.Duration": "must be a number of seconds, such as 90s",
    f"{PREFIX}google.protobuf.FieldMask": "must be names of fields with commas between",
}


def kinds(requests: Iterable[Descriptor]) -> dict[str, str]:
    """Return the words for each type in these requests; a choice names its values."""
    found = dict(KINDS)
    for choice in {
        choice.full_name: choice for each in requests for choice in _choices(each, set())
    }.values():
        names = ", ".join(value.name for value in choice.values if value.number)
        found[PREFIX + choice.full_name] = f"must be one of {names}"
    return found


def _choices(message: Descriptor, seen: set[str]) -> Iterator[EnumDescriptor]:
    seen.add(message.full_name)
    for field in message.fields:
        if field.enum_type is not None:
            yield field.enum_type
        elif field.message_type is not None and field.message_type.full_name not in seen:
            yield from _choices(field.message_type, seen)
