"""Bounds of lists: from one time on and before another, from one sum on and below another; one left out bounds nothing.

Ids are UUIDv7, so bounds of time are bounds of ids too, and a list in the order of ids reads no more than its times.
"""

from typing import Any

from google.protobuf.message import Message
from sqlalchemy import BigInteger, ColumnElement

from services.runtime.columns import ID, TIME
from services.runtime.ids import ids_between
from services.runtime.statements import param
from services.runtime.times import ALWAYS, given_time

_MOST = 2**63 - 1


class Bounds:
    """What a request may bound by the fields `<time>_from`, `<time>_before`, `<sum>_from` and `<sum>_before`."""

    def __init__(self, *, time: str, amount: str) -> None:
        self._time, self._amount = time, amount

    def of_time(self, item_id: Any, time: Any) -> tuple[ColumnElement[bool], ...]:
        """Return the conditions of time, on the columns of an id and of the time when it was made."""
        return (
            item_id >= param("first_id", ID),
            item_id < param("last_id", ID),
            time >= param(f"{self._time}_from", TIME),
            time < param(f"{self._time}_before", TIME),
        )

    def of_amount(self, amount: Any) -> tuple[ColumnElement[bool], ...]:
        """Return the conditions of the sum, on its column."""
        return (
            amount >= param(f"{self._amount}_from", BigInteger),
            amount < param(f"{self._amount}_before", BigInteger),
        )

    def bound_time(self, request: Message) -> bool:
        """Tell whether a request bounds time."""
        return request.HasField(f"{self._time}_from") or request.HasField(f"{self._time}_before")

    def values(self, request: Message) -> dict[str, Any]:
        """Return the values of the conditions. Refused when a time is beyond the calendar."""
        begin = given_time(request, f"{self._time}_from") or ALWAYS[0]
        end = given_time(request, f"{self._time}_before") or ALWAYS[1]
        first, last = ids_between(begin, end)
        below = f"{self._amount}_before"
        return {
            "first_id": first,
            "last_id": last,
            f"{self._time}_from": begin,
            f"{self._time}_before": end,
            f"{self._amount}_from": getattr(request, f"{self._amount}_from"),
            below: getattr(request, below) if request.HasField(below) else _MOST,
        }
