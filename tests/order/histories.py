"""What a watch promises, checked on what its clients recorded: ordered, unique, gapless, resumable, bookmarkable.

A history is one client's streams, one after the other. Each check returns what breaks its promise, in words.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from commerce.order.v1.order_pb2 import OrderUpdate

Key = tuple[str, int]  # Of a transition: its order and its sequence.
Timeline = Mapping[Key, int]  # The state that each transition led to, as it is on record.


@dataclass
class Session:
    """One stream: after what it was opened (a sequence, or a token; nothing begins anew), and what it told."""

    after: int | str
    told: list[OrderUpdate] = field(default_factory=list)

    @property
    def transitions(self) -> list[OrderUpdate]:
        return [update for update in self.told if not update.bookmark]


History = Sequence[Session]


def ordered(history: History) -> list[str]:
    """Within a stream an order's sequences rise."""
    broken = []
    for number, session in enumerate(history):
        last: dict[str, int] = {}
        for update in session.transitions:
            if update.sequence < last.get(update.order_id, 0):
                broken.append(f"stream {number}: {_named(update)} after {last[update.order_id]}")
            last[update.order_id] = update.sequence
    return broken


def unique(history: History) -> list[str]:
    """No transition is told twice, in whichever stream."""
    seen: set[Key] = set()
    broken = []
    for number, session in enumerate(history):
        for update in session.transitions:
            if _key(update) in seen:
                broken.append(f"stream {number}: {_named(update)} again")
            seen.add(_key(update))
    return broken


def gapless(history: History, timeline: Timeline, wanted: Collection[Key]) -> list[str]:
    """What is wanted of what is on record was told, as it is on record, and after what it follows."""
    told = [update for session in history for update in session.transitions]
    found = {_key(update): update.state for update in told}
    broken = [
        f"{_named(update)} is not on record so"
        for update in told
        if timeline.get(_key(update)) != update.state
    ]
    broken += [f"{key} is missing" for key in wanted if key not in found]
    last: dict[str, int] = {}
    for update in told:
        before = last.get(update.order_id)
        if before is not None and update.sequence > before + 1:
            broken.append(f"{_named(update)} right after {before}")
        last[update.order_id] = max(before or 0, update.sequence)
    return broken


def resumable(history: History) -> list[str]:
    """A stream that was opened with where the last one stood goes on there: no snapshot, nothing told before."""
    broken = []
    told: set[Key] = set()
    for number, session in enumerate(history):
        first = next(iter(session.transitions), None)
        if session.after and first is not None:
            if first.HasField("order"):
                broken.append(f"stream {number}: a snapshot after {session.after}")
            if isinstance(session.after, int) and first.sequence != session.after + 1:
                broken.append(f"stream {number}: {_named(first)} first, after {session.after}")
            if _key(first) in told:
                broken.append(f"stream {number}: {_named(first)} first, which was told before")
        told.update(_key(update) for update in session.transitions)
    return broken


def bookmarkable(history: History) -> list[str]:
    """A bookmark of an order says what was told last; every message of a store says where to go on."""
    broken = []
    for number, session in enumerate(history):
        last = session.after if isinstance(session.after, int) else 0
        for update in session.told:
            of_store = isinstance(session.after, str)
            if of_store and not update.resume_token:
                broken.append(f"stream {number}: {_named(update)} without a token")
            if of_store and update.bookmark and (update.order_id or update.sequence):
                broken.append(f"stream {number}: a bookmark of {_named(update)}")
            if not of_store and update.bookmark and update.sequence != last:
                broken.append(f"stream {number}: a bookmark at {update.sequence} after {last}")
            last = update.sequence
        if session.after == "" and session.told and not session.told[0].bookmark:
            broken.append(f"stream {number}: begins without a bookmark")
    return broken


def goes_on(told: Sequence[OrderUpdate], after: int, again: Sequence[OrderUpdate]) -> list[str]:
    """What a stream tells that was opened at the place of a message is what came after that message, as it came."""
    expected = [_key(update) for update in told[after + 1 :] if not update.bookmark]
    found = [_key(update) for update in again if not update.bookmark]
    return [
        f"{other} in the place of {key}" for key, other in zip(expected, found, strict=False) if key != other
    ]


def broken(history: History, timeline: Timeline, wanted: Collection[Key]) -> dict[str, list[str]]:
    """Every promise that a history breaks, and how."""
    found = {
        "ordered": ordered(history),
        "unique": unique(history),
        "gapless": gapless(history, timeline, wanted),
        "resumable": resumable(history),
        "bookmarkable": bookmarkable(history),
    }
    return {promise: words[:5] for promise, words in found.items() if words}


def _key(update: OrderUpdate) -> Key:
    return update.order_id, update.sequence


def _named(update: OrderUpdate) -> str:
    return f"{update.order_id[-6:]}/{update.sequence}"
