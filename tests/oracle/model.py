"""What must be true of an order's goods and money, whatever was done with it. It knows nothing of how services work.

Goods are ours, set aside, sold, or back on the shelf. Money is promised, taken, gone back, or with the bank. What was
taken less what went back is the worth of what the customer keeps; where it is not, people moved it by hand, or the
order says what was not given back.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Line:
    """A line of an order: what was paid for its units, and where those are."""

    units: int
    paid: int
    sent: int = 0
    back: int = 0
    on_shelf: int = 0

    def worth(self, units: int) -> int:
        """What so many of its units cost, rounded half up; all of them cost what was paid."""
        return (2 * self.paid * units + self.units) // (2 * self.units)


@dataclass
class Expected:
    """One order as its people have it."""

    lines: dict[str, Line]
    shipping: int
    mode: str
    state: str = "PENDING"
    # What was taken and given back by hand.
    captured: int = 0
    refunded: int = 0

    @property
    def total(self) -> int:
        return sum(line.paid for line in self.lines.values()) + self.shipping

    def sent(self) -> int:
        """What was sent is worth, with the shipping when it is all."""
        whole = all(line.sent == line.units for line in self.lines.values())
        return sum(line.worth(line.sent) for line in self.lines.values()) + self.shipping * whole

    def back(self) -> int:
        """What came back is worth, with the shipping when it is all."""
        whole = all(line.back == line.units for line in self.lines.values())
        return sum(line.worth(line.back) for line in self.lines.values()) + self.shipping * whole

    def due(self) -> int:
        """What the store may have taken by now."""
        if self.state not in SOLD:
            return self.total if self.mode == "AT_ONCE" and self.state == "CONFIRMED" else self.captured
        if self.mode in ("ON_ACCEPTANCE", "AT_ONCE"):
            return self.total
        if self.mode == "MANUAL":
            return self.captured
        return min(self.total, self.captured + self.sent())


SOLD = ("ACCEPTED", "SHIPPED", "DELIVERED", "RETURNED")
HOLDING = ("PENDING", "RESERVED", "AWAITING_CUSTOMER", "PAYMENT_UNKNOWN", "CONFIRMED")
OVER = ("REJECTED", "PAYMENT_FAILED", "CANCELLED", "EXPIRED")


def shelf(expected: Expected, line: Line) -> tuple[int, int]:
    """How many units of a line are gone from the shelf, and how many are set aside."""
    gone = line.units - line.on_shelf if expected.state in SOLD else 0
    return gone, line.units if expected.state in HOLDING else 0


def money(
    expected: Expected, taken: int, gone_back: int, lost: int, not_given: int, unpaid: str
) -> Iterator[str]:
    """What is wrong with the money: taken, gone back to the customer, lost to the bank.

    `not_given` is what the order says that it could not give back, `unpaid` why it says that it is not paid for.
    """
    if expected.state in OVER:
        if taken != gone_back + lost:
            yield f"it came to nothing: {taken} was taken, {gone_back} went back, the bank has {lost}"
        return
    if taken > expected.due() or (taken < expected.due() and not unpaid):
        yield f"{taken} was taken and {expected.due()} is due"
    if gone_back + not_given != expected.refunded + expected.back():
        yield (
            f"{gone_back} went back and {not_given} did not: {expected.refunded} by hand, {expected.back()} for goods"
        )
    if not_given and expected.refunded + expected.back() <= taken - lost:
        yield f"{not_given} was not given back, though it was there"
