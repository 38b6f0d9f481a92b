"""When the months of a time zone begin, and which orders fall in another month there than in UTC: pure.

Orders are counted by the month of UTC, which never changes; a zone moves only those of the hours about a month's edge.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from services.runtime.ids import first_id

# An order's id and its create_time are taken one after the other.
_APART_MILLISECONDS = 1000


class Span(NamedTuple):
    """Orders from one time until another, which is not theirs, and the ids between which theirs lie."""

    begin: datetime
    end: datetime
    first_id: Any
    last_id: Any


def begin_of(month: date, zone: ZoneInfo) -> datetime:
    """Return when a month begins, in UTC: at its first midnight, or when clocks skip that."""
    return datetime(month.year, month.month, 1, tzinfo=zone).astimezone(UTC)


def after(month: date) -> date:
    """Return the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def before(month: date) -> date:
    """Return the month before."""
    return date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)


@lru_cache(maxsize=256)
def edges(name: str, first: date, last: date) -> dict[str, list[Any]]:
    """Return a table of UTC's months, by column: which orders of each are of the month before in a zone, or after."""
    zone = ZoneInfo(name)
    columns: dict[str, list[Any]] = {"edge_month": []}
    for month in _months(first, last):
        columns["edge_month"].append(month)
        spans = {
            "earlier": _span(begin_of(month, ZoneInfo("UTC")), begin_of(month, zone)),
            "later": _span(begin_of(after(month), zone), begin_of(after(month), ZoneInfo("UTC"))),
        }
        for which, span in spans.items():
            for field, value in span._asdict().items():
                columns.setdefault(f"edge_{which}_{field}", []).append(value)
    return columns


def _months(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first = after(first)


def _span(begin: datetime, end: datetime) -> Span:
    first, last = (int(time.timestamp() * 1000) for time in (begin, end))
    return Span(begin, end, first_id(first - _APART_MILLISECONDS), first_id(last + _APART_MILLISECONDS))
