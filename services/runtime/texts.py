"""Texts that people type: each brought to one spelling before anything else looks at it, and what may not be in it.

A handler never trims: the contract says what kind of text a field holds (commerce.options.v1.text), and a message is
spelled when it is read, before its rules are checked and before its hash is taken.
"""

import unicodedata
from collections.abc import Mapping

from commerce.options.v1 import options_pb2
from google.protobuf.message import Message

from services.runtime.codes import LISTS
from services.runtime.marks import Kind, Marked, all_marked, marked

_NAME, _CODE, _PROSE = options_pb2.TEXT_NAME, options_pb2.TEXT_CODE, options_pb2.TEXT_PROSE
_SEARCH = options_pb2.TEXT_SEARCH


def _those(*spans: tuple[int, int]) -> frozenset[str]:
    return frozenset(chr(point) for first, last in spans for point in range(first, last + 1))


# Unicode's Default_Ignorable_Code_Point: drawn as nothing, wherever they stand.
_IGNORABLE = _those(
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
    (0xE0000, 0xE0FFF),
)
# Drawn as nothing too, though Unicode takes them for letters and signs: an empty Braille cell, a note without a head.
_EMPTY = frozenset("\u2800\U0001d159")
_SPACES = frozenset(" \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | _those((0x2000, 0x200A))
# What is cut off at the ends. A joiner or a selector there belongs to the letter or picture before it.
_CUT = "".join(_SPACES | _EMPTY) + "\xad\u061c\u180e\u200b\u200e\u200f\u2060\u3164\ufeff\uffa0"
# What turns the text around it: a name that holds one is read as another name.
_TURNING = _those((0x202A, 0x202E), (0x2066, 0x2069))
# Whoever finds that a NUL cannot be stored says so.
_CONTROLS = _those((0x1, 0x1F), (0x7F, 0x9F), (0x2028, 0x2029))
_FORBIDDEN: Mapping[Kind, frozenset[str]] = {
    _NAME: _CONTROLS | _TURNING,
    _CODE: _CONTROLS | _IGNORABLE | _EMPTY,
    _PROSE: (_CONTROLS - {"\t", "\n"}) | _TURNING,
    _SEARCH: frozenset(),
}
# Nothing of these categories is drawn by itself: blanks, controls, marks of a letter that is not there.
_UNDRAWN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Mn", "Mc", "Me"})
# Word processors put the one in the place of the other.
_ALIKE = str.maketrans("‐‑‒–−‘’ʼ“”", "-----'''\"\"") | dict.fromkeys(map(ord, _IGNORABLE))
# Letters that Unicode does not take apart into one without a stroke and the stroke.
_STROKES = str.maketrans("øłđħŧı", "oldhti")


def spell(message: Message) -> bool:
    """Bring the texts that people type to one spelling; tell whether all marked texts were right already."""
    if all_marked(message, _is_right):
        return True
    changed = []
    for each in marked(message, judged_apart=True):
        if each.kind in _FORBIDDEN:
            text = spelled(each.kind, each.text)
            if text != each.text:
                changed.append((each, text))
    for each, text in changed:
        each.put(text)
    return False


def spelled(kind: Kind, text: str) -> str:
    """Return a text in NFC, without what cannot be seen at its ends; empty when nothing in it can be seen."""
    if _is_right(kind, text):
        return text
    composed = unicodedata.normalize("NFC", text)
    if kind == _PROSE:
        composed = "\n".join(composed.splitlines())
    cut = composed.strip(_CUT)
    return cut if any(map(_is_drawn, cut)) else ""


def misspelled(message: Message) -> list[tuple[str, str]]:
    """Return the path of each marked text that is not of its kind, and what is wrong with it."""
    return [(each.path, wrong) for each in marked(message) if (wrong := _wrong(each))]


def folded(text: str) -> str:
    """Return what texts have in common that a person takes for one: case, width, blanks, kinds of dash and quote.

    Accents stay: "Café" and "Cafe" are two. What is narrowed may have a case, and a folded case may come apart.
    """
    narrow = unicodedata.normalize("NFKC", text).translate(_ALIKE)
    return " ".join(unicodedata.normalize("NFKC", narrow.casefold()).split())


def searchable(text: str) -> str:
    """Return a text without case and accents, every gap in it one space: as it is searched for."""
    # What is taken apart may have a case of its own, and a folded case may come apart again.
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(each for each in parts if not unicodedata.combining(each))
    return " ".join(bare.translate(_ALIKE | _STROKES).split())


def _is_right(kind: Kind, text: str) -> bool:
    """Tell of most texts, at next to no cost, that they need no second look."""
    if kind in LISTS:
        return text in LISTS[kind][0]
    return _is_plain(text) and text[:1] != " " != text[-1:]


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _is_drawn(char: str) -> bool:
    return unicodedata.category(char) not in _UNDRAWN and char not in _IGNORABLE and char not in _EMPTY


def _wrong(each: Marked) -> str:
    if each.kind in LISTS:
        listed, must = LISTS[each.kind]
        return "" if each.text in listed else must
    if _is_plain(each.text):
        return ""
    if char := next((char for char in each.text if char in _FORBIDDEN[each.kind]), ""):
        return f"must not hold {_named(char)}"
    # Two keys of a map cannot become one: which of their values would stay?
    return "" if spelled(each.kind, each.text) == each.text else "is there twice, in two spellings"


def _named(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, 'CONTROL CHARACTER')}"
