"""Tables as the world's spreadsheets write them: what is certain is read, the rest refused with where and what to do.

Certain is an encoding that the file names by its first bytes, or UTF-8 without a fault; a separator with which the
first line has the names that are needed; every kind of line end. Bytes that are no UTF-8 could be in any of a dozen
encodings, which differ in a few letters: whoever knows which one it is says so.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ENCODINGS = ("utf-8", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "cp1250", "cp1251", "shift_jis")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # Begins as UTF-16 does, so it is looked for first.
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What people take for a table, by its first bytes.
_SAVE = 'save its sheet as "CSV UTF-8"'
_NO_TABLES = {
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"PK\x03\x04": f"a workbook of a spreadsheet, or a zip file: {_SAVE}",
    b"\xd0\xcf\x11\xe0": f"an old workbook of Excel: {_SAVE}",
    b"%PDF-": "a PDF: export the table from where it was made",
}
_LOOKED_AT = 2000
# Excel's way to say which separator a file has; the line is no row.
_HINT = re.compile(r'"?sep=(.)"?(\r\n|\r|\n)', re.IGNORECASE)
_LINE_END = re.compile(rb"\r\n|\r|\n")
# What a letter became that an earlier program could not keep.
_LOST = "\ufffd"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: the line on which it begins, its values by name, and what is wrong with its shape."""

    line: int
    values: dict[str, str]
    fault: str = ""


def read(data: bytes, needed: Sequence[str], optional: Sequence[str], encoding: str = "") -> Iterator[Row]:
    """Yield the rows of a table, but for empty ones. Raises ValueError for what is not certain, with its line."""
    text = decode(data, encoding)
    hint = _HINT.match(text)
    before = 1 if hint else 0
    text = text[hint.end() :] if hint else text
    separator = hint[1] if hint else _separator(text, needed)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begin = before + 1
    try:
        names = _names(next(reader, []), separator, needed, optional)
        begin = before + reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _row(begin, names, cells)
            begin = before + reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {begin}: {_quotation(str(error))}") from None


def decode(data: bytes, encoding: str = "") -> str:
    """Return the text of a file, in the encoding that is given or certain. Raises ValueError."""
    if encoding and encoding.lower() not in ENCODINGS:
        raise ValueError(f"--encoding is one of {', '.join(ENCODINGS)}, not {encoding}")
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if other := next((words for begin, words in _NO_TABLES.items() if data.startswith(begin)), ""):
        raise ValueError(f"it is {other}")
    if b"\0" in data and not marked and encoding.lower() != "utf-16":
        if not encoding and _is_like_utf16(data):
            raise ValueError(
                'it seems to be UTF-16 without its mark: save it as "CSV UTF-8", or give --encoding utf-16'
            )
        line = len(_LINE_END.findall(data[: data.index(b"\0")])) + 1
        raise ValueError(f"line {line}: it holds a NUL byte, as no text does: is it a table?")
    try:
        return data.decode(marked or encoding or "utf-8")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(data[: error.start])) + 1
        byte = (
            f"line {line}: the byte 0x{data[error.start]:02X} is no {(marked or encoding or 'utf-8').upper()}"
        )
        if marked or encoding:
            raise ValueError(byte) from None
        guess = data[error.start : error.start + 1].decode("cp1252", errors="replace")
        raise ValueError(
            f'{byte}. Save the file as "CSV UTF-8", or say what it is in: --encoding cp1252, if it is to be {guess!r}'
        ) from None


def _is_like_utf16(data: bytes) -> bool:
    """Tell whether every other byte is a NUL, as in UTF-16 of a language that is written in Latin letters."""
    even, odd = (data[first:_LOOKED_AT:2].count(0) * 2 / min(len(data), _LOOKED_AT) for first in (0, 1))
    return min(even, odd) < 0.1 and max(even, odd) > 0.5


def _separator(text: str, needed: Sequence[str]) -> str:
    """Return the separator with which the first line has the names that are needed, or else most of them."""
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    found = {each: sum(name in needed for name in _split(first, each)) for each in SEPARATORS}
    best = max(found, key=lambda each: found[each])
    if not found[best] and len(first) > 1:
        known = ", ".join(SEPARATORS.values())
        raise ValueError(f"line 1: none of {', '.join(needed)} is in it, separated by any of {known}")
    return best


def _split(line: str, separator: str) -> list[str]:
    return [_name(cell) for cell in next(csv.reader([line], delimiter=separator), [])]


def _name(cell: str) -> str:
    """Return a column's name as we have it: "Category ID " is category_id."""
    return "_".join(cell.strip().casefold().replace("-", " ").split())


def _names(cells: Sequence[str], separator: str, needed: Sequence[str], optional: Sequence[str]) -> list[str]:
    names = [_name(cell) for cell in cells]
    by = f"(its values are separated by {SEPARATORS.get(separator, repr(separator))})"
    if missing := [name for name in needed if name not in names]:
        raise ValueError(f"its first line lacks {', '.join(missing)} {by}")
    if unknown := [name for name in names if name and name not in (*needed, *optional)]:
        known = ", ".join((*needed, *optional))
        raise ValueError(f"nobody knows what {', '.join(unknown)} is; there are {known}")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ValueError(f"its first line has {', '.join(twice)} twice: which one counts?")
    return names


def _row(line: int, names: Sequence[str], cells: Sequence[str]) -> Row:
    """Return a row. Spreadsheets leave empty values at its end out, or add some: they mean nothing."""
    padded = [*cells, *[""] * (len(names) - len(cells))]
    values = {name: cell for name, cell in zip(names, padded, strict=False) if name}
    homeless = [cell for cell, name in zip(padded, [*names, *[""] * len(cells)], strict=False) if not name]
    if any(cell.strip() for cell in homeless):
        return Row(line, values, "has a value in a column without a name: is a quotation mark missing?")
    if lost := next((name for name, value in values.items() if _LOST in value), ""):
        return Row(
            line, values, f"{lost} holds {_LOST}, a letter that was lost when the file was saved before"
        )
    return Row(line, values)


def _quotation(error: str) -> str:
    if "expected after" in error:
        return "a quotation mark within quotation marks is written twice; or something stands behind the closing one"
    if "unexpected end" in error:
        return "a quotation mark opens here, and none closes it before the file ends"
    return error
