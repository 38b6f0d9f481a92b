"""How commands show what they found: a record a block, whole at any width, or with -o json as REST has it."""

from __future__ import annotations

import enum
import json
import re
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console


# What a terminal obeys instead of showing it, what turns the text around it, and bytes of a name that is no text.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Output(enum.StrEnum):
    TEXT = "text"
    JSON = "json"


def to_dict(message: Message) -> dict[str, Any]:
    """A message as REST would answer it."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, always_print_fields_with_no_presence=True)


def print_json(content: Message | Any) -> None:
    """Print a message as REST would answer it, or what JSON has a form for."""
    from google.protobuf.message import Message

    if isinstance(content, Message):
        content = to_dict(content)
    is_narrow = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(content, indent=2, ensure_ascii=is_narrow)
    print(_OBEYED.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text))


def visible(text: str) -> str:
    """Return a text with its control characters written out: a terminal shows them, and does not obey."""
    return _OBEYED.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def print_records(console: Console, records: Iterable[Mapping[str, Any]]) -> None:
    """Print each record as a block of lines, a name and a value each; what is empty is left out. Nothing is cut."""
    for number, record in enumerate(records):
        if number:
            console.print()
        print_lines(console, record)


def print_list(
    console: Console,
    output: Output,
    content: Message | Any,
    records: Sequence[Mapping[str, Any]],
    none: str,
    *commands: str,
    more: str = "",
) -> None:
    """Print `content` as JSON, or its records, the words `more` and what to type next; where there are none, `none`."""
    if output is Output.JSON:
        print_json(content)
    elif not records:
        console.print(none)
    else:
        print_records(console, records)
        if more:
            console.print(more)
        print_next(console, *commands)


def print_lines(console: Console, lines: Mapping[str, Any]) -> None:
    """Print a line for each name and value, but for empty ones."""
    width = max(8, *(len(name) for name in lines))
    for name, value in lines.items():
        if value not in (None, ""):
            console.print(f"{name:<{width}} {value}", markup=False, highlight=False, soft_wrap=True)


def print_next(console: Console, *commands: str) -> None:
    """Print what to type next."""
    for number, command in enumerate(commands):
        mark = "next" if number == 0 else ""
        line = f"{mark:<8} commerce {command}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """Say how many there are: 1 row, 1,200 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def checked_id(text: str, what: str = "an id") -> str:
    """Return an id as services know it. Raises ValueError when it is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        message = f"{what} is a UUID, as in 0191f3a2-7c1e-7cc3-98c4-dc0c0c07398f, not {text!r}"
        raise ValueError(message) from None


def time_of(stamp: Any) -> str:
    """A timestamp of the contract as people read it, in UTC."""
    return f"{stamp.ToDatetime(UTC):%Y-%m-%d %H:%M:%S} UTC"
