"""What leaves the provider: answers, their JSON, and the ids in them."""

import json
import os
import time
from typing import Any, NamedTuple


class Answer(NamedTuple):
    http_status: int
    body: bytes
    replayed: bool = False


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def random_id(prefix: str) -> str:
    """Grows with time, so that indexes stay cheap; 80 random bits, so that nobody guesses one."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
