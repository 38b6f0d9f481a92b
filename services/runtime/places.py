"""Places that stores share, so that one which takes many leaves some to the others.

A store may have GREED times as many places as are free (dynamic thresholds, Choudhury and Hahne 1998): alone it has
three quarters, two have three sevenths each, and whoever comes next finds some. Its first few places are its own,
whatever others have: there it is never refused because of them. Both are one comparison, and nothing has to be known
of the stores that are not there.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

GREED = 3
# More would let many stores together have far more than all places.
MOST_OWN = 64


class Places:
    """So many places of one kind, and how many of them are taken."""

    __slots__ = ("most", "own", "taken")

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0
        self.own = max(1, min(MOST_OWN, most // 16))

    def has_room(self, held: int) -> bool:
        """Tell whether a store that holds so many may have one more."""
        return held < self.own or held < GREED * (self.most - self.taken)

    def is_free_for(self, held: int) -> bool:
        """Tell the same where a store may be made to wait, and more than all places must never be taken."""
        return held < GREED * (self.most - self.taken)


class Turns:
    """Places that are waited for: the stores that wait are let in by turns, each one's own in the order they came."""

    def __init__(self, most: int) -> None:
        self._places = Places(most)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, store: str) -> AsyncIterator[None]:
        """Wait for a place of the store's, and hold it for the block."""
        if store in self._waiting or not self._places.is_free_for(self._held[store]):
            await self._wait(store)
        else:
            self._take(store)
        try:
            yield
        finally:
            self._give_back(store)

    def _take(self, store: str) -> None:
        self._held[store] += 1
        self._places.taken += 1

    def _give_back(self, store: str) -> None:
        self._held[store] -= 1
        if not self._held[store]:
            del self._held[store]
        self._places.taken -= 1
        self._let_in()

    async def _wait(self, store: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(store, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(store)  # It was our turn: the next one's now.
            raise

    def _let_in(self) -> None:
        """Let in whoever has room now, a store after the other; one that was let in goes behind those that wait."""
        let_in = True
        while let_in:
            let_in = False
            for store, waiting in list(self._waiting.items()):
                while waiting and waiting[0].done():
                    waiting.popleft()
                has_turn = bool(waiting) and self._places.is_free_for(self._held[store])
                if has_turn or not waiting:
                    del self._waiting[store]
                if has_turn:
                    let_in = True
                    self._take(store)
                    waiting.popleft().set_result(None)
                    if waiting:
                        self._waiting[store] = waiting
