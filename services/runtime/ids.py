"""Identifiers: UUIDv7 (RFC 9562, section 5.7), so that rows arrive at the right edge of their indexes."""

import os
import time
import uuid
from datetime import UTC, datetime, timedelta

LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"  # No UUID is larger.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The id of a thing and its create_time are taken one after the other.
_APART = 1000  # milliseconds


def new_id() -> uuid.UUID:
    """Return a new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def first_id(milliseconds: int) -> uuid.UUID:
    """Return what no UUIDv7 of this Unix millisecond, or of a later one, is smaller than."""
    return uuid.UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)


def ids_between(begin: datetime, end: datetime) -> tuple[uuid.UUID, uuid.UUID]:
    """Return bounds of the ids of all that was created from one time on, before another; others may lie within."""
    return first_id(_milliseconds(begin) - _APART), first_id(_milliseconds(end) + _APART)


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID in any of its usual spellings."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _milliseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(milliseconds=1)
