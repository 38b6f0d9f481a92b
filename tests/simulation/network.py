"""What lies between processes: calls and messages that are delayed, lost, repeated and reordered, as the seed draws."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from services.order.clients import Unanswered
from tests.simulation.loop import PROCESS, Process, SimulatedLoop


@dataclass
class Faults:
    """How often what goes wrong, 0 to 1."""

    lost: float = 0.05
    unanswered: float = 0.05
    repeated: float = 0.05
    slow: float = 0.1

    @classmethod
    def none(cls) -> "Faults":
        """A network as one would wish it."""
        return cls(0, 0, 0, 0)


class Network:
    """Carries calls from whoever makes them to a process, and what is published to whoever listens."""

    def __init__(self, loop: SimulatedLoop, seed: random.Random) -> None:
        self._loop, self._seed = loop, seed
        self.faults = Faults()
        self._listeners: list[tuple[Process | None, Callable[[Any], Awaitable[None]]]] = []
        self.diary: list[str] = []

    def note(self, what: str) -> None:
        """Keep what happened when: two runs of one seed must tell the same."""
        self.diary.append(f"{self._loop.time():.6f} {what}")

    def chance(self, share: float) -> bool:
        """Draw."""
        return self._seed.random() < share

    async def pause(self) -> None:
        """Take as long as a message takes."""
        seconds = self._seed.expovariate(1 / 0.002)
        if self.chance(self.faults.slow):
            seconds += self._seed.uniform(0, 4)
        await asyncio.sleep(seconds)

    async def call(
        self, process: Process, what: str, work: Callable[[], Awaitable[Any]], seconds: float
    ) -> Any:
        """Have a process do something and return what it answers. Raises Unanswered; then it may have been done."""
        if self.chance(self.faults.lost) or not process.alive:
            self.note(f"{what} lost")
            await self.pause()
            raise Unanswered("UNAVAILABLE", what)
        answer: asyncio.Future[Any] = self._loop.create_future()
        for _ in range(1 + self.chance(self.faults.repeated)):
            self._loop.spawn(self._serve(what, work, answer), process)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(answer)
        except TimeoutError:
            self.note(f"{what} unanswered")
            raise Unanswered("DEADLINE_EXCEEDED", what) from None

    async def _serve(
        self, what: str, work: Callable[[], Awaitable[Any]], answer: asyncio.Future[Any]
    ) -> None:
        await self.pause()
        try:
            reply, refusal = await work(), None
        except Exception as error:
            reply, refusal = None, error
        self.note(f"{what} {'refused' if refusal else 'done'}")
        await self.pause()
        if self.chance(self.faults.unanswered) or answer.done():
            return
        if refusal is not None:
            answer.set_exception(refusal)
            answer.exception()  # Whoever asked may have gone.
        else:
            answer.set_result(reply)

    # What the stream hub knows of NATS.

    async def publish(self, subject: str, data: bytes) -> None:
        """Send to whoever listens, at most once each and in any order, or twice."""
        for process, listener in list(self._listeners):
            for _ in range(1 + self.chance(self.faults.repeated)):
                if not self.chance(self.faults.lost):
                    self._loop.spawn(self._deliver(listener, Message(subject, data)), process)

    async def subscribe(self, subject: str, cb: Callable[[Any], Awaitable[None]]) -> "Subscription":
        """Listen."""
        entry = (PROCESS.get(), cb)
        self._listeners.append(entry)
        return Subscription(lambda: self._listeners.remove(entry))

    async def _deliver(self, listener: Callable[[Any], Awaitable[None]], message: "Message") -> None:
        await self.pause()
        await listener(message)


class Outbox(list[Any]):
    """Events on record; `more` is set as some are added."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()

    def append(self, event: Any) -> None:
        """Add one."""
        self.extend([event])

    def extend(self, events: Iterable[Any]) -> None:
        """Add what a transaction has published."""
        super().extend(events)
        self.more.set()


@dataclass(frozen=True)
class Message:
    """What a listener gets."""

    subject: str
    data: bytes


@dataclass(frozen=True)
class Subscription:
    """Ends listening."""

    end: Callable[[], None]

    async def unsubscribe(self) -> None:
        """End it."""
        self.end()
