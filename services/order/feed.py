"""The feeds of stores: each transition of a store's orders once, each order's in order, without a gap, from any on.

Transactions do not end in the order in which they begin, so no number that they take says that all before it are there.
But all that began before the oldest one still running have ended: what they wrote is complete for ever. So a transition
is filed under the id of the transaction that wrote it (or its order's transition before, if that is larger), and told
once that id lies below every running transaction's: below the horizon. A message is a row read from the database, and a
reader that is slow holds nothing but its place.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import OrderUpdate
from nats.aio.msg import Msg
from sqlalchemy import BigInteger, Text, cast, exists, func, select, true, tuple_

from services.order.queries import update_of
from services.order.tables import order_events
from services.runtime import logs, times
from services.runtime.columns import ID, UUIDS
from services.runtime.database import Row
from services.runtime.pages import Seals
from services.runtime.refusals import Refusal
from services.runtime.service import Runtime
from services.runtime.statements import given, param, statement

PAGE = 500
# Rings of one store are gathered for so long.
RING_SECONDS = 0.01
# How soon to look again for what is there but not below the horizon yet; later, half as long as it has waited.
SOON_SECONDS = 0.005
_DAY_SECONDS = 86_400
_SUBJECT = "live.store_orders"
_TOKEN = struct.Struct(">Q16sQQ")  # A place and the time, in seconds.
_AFRESH = "list the store's orders, then watch without a token"


class Place(NamedTuple):
    """Where a reader stands in a feed: after this transition."""

    feed: int
    order_id: bytes
    sequence: int


def _before(feed: int) -> Place:
    """Return the place before every transition that is filed under an id."""
    return Place(feed, bytes(16), 0)


_END = _before(2**63 - 1)


_e = order_events.c
# The oldest transaction that is still running. A server that a dump was restored to counts anew: `pg_resetwal --epoch`
# takes it past where the other one was, or what is told of that one's orders waits until it has come so far (README).
_HORIZON = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
_of_store = _e.store_id == param("store_id")
_place = tuple_(_e.feed, _e.order_id, _e.sequence)
_after = tuple_(param("feed", BigInteger), param("order_id", ID), param("sequence", BigInteger))
_page = (
    select(order_events)
    .where(_of_store, _place > _after, _e.feed < _HORIZON)
    .order_by(_e.feed, _e.order_id, _e.sequence)
    .limit(PAGE)
    .subquery("page")
)
_now = select(
    _HORIZON.label("horizon"), exists().where(_of_store, _e.feed >= _HORIZON).label("waiting")
).subquery("now")
FEED = statement(
    select(_now, _page)
    .select_from(_now.outerjoin(_page, true()))
    .order_by(_page.c.feed, _page.c.order_id, _page.c.sequence),
    "store's feed",
)
_stores = given(("store_id", UUIDS), name="stores")
MOVED_SINCE = statement(
    select(
        _stores.c.store_id,
        _HORIZON.label("horizon"),
        exists()
        .where(_e.store_id == _stores.c.store_id, _e.feed >= param("since", BigInteger))
        .label("moved"),
    ),
    "stores moved",
)


class _Bell(asyncio.Event):
    """Rings once, for everybody who waits for a store's orders to move."""


class _Look(NamedTuple):
    """What there was to read after a place."""

    messages: Sequence[bytes]
    place: Place
    full: bool  # There may be more to read at once.
    waiting: bool  # There is more that is not below the horizon yet.


class Tokens:
    """Resume tokens: a place in a store's feed and the time, signed."""

    def __init__(self, seals: Seals, days: int, clock: Callable[[], float] = times.seconds_now) -> None:
        self._seals, self._days, self._clock = seals, days, clock

    def token(self, store_id: str, place: Place) -> str:
        """Return the token of what comes after a place."""
        return self._seals.seal(_bound(store_id), _TOKEN.pack(*place, int(self._clock())))

    def place(self, store_id: str, token: str) -> Place:
        """Return where a token leads. Refused with RESUME_TOKEN_INVALID or RESUME_TOKEN_EXPIRED."""
        body = self._seals.body(_bound(store_id), token)
        if body is None:
            raise no_token()
        *place, made = _TOKEN.unpack(body)
        if made < self._clock() - self._days * _DAY_SECONDS:
            raise Refusal(
                ErrorReason.ERROR_REASON_RESUME_TOKEN_EXPIRED,
                f"The resume token is older than {self._days} days: {_AFRESH}",
                days=self._days,
            )
        return Place(*place)


def _bound(store_id: str) -> bytes:
    return f"{OrderUpdate.DESCRIPTOR.full_name} {store_id}".encode()


def no_token() -> Refusal:
    """Refuse a token that is not one of ours."""
    message = f"is not one of ours for this store: {_AFRESH}"
    return Refusal(
        ErrorReason.ERROR_REASON_RESUME_TOKEN_INVALID,
        f"resume_token: {message}",
        violations=[("resume_token", message)],
    )


