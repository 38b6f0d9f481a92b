"""Card numbers (primary account numbers, ISO/IEC 7812): none may enter a message, a row, a log line or a span.

One has 13 to 19 digits, perhaps with single spaces or hyphens between them, begins as an issuer's numbers do, has the
length that goes with it, and passes Luhn's test. It stands by itself: what a letter or a digit touches is something
else, and so are UUIDs, trace contexts, telephone numbers (E.164: a plus and up to 15 digits) and barcodes of 13 digits.

Maestro is left out: it has 12 to 19 digits that begin with 50, 56 to 58 or 6, so one in seventy of all long numbers
(barcodes, parcels, telephones) would be one; Europe has issued none since 2023.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MUST_NOT = "must not hold a card number"

# Visa, Mastercard (two ranges), American Express, Discover, JCB, Diners Club, UnionPay.
_ISSUED = re.compile(
    r"""4(?:\d{12}|\d{15}|\d{18})
      | (?:5[1-5]\d\d | 222[1-9] | 22[3-9]\d | 2[3-6]\d\d | 27[01]\d | 2720)\d{12}
      | 3[47]\d{13}
      | (?:6011 | 64[4-9]\d | 65\d\d)\d{12}
      | 35(?:2[89] | [3-8]\d)\d{12}
      | 3(?:0[0-5] | [68]\d)\d{11}
      | 62\d{14,17}""",
    re.VERBOSE,
)
_SHORTEST, _LONGEST = 13, 19
_TOUCHED, _TOUCHES = "(?<![0-9A-Za-z])", "(?![0-9A-Za-z])"
_UUID = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_TRACEPARENT = "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
# What is one of our ids is read over as a whole; what remains are digits in groups.
_RUN = re.compile(
    f"{_TOUCHED}(?:(?:{_UUID}|{_TRACEPARENT}){_TOUCHES}|(?P<run>[0-9](?:[ -]?[0-9]){{12,}}){_TOUCHES})"
)
# A text that is a UUID, with its length, as Protocol Buffers write it.
_UUID_FIELD = re.compile(rb"\$" + _UUID.encode())
_GROUP = re.compile("[0-9]+")
# People write a card's number in groups of four or more; the last may be shorter.
_GROUP_DIGITS = 4
_PHONE_DIGITS = 15
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
# Every digit is alike, every byte over 127 is alike.
_ALIKE = bytes(0x80 if byte > 127 else 0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_DIGITS = b"0" * _SHORTEST
# An integer of 14 digits takes seven bytes, six of which say that there is more.
_LARGE = b"\x80" * 6
_LEAST = 10**13
_KEPT = 4


def found(text: str) -> bool:
    """Tell whether a text holds a card number."""
    return next(_places(text), None) is not None


def masked(text: str) -> str:
    """Return the text with "*" for every digit of a card number but its last four."""
    places = list(_places(text)) if len(text) >= _SHORTEST else []
    for start, end in reversed(places):
        text = text[:start] + _masked(text[start:end]) + text[end:]
    return text


def masked_bytes(body: bytes) -> bytes:
    """Return a body with its card numbers masked. JSON that has one outside a string is no JSON afterwards."""
    return masked(body.decode("latin-1")).encode("latin-1") if may_hold(body) else body


def may_hold(message: bytes) -> bool:
    """Tell whether a message, as it came, is worth reading for card numbers: at next to no cost, rarely for nothing."""
    alike = message.translate(_ALIKE, b" -")
    if _DIGITS in alike:
        # One UUID in fifty has so many digits in a row.
        return _DIGITS in _UUID_FIELD.sub(b"$", message).translate(_ALIKE, b" -") or _LARGE in alike
    return _LARGE in alike


def is_one(value: object) -> bool:
    """Tell whether the value of a field is, or holds, a card number: a text, bytes, or an integer."""
    if isinstance(value, str):
        return found(value)
    if isinstance(value, int):
        return abs(value) >= _LEAST and _is_number(str(abs(value)))
    return isinstance(value, bytes) and found(value.decode("latin-1"))


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where the card numbers of a text begin and end."""
    for run in _RUN.finditer(text):
        if run["run"]:
            yield from _among(text, *run.span("run"))


def _among(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The card numbers in a run of digits: all of it, however it is grouped, or some of its groups."""
    groups = [group.span() for group in _GROUP.finditer(text, start, end)]
    whole = "".join(text[slice(*group)] for group in groups)
    shortest = _PHONE_DIGITS + 1 if text[start - 1 : start] == "+" else _SHORTEST
    if len(whole) >= shortest and _is_number(whole):
        yield start, end
        return
    after = start
    for first, (begin, _) in enumerate(groups):
        if begin >= after and (stop := _stop(text, groups[first:], shortest if first == 0 else _SHORTEST)):
            yield begin, stop
            after = stop


def _stop(text: str, groups: list[tuple[int, int]], shortest: int) -> int | None:
    """Where a card number ends that begins with the first of the groups; None when there is none."""
    digits = ""
    for start, end in groups[:_LONGEST]:
        digits += text[start:end]
        if len(digits) >= shortest and _is_number(digits):
            return end
        if end - start < _GROUP_DIGITS or len(digits) >= _LONGEST:
            break
    return None


def _is_number(digits: str) -> bool:
    if not _ISSUED.fullmatch(digits):
        return False
    values = [int(digit) for digit in digits]
    if (sum(values[-1::-2]) + sum(_DOUBLED[value] for value in values[-2::-2])) % 10:
        return False
    # A barcode of 13 digits (EAN-13) has a check of its own. Visa's numbers of 13 digits are long out of use.
    return len(values) != _SHORTEST or (sum(values[::2]) + 3 * sum(values[1::2])) % 10 != 0


def _masked(number: str) -> str:
    digits = [place for place, letter in enumerate(number) if letter.isdigit()]
    hidden = set(digits[:-_KEPT])
    return "".join("*" if place in hidden else letter for place, letter in enumerate(number))
