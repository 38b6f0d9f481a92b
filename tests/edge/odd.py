"""Messages that nobody sends on purpose, made from the descriptors: odd in every field, at every depth."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

from tests.shop import new_id

DEEPEST = 4
TEXTS = (
    "",
    " ",
    "\0",
    "x",
    "null",
    "\r\n",
    "../..",
    "'; DROP TABLE orders --",
    "%00",
    "%s%n{0}",
    "9" * 40,
    "-0",
    "1e400",
    "\ufeff",
    "\u200b",
    "\u202etxet",
    "e\u0301",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\ue000\ufffe",
    "EUR",
    "pm_sandbox_ok",
)
# What is long: each takes as much room in a message as a whole refusal may.
LONG = ("x" * 20_000, "%" * 5_000, "é" * 3_000, "\U0001f600" * 2_000, "\x7f\x01" * 3_000, "a_b." * 2_000)
INTEGERS = (0, 1, -1, 2, 100, 501, 2**31 - 1, -(2**31))
LARGE = (2**63 - 1, -(2**63), 10**15, 10**15 + 1, 2**53 + 1)
DOUBLES = (0.0, -0.0, 1.5, -90.0, 181.0, 5e-324, 1e308, float("inf"), float("-inf"), float("nan"))
COUNTS = (1, 1, 2, 3, 21, 101, 450)
# Each length is tried in each list, but a long list in a long list takes seconds to check.
ROOM = 2_000
JSON: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, 2**64, 10**400),
    *(
        "",
        "\0",
        "\ud800",
        "\udc00\ud800",
        "-0",
        "1e5",
        "1" * 400,
        "NaN",
        "null",
        "x" * 20_000,
        "\U0001f600" * 3_000,
    ),
    *([], {}, [[]], [None], [{}], {"": ""}, {"@type": "x"}, {"seconds": 2**63}, ["x"] * 500, {"\ud800": 1}),
    *(
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "0000-00-00T00:00:00Z",
        "999999999999s",
        "-1s",
    ),
)


def odd(message: Any, chance: Random, depth: int = 0, room: int = ROOM) -> Any:
    """The message with something odd in most of its fields, and so many items at most in all lists of a list."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.25:
            continue
        if field.is_repeated:
            _fill(message, field, chance, depth, room)
        elif field.message_type is None:
            setattr(message, field.name, _value(field, chance))
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
            if depth < DEEPEST:
                odd(inner, chance, depth + 1, room)
    return message


def _fill(message: Message, field: Field, chance: Random, depth: int, room: int = ROOM) -> None:
    values = getattr(message, field.name)
    count = chance.choice([count for count in COUNTS if count <= room])
    if field.message_type is None:
        same = _value(field, chance)
        values.extend(same if chance.random() < 0.5 else _value(field, chance) for _ in range(count))
    elif field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        for number in range(count):
            values[f"{_value(key, chance)}{number}"] = _value(value, chance)
    elif depth < DEEPEST:
        first = odd(values.add(), chance, depth + 1, room // count)
        for _ in range(count - 1):
            values.add().CopyFrom(first)


def _value(field: Field, chance: Random) -> Any:
    kind = field.cpp_type
    if kind == Field.CPPTYPE_STRING:
        text = new_id() if chance.random() < 0.3 else chance.choice(TEXTS)
        text = chance.choice(LONG) if chance.random() < 0.1 else text
        return text.encode() if field.type == Field.TYPE_BYTES else text
    if kind == Field.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind in (Field.CPPTYPE_DOUBLE, Field.CPPTYPE_FLOAT):
        return chance.choice(DOUBLES)
    if kind in (Field.CPPTYPE_INT64, Field.CPPTYPE_UINT64):
        return chance.choice(INTEGERS + LARGE)
    return chance.choice(INTEGERS)


def spoiled(message: Any, chance: Random) -> Any:
    """The message with one or two things in it odd: it may get further than one that is odd all over."""
    for _ in range(chance.choice((1, 1, 2))):
        _spoil(message, chance)
    return message


def _spoil(message: Any, chance: Random) -> None:
    if not message.DESCRIPTOR.fields:
        return
    field = chance.choice(message.DESCRIPTOR.fields)
    if field.is_repeated:
        _fill(message, field, chance, DEEPEST - 1)
    elif field.message_type is None:
        setattr(message, field.name, _value(field, chance))
    else:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _spoil(inner, chance)


def spoiled_json(body: Any, chance: Random) -> Any:
    """The JSON with something in it replaced by what does not belong there."""
    if isinstance(body, dict) and body and chance.random() < 0.8:
        name = chance.choice(sorted(body))
        if chance.random() < 0.1:
            return body | {chance.choice(TEXTS) or "x": body[name]}
        return body | {name: spoiled_json(body[name], chance)}
    if isinstance(body, list) and body and chance.random() < 0.8:
        return [*body[:-1], spoiled_json(body[-1], chance)] * chance.choice((1, 1, 2, 101))
    return chance.choice(JSON)
