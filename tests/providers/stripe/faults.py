"""How the server misbehaves, when a test says so."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Kind = Literal[
    # Nothing is carried out and nothing is answered; carried out, but nothing is answered.
    "silent_before",
    "silent_after",
    # The connection is cut instead of a silence.
    "hang_up_before",
    "hang_up_after",
    # Carried out and saved, but the reply is half a JSON text, or many megabytes long.
    "malformed",
    "huge",
    # Carried out after a wait, during which the key is in use.
    "slow",
    # 500, saved under the key and so replayed for 24 hours: with no effect, or with one.
    "error_before",
    "error_after",
    # 429 and 409 (lock_timeout), before anything is carried out, and not saved.
    "rate_limited",
    "conflict",
]


@dataclass
class Fault:
    kind: Kind
    path: str
    method: str | None
    times: int
    seconds: float

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in (None, method) and fnmatchcase(path, self.path)


class Faults:
    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def plan(self, kind: Kind, path: str, method: str | None, times: int, seconds: float) -> None:
        self._planned.append(Fault(kind, path, method, times, seconds))

    def clear(self) -> None:
        self._planned.clear()

    def next(self, method: str, path: str) -> Fault | None:
        for fault in self._planned:
            if fault.matches(method, path):
                fault.times -= 1
                return fault
        return None
