"""A call, its answer, and what PayPal-Request-Id promises."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.providers.paypal.book import Json
from tests.providers.paypal.errors import Problem, unprocessable


@dataclass(frozen=True)
class Call:
    path: str
    body: Json
    params: Mapping[str, str]
    query: Mapping[str, str]
    request_id: str | None
    # Prefer: return=representation
    whole: bool = False


@dataclass(frozen=True)
class Answer:
    """The resource is written when it is asked for, so that a repeat shows its present state."""

    status: int
    # Takes whether the whole representation is wanted; None is 204 No Content.
    show: Callable[[bool], Json | None]
    # The Orders API says 200 to a repeat, the Payments API the status it gave at first.
    repeated: int | None = None


@dataclass(frozen=True)
class Kept:
    fingerprint: str
    answer: Answer
    until: datetime


class Keys:
    """Request ids are unique per kind of call, and kept for a while."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Kept] = {}
        self.under_way: set[tuple[str, str]] = set()

    def recall(self, operation: str, call: Call, now: datetime) -> Answer | None:
        key = (operation, call.request_id or "")
        kept = self.kept.get(key)
        if kept is None or kept.until < now:
            return None
        if kept.fingerprint != fingerprint(call):
            raise unprocessable("DUPLICATE_REQUEST_ID", "PayPal-Request-Id")
        return Answer(kept.answer.repeated or kept.answer.status, kept.answer.show)

    def keep(self, operation: str, call: Call, answer: Answer, until: datetime) -> None:
        if call.request_id:
            self.kept[operation, call.request_id] = Kept(fingerprint(call), answer, until)

    def begin(self, operation: str, call: Call) -> tuple[str, str] | None:
        """Of two requests with one id at once, PayPal processes the first and fails the second."""
        if not call.request_id:
            return None
        key = (operation, call.request_id)
        if key in self.under_way:
            raise Problem(409, "PREVIOUS_REQUEST_IN_PROGRESS")
        self.under_way.add(key)
        return key


def fingerprint(call: Call) -> str:
    return hashlib.sha256(f"{call.path}\n{json.dumps(call.body, sort_keys=True)}".encode()).hexdigest()


ORDERS_KEEP = timedelta(hours=6)
PAYMENTS_KEEP = timedelta(days=45)