class Feeds:
    """Follows stores' feeds, each for many readers, and tells all replicas when a store's orders have moved."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self._database, self._client = runtime.database, runtime.client
        self._tokens = Tokens(runtime.pages, settings.retention_days)
        self._heartbeat, self._recheck = settings.heartbeat_seconds, settings.recheck_seconds
        self._bells: WeakValueDictionary[str, _Bell] = WeakValueDictionary()
        self._looks: dict[tuple[_Bell, Place], asyncio.Task[_Look]] = {}
        self._ringing: set[str] = set()
        self._closed = False

    def ring(self, store_id: str) -> None:
        """Tell every replica that a store's orders have moved, after the commit. Losing it costs latency only."""
        if store_id not in self._ringing:
            self._ringing.add(store_id)
            loop = asyncio.get_running_loop()
            loop.call_later(RING_SECONDS, lambda: loop.create_task(self._publish(store_id)))

    async def _publish(self, store_id: str) -> None:
        self._ringing.discard(store_id)
        self._wake(store_id)
        try:
            await self._client.publish(f"{_SUBJECT}.{store_id}")
        except Exception as error:
            logs.log.debug("ring not sent", error=type(error).__name__)

    async def run(self) -> None:
        """Pass rings on until cancelled, and look now and then for those that were lost."""
        subscription = await self._client.subscribe(f"{_SUBJECT}.*", cb=self._receive)
        since = 0
        try:
            while True:
                await asyncio.sleep(self._recheck)
                since = await self._find_lost(since)
        finally:
            await subscription.unsubscribe()

    def close(self) -> None:
        """End every stream with UNAVAILABLE: this server is stopping, another one will serve it."""
        self._closed = True
        for store_id in list(self._bells):
            self._wake(store_id)

    async def follow(self, store_id: str, resume_token: str) -> AsyncIterator[bytes]:
        """Yield the transitions of a store's orders after a token, or from now on, and bookmarks while it is quiet.

        The first one without a token is a bookmark. Refused with RESUME_TOKEN_INVALID or RESUME_TOKEN_EXPIRED.
        """
        place = self._tokens.place(store_id, resume_token) if resume_token else _END
        clock = asyncio.get_running_loop().time
        beat = clock() + self._heartbeat if resume_token else 0.0
        since = clock()
        while not self._closed:
            bell = self._bell(store_id)
            messages, place, full, waiting = await self._look(bell, store_id, place)
            for message in messages:
                yield message
            if messages or not waiting:
                since = clock()
            if messages:
                beat = clock() + self._heartbeat
            elif clock() >= beat:
                yield self._message(store_id, place, OrderUpdate(bookmark=True))
                beat = clock() + self._heartbeat
            del messages  # A quiet stream holds its place only.
            if full:
                continue
            soon = max(SOON_SECONDS, (clock() - since) / 2) if waiting else self._heartbeat
            await _rung(bell, min(soon, beat - clock()))
        raise Refusal(
            ErrorReason.ERROR_REASON_UNAVAILABLE,
            "The server is stopping: open the stream again",
            retry_seconds=0.1,
        )

    async def _look(self, bell: _Bell, store_id: str, place: Place) -> _Look:
        """Read on from a place. Readers at one place share a look, unless the bell has rung since it began."""
        look = self._looks.get((bell, place))
        if look is None:
            look = self._looks[bell, place] = asyncio.create_task(self._read(store_id, place))
            look.add_done_callback(lambda done: self._looked(bell, place, done))
        return await asyncio.shield(look)

    def _looked(self, bell: _Bell, place: Place, look: asyncio.Task[_Look]) -> None:
        del self._looks[bell, place]
        if not look.cancelled():
            look.exception()  # Its readers may have gone.

    async def _read(self, store_id: str, place: Place) -> _Look:
        rows = await self._database.rows(
            FEED,
            store_id=store_id,
            feed=place.feed,
            order_id=UUID(bytes=place.order_id),
            sequence=place.sequence,
        )
        horizon, waiting = rows[0]["horizon"], rows[0]["waiting"]
        if horizon < place.feed and place != _END:
            raise no_token()  # From a database that was ahead of this one.
        found = rows if rows[0]["order_id"] else []
        messages = [self._message(store_id, _place_of(row), update_of(row)) for row in found]
        full = len(found) == PAGE
        return _Look(messages, _place_of(rows[-1]) if full else _before(horizon), full, waiting)

    def _message(self, store_id: str, place: Place, update: OrderUpdate) -> bytes:
        update.resume_token = self._tokens.token(store_id, place)
        return update.SerializeToString()

    def _bell(self, store_id: str) -> _Bell:
        bell = self._bells.get(store_id)
        if bell is None:
            bell = self._bells[store_id] = _Bell()
        return bell

    def _wake(self, store_id: str) -> None:
        bell = self._bells.pop(store_id, None)
        if bell is not None:
            bell.set()

    async def _receive(self, message: Msg) -> None:
        self._wake(message.subject.rpartition(".")[2])

    async def _find_lost(self, since: int) -> int:
        """Wake the readers of stores whose orders have moved since a horizon, and return the present one."""
        stores = list(self._bells)
        if not stores:
            return since
        try:
            rows = await self._database.rows(MOVED_SINCE, store_id=stores, since=since)
        except Refusal:
            return since
        for row in rows:
            if row["moved"]:
                self._wake(str(row["store_id"]))
        return int(rows[0]["horizon"])


def _place_of(row: Row) -> Place:
    return Place(row["feed"], row["order_id"].bytes, row["sequence"])


async def _rung(bell: _Bell, seconds: float) -> None:
    """Wait for a ring, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bell.wait()
