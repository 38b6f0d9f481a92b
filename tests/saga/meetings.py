"""Two things that met at one order, and whether everybody agrees on what came of it."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC
from itertools import pairwise
from typing import Any

from commerce.order.v1.order_pb2 import Order

from services.order import life
from tests.order.asks import name, order_of, timeline
from tests.order.deals import used
from tests.saga.checkouts import book, ours, stock
from tests.shop import eventually

UNITS = 10_000
SETTLE_SECONDS = 60.0
SOLD = ("SHIPPED", "ACCEPTED")


@dataclass
class Meeting:
    """One order, what the one who wanted it cancelled was told ("": nobody did), and what became of it."""

    order: Order
    told: str = ""
    steps: list[str] = field(default_factory=list)
    charges: list[dict[str, Any]] = field(default_factory=list)
    # Whether the money had been taken when the order made its last move.
    taken_before: bool = False

    @property
    def state(self) -> str:
        return str(name(self.order.state))

    def __str__(self) -> str:
        money = [{key: charge[key] for key in ("status", *MONEY)} for charge in self.charges]
        return f"{self.order.order_id} {' → '.join(self.steps)} = {self.state}; told {self.told!r}; {money}"


MONEY = (
    "authorized_minor_units",
    "captured_minor_units",
    "refunded_minor_units",
    "voided_minor_units",
)


async def agree(stage, latest, meetings, coupon):
    """Wait until everything agrees about the latest meetings, and units and coupon about all; or say what does not."""

    async def agreed():
        return not await _complaints(stage, latest, meetings, coupon)

    try:
        await eventually(agreed, SETTLE_SECONDS)
    except TimeoutError:
        raise AssertionError("\n".join(await _complaints(stage, latest, meetings, coupon))) from None


async def _complaints(stage, latest, meetings, coupon):
    shop = stage.shop
    theirs, mine, taken = await book(shop), await ours(shop), await _taken(shop)
    found = []
    for meeting, events in zip(
        latest, await asyncio.gather(*(_read(shop, each) for each in latest)), strict=True
    ):
        meeting.charges = theirs.get(meeting.order.order_id, [])
        meeting.taken_before = meeting.order.order_id in taken and (
            taken[meeting.order.order_id] < meeting.order.update_time.ToDatetime(UTC)
        )
        payment = mine.get(meeting.order.order_id)
        wrong = [*illegal(events, meeting.order), *untrue(meeting), *owed(meeting, payment)]
        found += [f"{each}: {meeting}" for each in wrong]
    states = Counter(meeting.state for meeting in meetings)
    sold, kept = sum(states[each] for each in SOLD), states["CONFIRMED"]
    units = await stock(shop, stage.product)
    if units != (UNITS - sold, kept):
        found.append(f"{units} units, but {dict(states)}")
    uses = await used(shop, coupon)
    if uses != sum(1 for each in meetings if each.state in (*SOLD, "CONFIRMED") and each.order.coupon_code):
        found.append(f"{uses} uses of the coupon, but {dict(states)}")
    return found


async def _taken(shop):
    """When the money of each order was taken."""
    rows = await shop.clients.rows(
        """SELECT order_id, settle_time FROM payment.payments p JOIN payment.operations USING (payment_id)
        WHERE p.store_id = $1 AND kind = 'capture' AND settle_time IS NOT NULL""",
        shop.store_id,
    )
    return {str(row["order_id"]): row["settle_time"] for row in rows}


async def _read(shop, meeting):
    """Bring a meeting up to date, and return the timeline of its order."""
    # The order after its timeline, which may be the shorter one then, and is read again.
    events = (await shop.orders.ListOrderEvents(timeline(meeting.order.order_id))).events
    meeting.order = await order_of(shop, meeting.order.order_id)
    meeting.steps = [event.step for event in events]
    return events


def illegal(events, order):
    """Whether a timeline has a gap, or a step that its order's life does not know."""
    if [event.sequence for event in events] != list(range(1, order.sequence + 1)):
        yield "a gap"
    if (events[0].step, events[0].state) != ("create", life.START) or events[-1].state != order.state:
        yield "another beginning or end"
    for before, after in pairwise(events):
        if life.LIFE.get((after.step, before.state)) != after.state:
            yield f"no legal step: {after.step} at {name(before.state)}"


def untrue(meeting):
    """Whether an order's end is another than whoever wanted it cancelled was told."""
    if meeting.told and meeting.told != meeting.state:
        yield "told otherwise"
    if not meeting.told and meeting.state not in ("CONFIRMED", "EXPIRED"):
        yield "not settled"


def owed(meeting, payment):
    """Whether the provider holds, or has kept, another sum than the order's state says, or than our books do."""
    authorized, captured, refunded, voided = (sum(charge[key] for charge in meeting.charges) for key in MONEY)
    total = meeting.order.total.minor_units
    if authorized > total:
        yield "charged twice"
    kept, held = captured - refunded, authorized - captured - voided
    state = meeting.state
    if (kept, held) != (total if state in SOLD else 0, total if state == "CONFIRMED" else 0):
        yield f"{kept} kept and {held} held of {total}"
    if any(charge["status"] in ("processing", "requires_action") for charge in meeting.charges):
        yield "may still be charged"
    books = (payment["captured_minor_units"], payment["refunded_minor_units"]) if payment else (0, 0)
    if books != (captured, refunded):
        yield f"our books say {books}"
