"""What a payment's news changes in what an order knows of its money, and what its timeline tells of that. Pure."""

from dataclasses import dataclass, field

from commerce.order.v1.order_pb2 import Order

from services.order import fulfilment_rules, life
from services.order.rules import Bought
from services.runtime import telemetry


@dataclass(slots=True, kw_only=True)
class News:
    """What happened to a payment, in minor units; the sums are those of the whole payment by now."""

    order_id: str
    captured: int = 0
    refunded: int = 0
    # Why what is to be sent is not paid for from here on.
    unpaid_reason: str = ""
    # Of a return: what went back for it, what did not, and why.
    request_id: str = ""
    given: int = 0
    unrefunded: int = 0
    unrefunded_reason: str = ""
    # What the timeline tells besides, and why.
    note: str = ""
    reason: str = ""
    trace: telemetry.Trace | None = field(default_factory=telemetry.current)


@dataclass(slots=True)
class Note:
    """What the timeline tells of an order's money; `unpaid_reason` is None where that stays as it is."""

    step: str
    reason: str = ""
    unpaid_reason: str | None = None


@dataclass(slots=True)
class Known:
    """An order, and what was captured of it, as far as its payment has told."""

    order: Order
    captured: int

    @property
    def is_taken(self) -> bool:
        """Whether all of its money was taken."""
        return self.captured >= self.order.total.minor_units


def learn(known: Known, news: News) -> tuple[Bought, list[Note]]:
    """Bring an order up to date. Return what it changes in what its customer buys, and what to note.

    Sums only grow: news that comes late or twice changes nothing.
    """
    order = known.order
    known.captured = max(known.captured, news.captured)
    back = max(news.refunded - order.refunded.minor_units, 0)
    order.refunded.minor_units += back
    if order.state not in life.PAID:
        return Bought(), []  # It came to nothing, and is not counted.
    return Bought(spent=-back), _notes(known, news)


def _notes(known: Known, news: News) -> list[Note]:
    order = known.order
    notes = [Note(news.note, news.reason)] if news.note else []
    if news.unpaid_reason and not known.is_taken and not order.unpaid_reason:
        notes.append(Note("uncover", news.unpaid_reason, news.unpaid_reason))
    elif news.captured and order.unpaid_reason and _is_covered(known):
        notes.append(Note("cover", "", ""))
    if news.unrefunded:
        notes.append(Note("withhold", news.unrefunded_reason))
    for note in notes:
        # The next news, which may come in the same batch, finds the order so.
        order.unpaid_reason = order.unpaid_reason if note.unpaid_reason is None else note.unpaid_reason
    return notes


def _is_covered(known: Known) -> bool:
    """Tell whether what was taken pays for all that was sent; what was promised and has ended pays for nothing more."""
    if known.is_taken:
        return True
    over = known.order.unpaid_reason in ("expired", "voided")
    return not over and known.captured >= fulfilment_rules.shipped_worth(known.order).minor_units
