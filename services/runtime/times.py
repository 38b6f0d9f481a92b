"""The one clock, and times as the database has them and as messages do.

What the business decides by time, it decides by `now`. In development COMMERCE_CLOCK may name a file that says by how
many seconds this clock is ahead, so that a test need not wait for the first of the month. What is signed (tokens,
webhooks) is judged by `signed_now`, which is the machine's: whoever signs has a clock of their own.
"""

import os
import time as machine
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.refusals import invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FILE = os.environ.get("COMMERCE_CLOCK", "")
_MOVABLE = bool(_FILE) and os.environ.get("COMMERCE_ENVIRONMENT") == "development"
# Before and after every time that is kept. The calendar's own ends asyncpg takes for -infinity and infinity, and gives
# back without a zone.
ALWAYS = (
    datetime.min.replace(tzinfo=UTC) + timedelta(microseconds=1),
    datetime.max.replace(tzinfo=UTC) - timedelta(microseconds=1),
)


def now() -> datetime:
    """Return the time that it is."""
    return datetime.now(UTC) + _ahead() if _MOVABLE else datetime.now(UTC)


def seconds_now() -> float:
    """Return the time that it is in seconds since 1970."""
    return now().timestamp()


def signed_now() -> float:
    """Return the seconds since 1970 by which the age of a signature is judged."""
    return machine.time()


def _ahead() -> timedelta:
    return timedelta(seconds=float(Path(_FILE).read_text()))


def timestamp(time: datetime) -> Timestamp:
    """Return a time with a zone as a message. The message's own way takes eight times as long."""
    since = time - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def time_of(stamp: Timestamp) -> datetime:
    """Return a time that one of us has written, to the microsecond. The message's own way takes three times as long."""
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)


def given_time(request: Message, field: str) -> datetime | None:
    """Return the time in a field of a request, or None when it is not set. Refused when it is beyond the calendar.

    The calendar's ends, which programs write for "always", are a microsecond within it, where they can be kept.
    """
    if not request.HasField(field):
        return None
    try:
        time: datetime = getattr(request, field).ToDatetime(tzinfo=UTC)
    except ValueError:
        raise invalid(field, "must be in the years 1 to 9999") from None
    return min(max(time, ALWAYS[0]), ALWAYS[1])
