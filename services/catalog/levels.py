"""How many units of a product there are, what happens to them, and what that leaves in the books. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from commerce.catalog.v1.catalog_pb2 import StockChangeKind
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.refusals import Refusal, invalid

Kind: TypeAlias = StockChangeKind.ValueType
COUNTED = StockChangeKind.STOCK_CHANGE_KIND_COUNTED
ADJUSTED = StockChangeKind.STOCK_CHANGE_KIND_ADJUSTED
SOLD = StockChangeKind.STOCK_CHANGE_KIND_SOLD
RELEASED = StockChangeKind.STOCK_CHANGE_KIND_RELEASED
RETURNED = StockChangeKind.STOCK_CHANGE_KIND_RETURNED
IMPORTED = StockChangeKind.STOCK_CHANGE_KIND_IMPORTED

MOST_ON_HAND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Stock:
    """How many units of a product there are, and below how many available ones the store wants to know."""

    product_id: str
    store_id: str
    on_hand: int
    reserved: int
    version: int = 0
    sku: str = ""
    low_stock_threshold: int = 0

    @property
    def available(self) -> int:
        """Units that are free to be sold."""
        return self.on_hand - self.reserved

    @property
    def is_low(self) -> bool:
        """Whether fewer units than the threshold are available."""
        return self.available < self.low_stock_threshold

    def shown(self) -> dict[str, Any]:
        """Return the fields of every reply that tells of stock."""
        return {
            "product_id": self.product_id,
            "on_hand": self.on_hand,
            "reserved": self.reserved,
            "available": self.available,
        }


class Change(NamedTuple):
    """Units that came, or went when the delta is negative, and why."""

    kind: Kind
    delta: int
    reason: str


@dataclass(slots=True)
class Move:
    """What is to happen to a product's units: how many more are reserved, and which come or go, in turn."""

    reserved: int = 0
    changes: list[Change] = field(default_factory=list)

    @property
    def on_hand(self) -> int:
        """How many more there will be."""
        return sum(change.delta for change in self.changes)


@dataclass(frozen=True, slots=True)
class Movement:
    """A product's stock before and after a move."""

    before: Stock
    after: Stock
    move: Move

    @property
    def runs_low(self) -> bool:
        """Whether fewer units than the threshold are available now, and were not before."""
        return self.after.is_low and not self.before.is_low


def moved(stock: Stock, move: Move) -> Movement:
    """Return what a move makes of the stock."""
    after = replace(
        stock,
        on_hand=stock.on_hand + move.on_hand,
        reserved=stock.reserved + move.reserved,
        version=stock.version + 1,
    )
    return Movement(stock, after, move)


def counted(stock: Stock, on_hand: int, kind: Kind, reason: str) -> Movement:
    """Return what makes it so many units on hand. Refused with STOCK_INSUFFICIENT when more are reserved."""
    if on_hand < stock.reserved:
        raise Refusal(
            ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT,
            f"{stock.reserved} units are reserved and only {stock.available} are free",
            product_id=stock.product_id,
            available=stock.available,
        )
    if on_hand > MOST_ON_HAND:
        raise invalid("delta", f"makes more than {MOST_ON_HAND} units on hand")
    return moved(stock, Move(changes=[Change(kind, on_hand - stock.on_hand, reason)]))


def history(movements: Iterable[Movement]) -> Iterable[tuple[Stock, Change, int]]:
    """Yield each change with the stock that it is of and what was on hand after it."""
    for movement in movements:
        on_hand = movement.before.on_hand
        for change in movement.move.changes:
            on_hand += change.delta
            yield movement.before, change, on_hand
