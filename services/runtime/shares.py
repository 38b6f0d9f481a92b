"""What each caller and each store may have open, and begin in a second: nobody's flood is another store's trouble.

Each process counts for itself. A person (a customer, a courier) has a person's few places of each kind of work; whoever
speaks for a store has the store's. A service acts for the store that its request names. Which numbers, and why:
docs/decisions/fair-shares.md.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.options.v1 import options_pb2

from services.runtime.callers import Caller
from services.runtime.places import Places
from services.runtime.refusals import Refusal
from services.runtime.settings import Settings

READ: int = options_pb2.COST_READ
SEARCH: int = options_pb2.COST_SEARCH
WRITE: int = options_pb2.COST_WRITE
IMPORT: int = options_pb2.COST_IMPORT
STREAM: int = options_pb2.COST_STREAM
PERSONS = frozenset(("CUSTOMER", "COURIER"))
# What a service asks for was paced when its own caller asked; whoever has no token is paced by address, at the gateway.
UNPACED = frozenset(("SERVICE", "ANYONE"))
# Somebody who was idle may do so many seconds' worth at once: a page that opens, a phone that is back from a tunnel.
BURST_SECONDS = 4.0
# A search is the work of ten reads.
_WEIGHT = {SEARCH: 10.0}
_WORDS = {READ: "reads", SEARCH: "searches", WRITE: "writes", IMPORT: "imports", STREAM: "streams"}
# As many callers as tokens are remembered, and as many stores: some kilobytes each.
_REMEMBERED = 10_000
_UNLIMITED: AbstractContextManager[None] = nullcontext()


class Bucket:
    """So much a second, and a burst (the generic cell rate algorithm): all it keeps is when it is full again."""

    __slots__ = ("_full", "_seconds")

    def __init__(self, per_second: float) -> None:
        self._seconds, self._full = 1 / per_second, 0.0

    def take(self, weight: float, now: float) -> float:
        """Take so much and return 0; or take nothing, and return in how many seconds there will be enough."""
        full = (self._full if self._full > now else now) + weight * self._seconds
        late = full - now - BURST_SECONDS
        if late > 0:
            return late
        self._full = full
        return 0.0


class StoreShare:
    """What one store has of the places of one kind."""

    __slots__ = ("bucket", "held", "places")

    def __init__(self, places: Places, bucket: Bucket) -> None:
        self.places, self.bucket, self.held = places, bucket, 0


class Share:
    """What one caller has of a store's share. `with share:` takes a place for the block, or refuses with OVERLOADED."""

    __slots__ = ("_buckets", "_held", "_kind", "_most", "_store", "_weight")

    def __init__(self, kind: int, most: float, buckets: Sequence[Bucket], store: StoreShare) -> None:
        self._kind, self._most, self._buckets, self._store = kind, most, buckets, store
        self._weight, self._held = _WEIGHT.get(kind, 1.0), 0

    def __enter__(self) -> None:
        store = self._store
        if self._held >= self._most:
            raise _too_many(f"You have too many {_WORDS[self._kind]} open")
        if not store.places.has_room(store.held):
            raise _too_many(f"The store has too many {_WORDS[self._kind]} open")
        now = time.monotonic()
        for bucket in self._buckets:
            if late := bucket.take(self._weight, now):
                raise _too_many("Too many calls a second", math.ceil(late))
        self._held += 1
        store.held += 1
        store.places.taken += 1

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        self._held -= 1
        self._store.held -= 1
        self._store.places.taken -= 1


class Shares:
    """Everybody's shares of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = {
            READ: Places(settings.reads_in_flight),
            SEARCH: Places(settings.searches_in_flight),
            WRITE: Places(settings.writes_in_flight),
            IMPORT: Places(settings.imports_in_flight),
            STREAM: Places(settings.open_streams),
        }
        self._persons: dict[int, float] = {
            READ: settings.person_reads,
            SEARCH: settings.person_searches,
            WRITE: settings.person_writes,
            STREAM: settings.person_streams,
        }
        self._callers: OrderedDict[tuple[str, str, str], dict[int, Share]] = OrderedDict()
        self._stores: OrderedDict[str, dict[int, StoreShare]] = OrderedDict()

    def of(self, kind: int, caller: Caller, store_id: str) -> AbstractContextManager[None]:
        """Return what a caller who acts for a store ("" where none is named) has of a kind of work."""
        key = (caller.role, caller.customer_id or caller.subject, store_id)
        shares = self._callers.get(key)
        if shares is None:
            if caller.role == "SERVICE" and not store_id:
                return _UNLIMITED
            shares = self._callers[key] = self._shares(caller, store_id or caller.subject)
            if len(self._callers) > _REMEMBERED:
                self._callers.popitem(last=False)
        else:
            self._callers.move_to_end(key)
        return shares[kind]

    def _shares(self, caller: Caller, store: str) -> dict[int, Share]:
        of_store = self._of_store(store)
        most: Mapping[int, float] = {STREAM: self._settings.caller_streams}
        buckets: list[Bucket] = [of_store[READ].bucket]
        if caller.role in PERSONS:
            most = self._persons
            buckets.insert(0, Bucket(self._settings.person_calls_a_second))
        elif caller.role in UNPACED:
            most, buckets = {}, []
        return {kind: Share(kind, most.get(kind, math.inf), buckets, of_store[kind]) for kind in self._places}

    def _of_store(self, store: str) -> dict[int, StoreShare]:
        shares = self._stores.get(store)
        if shares is None:
            bucket = Bucket(self._settings.store_calls_a_second)
            shares = {kind: StoreShare(places, bucket) for kind, places in self._places.items()}
            self._stores[store] = shares
            if len(self._stores) > _REMEMBERED:
                self._stores.popitem(last=False)
        return shares


def _too_many(message: str, retry_seconds: float = 1) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_OVERLOADED, message, retry_seconds=retry_seconds)
