"""The stream hub: live updates for many open streams, ordered, unique, gapless (the promises of etcd's watch).

An update has a key (an order) and a sequence: 1, 2, 3 … Live updates come through NATS to every replica's hub as hints:
a watch that sees the next sequence passes it on, one that sees a gap, or fell behind, reads its source instead. A
message that is lost or reordered costs latency, never truth.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import NamedTuple

from commerce.common.v1.error_reason_pb2 import ErrorReason
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.runtime import logs
from services.runtime.refusals import Refusal

MAILBOX = 64
_SEQUENCE_BYTES = 8


class Update(NamedTuple):
    """One transition: its sequence, the message as bytes, and whether it is the last one there will be."""

    sequence: int
    message: bytes
    final: bool


Source = Callable[[str, int], Awaitable[list[Update]]]  # The updates of a key after a sequence, in order.
Latest = Callable[[list[str]], Awaitable[dict[str, int]]]  # The last sequence of each key.


class _Watch:
    """One open stream's mailbox: a bounded number of live updates and one future to wait on."""

    __slots__ = ("behind", "box", "waiter")

    def __init__(self) -> None:
        self.box: list[Update] = []  # A deque would hold half a kilobyte from the start.
        self.behind = False
        self.waiter: asyncio.Future[bool] | None = None

    def wake(self, news: bool = True) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(news)

    def put(self, update: Update) -> None:
        """Keep a live update; when the reader is slow, drop all of them and send it to its source."""
        if len(self.box) >= MAILBOX:
            self.box.clear()
            self.behind = True
        else:
            self.box.append(update)
        self.wake()


class Hub:
    """Hands live updates of one topic to the streams that follow its keys."""

    def __init__(
        self, topic: str, client: Client, source: Source, latest: Latest, heartbeat: float, recheck: float
    ) -> None:
        self._subject = f"live.{topic}"
        self._client, self._source, self._latest = client, source, latest
        self._heartbeat, self._recheck = heartbeat, recheck
        self._watches: dict[str, set[_Watch]] = {}
        self._at: dict[_Watch, int] = {}
        self._closed = False

    def announce(self, key: str, update: Update) -> None:
        """Tell every replica's hub. To be called after the commit; losing it costs the watchers some latency."""
        self._pass_on(key, update)
        head = update.sequence.to_bytes(_SEQUENCE_BYTES, "big") + bytes([update.final])
        asyncio.get_running_loop().create_task(self._publish(f"{self._subject}.{key}", head + update.message))

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self._client.publish(subject, data)
        except Exception as error:
            logs.log.debug("live update not sent", error=type(error).__name__)

    async def run(self) -> None:
        """Pass live updates on until cancelled, and look now and then for those that were lost."""
        subscription = await self._client.subscribe(f"{self._subject}.*", cb=self._receive)
        try:
            while True:
                await asyncio.sleep(self._recheck)
                await self._find_lost()
        finally:
            await subscription.unsubscribe()

    def close(self) -> None:
        """End every stream with UNAVAILABLE: this server is stopping, another one will serve it."""
        self._closed = True
        for watch in self._at:
            watch.wake()

    async def follow(self, key: str, after: int) -> AsyncIterator[Update | None]:
        """Yield each update of a key after a sequence, once and in order, to the final one; None is a heartbeat."""
        watch = _Watch()
        watch.behind = True  # What happened before we listened is in the source.
        self._watches.setdefault(key, set()).add(watch)
        self._at[watch] = after
        try:
            while True:
                for update in await self._next(key, watch, after):
                    after = self._at[watch] = update.sequence
                    yield update
                    if update.final:
                        return
                if not watch.box and not watch.behind and not await self._rest(watch):
                    yield None
        finally:
            del self._at[watch]
            watches = self._watches[key]
            watches.discard(watch)
            if not watches:
                del self._watches[key]

    async def _next(self, key: str, watch: _Watch, after: int) -> Iterable[Update]:
        """Return the updates that come next, from the mailbox where it has them all, else from the source."""
        if not watch.behind:
            fresh = sorted(update for update in watch.box if update.sequence > after)
            watch.box.clear()
            if all(update.sequence == after + 1 + i for i, update in enumerate(fresh)):
                return fresh
        watch.behind = False
        watch.box.clear()
        return await self._source(key, after)

    async def _rest(self, watch: _Watch) -> bool:
        """Wait for something to happen. Return False when nothing did for a heartbeat's time."""
        if self._closed:
            raise Refusal(
                ErrorReason.ERROR_REASON_UNAVAILABLE,
                "The server is stopping: open the stream again",
                retry_seconds=0.1,
            )
        loop = asyncio.get_running_loop()
        watch.waiter = loop.create_future()
        timer = loop.call_later(self._heartbeat, watch.wake, False)
        try:
            return await watch.waiter
        finally:
            timer.cancel()
            watch.waiter = None

    async def _receive(self, message: Msg) -> None:
        key = message.subject.rpartition(".")[2]
        if key in self._watches:
            data = message.data
            sequence = int.from_bytes(data[:_SEQUENCE_BYTES], "big")
            self._pass_on(key, Update(sequence, data[_SEQUENCE_BYTES + 1 :], bool(data[_SEQUENCE_BYTES])))

    def _pass_on(self, key: str, update: Update) -> None:
        for watch in self._watches.get(key, ()):
            watch.put(update)

    async def _find_lost(self) -> None:
        """Send the watches to their source whose key has moved on without a live update."""
        if not self._watches:
            return
        try:
            latest = await self._latest(list(self._watches))
        except Refusal:
            return
        for key, sequence in latest.items():
            for watch in self._watches.get(key, ()):
                if sequence > self._at[watch] and not watch.box:
                    watch.behind = True
                    watch.wake()
