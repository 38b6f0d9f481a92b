"""What the driver holds: the orders in its hand, and those of them that wait for somebody to be asked."""

from collections import Counter, deque
from collections.abc import Iterator

from services.order.driving_rules import Driven


class Hand:
    """The orders that a process drives, and how many of them are whose."""

    def __init__(self) -> None:
        self._orders: dict[str, Driven] = {}
        self.of_store: Counter[str] = Counter()
        self.of_customer: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Driven]:
        return iter(tuple(self._orders.values()))

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._orders

    def holds(self, driven: Driven) -> bool:
        """Tell whether this very order is in hand: it may have been let go, and taken again since."""
        return self._orders.get(driven.order.order_id) is driven

    def take(self, driven: Driven) -> None:
        """Take an order that is not in hand."""
        self._orders[driven.order.order_id] = driven
        self.of_store[driven.order.store_id] += 1
        self.of_customer[driven.order.customer_id] += 1

    def drop(self, driven: Driven) -> None:
        """Let an order go, if it is in hand."""
        if not self.holds(driven):
            return
        del self._orders[driven.order.order_id]
        for count, key in (
            (self.of_store, driven.order.store_id),
            (self.of_customer, driven.order.customer_id),
        ):
            count[key] -= 1
            if not count[key]:
                del count[key]


class Queue:
    """Orders that wait: the stores are served by turns, each one's orders as they came."""

    def __init__(self) -> None:
        self._of_store: dict[str, deque[Driven]] = {}

    def __bool__(self) -> bool:
        return bool(self._of_store)

    def append(self, driven: Driven) -> None:
        """Have an order wait behind its store's others."""
        self._of_store.setdefault(driven.order.store_id, deque()).append(driven)

    def remove(self, driven: Driven) -> None:
        """Take out an order that waits."""
        store = driven.order.store_id
        waiting = self._of_store[store]
        waiting.remove(driven)
        if not waiting:
            del self._of_store[store]

    def take(self, most: int) -> list[Driven]:
        """Take out up to so many orders, one of each store after the other."""
        taken: list[Driven] = []
        while self._of_store and len(taken) < most:
            store = next(iter(self._of_store))
            waiting = self._of_store.pop(store)
            taken.append(waiting.popleft())
            if waiting:
                self._of_store[store] = waiting
        return taken

    def since(self, store_id: str) -> float:
        """Return since when the store's first order waits, by the loop's clock."""
        waiting = self._of_store.get(store_id)
        return waiting[0].since if waiting else float("inf")
