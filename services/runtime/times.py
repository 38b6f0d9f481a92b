"""Times as the database has them, and as messages do."""

from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.refusals import invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """Return the time that it is."""
    return datetime.now(UTC)


def timestamp(time: datetime) -> Timestamp:
    """Return a time with a zone as a message. The message's own way takes eight times as long."""
    since = time - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def given_time(request: Message, field: str) -> datetime | None:
    """Return the time in a field of a request, or None when it is not set. Refused when it is beyond the calendar."""
    if not request.HasField(field):
        return None
    try:
        time: datetime = getattr(request, field).ToDatetime(tzinfo=UTC)
    except ValueError:
        raise invalid(field, "must be in the years 1 to 9999") from None
    return time
