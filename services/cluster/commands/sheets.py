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
from itertools import chain
from pathlib import Path

from services.runtime.texts import folded

# Half a million products, which are held in half a GiB; a device or a pipe has no end.
MOST_BYTES = 32 << 20
MOST_ROWS = 500_000
# Many times what the longest row of a table has: where one is longer, its end is missing.
_LONGEST_ROW = 1 << 20
ENCODINGS = (
    *("utf-8", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "cp1250", "cp1251", "cp1253", "cp1254"),
    *("cp850", "mac_roman", "cp932", "shift_jis", "gb18030", "big5", "cp949"),
)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # Begins as UTF-16 does, so it is looked for first.
    codecs.BOM_UTF32_BE: "utf-32",
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
# Excel's way to say which separator a file has; the line is no row.
_HINT = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
# What a letter became that an earlier program could not keep.
_LOST = "\ufffd"
# What spreadsheets show for a formula that fails, or a number too wide for its column.
_FAILED = re.compile(
    r"#(?:N/A|NV|(?:REF|VALUE|DIV/0|NUM|NULL|ERROR|SPILL|CALC|WERT|BEZUG|ZAHL|VALEUR|NOMBRE|RIF|VALORE)!"
    r"|(?:NAME|NOM|NOME)\?|¡(?:REF|VALOR|DIV/0|NUM)!|¿NOMBRE\?|#+)|Err:5[0-9][0-9]"
)
_FORMULA = re.compile(r'="(.*)"', re.DOTALL)
_SHOWN_NAMES, _SHOWN = 12, 60


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: the line on which it begins, its values by name, and the column that is wrong, and how.

    A short one has fewer values than there are names; those that it lacks are empty.
    """

    line: int
    values: dict[str, str]
    fault: tuple[str, str] | None = None
    is_short: bool = False


def content(file: Path) -> bytes:
    """Return what a file holds. Raises ValueError when that is too much to be looked at whole."""
    with file.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB: bring it in parts")
    return data


def read(
    data: bytes, needed: Sequence[str], optional: Sequence[str] | None, encoding: str = ""
) -> Iterator[Row]:
    """Yield the rows of a table, but for empty ones; with `optional` None there may be any other column.

    Raises ValueError for what is not certain, with its line.
    """
    lines = _Lines(io.TextIOWrapper(io.BytesIO(data), encoding_of(data, encoding), newline=""))
    first = lines.first_filled()
    if hint := _HINT.fullmatch(first.strip("\ufeff\r\n")):
        separator, first = _hinted(hint[1], lines.number), lines.first_filled()
    else:
        separator = _separator(first, needed, lines.number)
    reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
    try:
        names = _names(next(reader, []), separator, needed, optional, lines.row)
        lines.end_row()
        rows = 0
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows += 1
                if rows > MOST_ROWS:
                    raise ValueError(
                        f"line {lines.row}: it has more than {MOST_ROWS:,} rows: bring it in parts"
                    )
                yield _row(lines.row, names, cells, separator)
            lines.end_row()
    except csv.Error as error:
        raise ValueError(f"line {lines.row}: {_quotation(str(error))}") from None


class _Lines:
    """The lines of a text, and the number of that on which the row begins which they belong to."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text, self._length = text, 0
        self.number, self.row = 0, 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST_ROW)
        if not line:
            raise StopIteration
        self.number += 1
        self._length += len(line)
        if self._length >= _LONGEST_ROW:
            raise ValueError(
                f"line {self.row}: here begins a row of {_LONGEST_ROW:,} characters or more. "
                "Is it a table, and is a quotation mark missing?"
            )
        return line

    def end_row(self) -> None:
        self.row, self._length = self.number + 1, 0

    def first_filled(self) -> str:
        """Return the next line that is not blank, as a row begins with it; "" when there is none."""
        for line in self:
            if line.strip(" \t,;|\r\n\ufeff"):
                self.row = self.number
                return line
            self.end_row()
        return ""


def encoding_of(data: bytes, encoding: str = "") -> str:
    """Return the encoding of a file, the one that is given or certain. Raises ValueError when it is not in that."""
    given = encoding.lower()
    if given and given not in ENCODINGS:
        raise ValueError(f"--encoding is one of {', '.join(ENCODINGS)}, not {encoding}")
    if other := next((words for begin, words in _NO_TABLES.items() if data.startswith(begin)), ""):
        raise ValueError(f"it is {other}")
    told = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "") or _unmarked(data)
    if b"\0" in data and not told:
        raise ValueError(f"{_place(data, data.index(0))}: a NUL byte, as no text has: is it a table?")
    if given and not told and given != "utf-8" and not data.isascii() and _is_in(data, "utf-8"):
        raise ValueError(f"it is in UTF-8, and not in {encoding}: leave --encoding out")
    try:
        data.decode(told or given or "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(_undecodable(error, data, told or given)) from None
    return told or given or "utf-8"


def _unmarked(data: bytes) -> str:
    """Return which UTF-16 begins with Latin letters, as the names of columns are, and without a mark."""
    evens, odds = data[:8:2], data[1:8:2]
    if len(odds) > 1 and not any(odds) and all(evens):
        return "utf-16-le"
    return "utf-16-be" if len(odds) > 1 and not any(evens) and all(odds) else ""


def _is_in(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(error: UnicodeDecodeError, data: bytes, known: str) -> str:
    byte, place = data[error.start : error.start + 1], _place(data, error.start, known or "utf-8")
    found = f"{place}: the byte 0x{byte.hex().upper()} is no {(known or 'utf-8').upper()}"
    if known:
        return found
    letters: dict[str, str] = {}
    for name in ENCODINGS:
        letter = byte.decode(name, "replace")
        if letter.isprintable() and letter != _LOST:
            letters.setdefault(letter, name)
    guesses = ", ".join(f"{name} if it is to be {letter!r}" for letter, name in letters.items())
    return (
        f'{found}. Save the file as "CSV UTF-8", or say what it is in: --encoding {guesses or ENCODINGS[2]}'
    )


def _place(data: bytes, at: int, encoding: str = "utf-8") -> str:
    """Return the line of a byte, and which character of that it is."""
    lines = _LINE_END.split(data[:at].decode(encoding, "replace"))
    return f"line {len(lines)}, character {len(lines[-1]) + 1}"


def _hinted(separator: str, number: int) -> str:
    if separator.isalnum() or separator in "\"'":
        raise ValueError(f"line {number}: sep={separator} names a separator that separates nothing")
    return separator


def _separator(first: str, needed: Sequence[str], number: int) -> str:
    """Return the separator with which the first line has the names that are needed, or else most of them."""
    found = {each: sum(name in needed for name in _split(first, each)) for each in SEPARATORS}
    best = max(found, key=lambda each: found[each])
    if first and not found[best]:
        known = ", ".join(SEPARATORS.values())
        raise ValueError(
            f"line {number}: none of {', '.join(needed)} is in it, separated by any of {known}: "
            f"it begins {first.strip()[:_SHOWN]!r}"
        )
    return best


def _split(line: str, separator: str) -> list[str]:
    return [_name(cell) for cell in next(csv.reader([line], delimiter=separator), [])]


def _name(cell: str) -> str:
    """Return a column's name as we have it: "Category ID " is category_id."""
    return "_".join(folded(cell).replace("-", " ").split())


def _names(
    cells: Sequence[str], separator: str, needed: Sequence[str], optional: Sequence[str] | None, line: int
) -> list[str]:
    names = [_name(cell) for cell in cells]
    by = SEPARATORS.get(separator, repr(separator))
    if missing := [name for name in needed if name not in names]:
        has = f"it has {_listed(names)}, separated by {by}" if any(names) else "it is empty"
        raise ValueError(f"line {line}, which names the columns, lacks {', '.join(missing)}: {has}")
    known = (*needed, *(names if optional is None else optional))
    if unknown := [name for name in names if name and name not in known]:
        raise ValueError(
            f"line {line}: nobody knows what {_listed(unknown)} is; there are {', '.join(known)}"
        )
    if twice := sorted({name for name in known if names.count(name) > 1 and name}):
        raise ValueError(f"line {line} has {_listed(twice)} twice: which one counts?")
    return names


def _listed(names: Sequence[str]) -> str:
    shown = [name[:_SHOWN] for name in names if name]
    more = len(shown) - _SHOWN_NAMES
    return ", ".join(shown[:_SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _row(line: int, names: Sequence[str], cells: Sequence[str], separator: str) -> Row:
    """Return a row. Spreadsheets leave empty values at its end out, or add some: they mean nothing."""
    padded = [*cells, *[""] * (len(names) - len(cells))]
    values = {name: cell for name, cell in zip(names, padded, strict=False) if name}
    homeless = [cell for cell, name in zip(padded, [*names, *[""] * len(cells)], strict=False) if not name]
    fault = None
    if any(cell.strip() for cell in homeless):
        fault = "row", "has a value in a column without a name: is a quotation mark missing?"
    elif not any(cells[1:]) and any(other in cells[0] for other in SEPARATORS):
        by = SEPARATORS.get(separator, repr(separator))
        fault = "row", f"is not separated by {by}, as the first line is; or it is quoted as a whole"
    else:
        fault = next(((name, doubt) for name, cell in values.items() if (doubt := _doubt(cell))), None)
    return Row(line, values, fault, len(cells) < len(names))


def _doubt(value: str) -> str:
    """Say why nobody can be certain what a value was where the table was made; "" for nearly all."""
    text = value.strip()
    if text.isascii() and text.isprintable() and value[:1] not in (*" \t#=", "E"):
        return ""
    if _LOST in value:
        return f"holds {_LOST}, a letter that was lost when the file was saved before"
    if "\0" in value:
        return "holds a NUL, as no text does"
    if _FAILED.fullmatch(text):
        return f"is {text}, as a spreadsheet shows a formula that fails, or a column that is too narrow"
    if formula := _FORMULA.fullmatch(text):
        return f"is a formula, {text[:_SHOWN]}: write {formula[1][:_SHOWN]}, in a column of text"
    if text != value and text.startswith('"'):
        return "has a blank before its quotation mark, which does not count as one then"
    if not text.isascii() and (meant := _meant(text)):
        return (
            f"was in UTF-8 and read as another encoding before: {text[:_SHOWN]!r} is to be {meant[:_SHOWN]!r}"
        )
    return ""


def _meant(text: str) -> str:
    """Return what a text was that somebody read as cp1252, though it was in UTF-8; "" when it is as it was."""
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return ""


def _quotation(error: str) -> str:
    if "expected after" in error:
        return "a quotation mark within quotation marks is written twice; or something stands behind the closing one"
    if "unexpected end" in error:
        return "a quotation mark opens here, and none closes it before the file ends"
    if "field limit" in error:
        return f"a value of more than {csv.field_size_limit():,} characters begins here: is a quotation mark missing?"
    return error
