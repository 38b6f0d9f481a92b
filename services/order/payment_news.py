"""What Order does on the news of payments: it learns what was really taken and given back, and tells what was not."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from commerce.order.v1.order_pb2 import Order
from commerce.payment.v1.payment_events_pb2 import (
    PaymentCaptured,
    PaymentDisputeClosed,
    PaymentDisputed,
    PaymentOperationFailed,
    PaymentRefunded,
    PaymentVoided,
)
from commerce.payment.v1.payment_pb2 import CaptureMode, DisputeStatus
from sqlalchemy import select, update

from services.order import queries, statistics
from services.order.payment_news_rules import Known, News, Note, learn
from services.order.rules import Bought
from services.order.tables import order_returns, orders
from services.order.transitions import Move, Transitions
from services.runtime.columns import BIGINTS, TEXTS, UUIDS
from services.runtime.ids import is_uuid
from services.runtime.statements import given, param, statement
from services.runtime.work import Work

ACTOR = "SERVICE payment"

_o, _r = orders.c, order_returns.c
_sums = given(("order_id", UUIDS), ("captured", BIGINTS), ("refunded", BIGINTS))
# Under the orders' locks.
MONEY_KNOWN = statement(
    update(orders)
    .where(_o.order_id == _sums.c.order_id)
    .values(
        captured_minor_units=_sums.c.captured,
        refunded_minor_units=_sums.c.refunded,
    ),
    "orders' money known",
)
CAPTURED = statement(
    select(_o.captured_minor_units).where(_o.order_id == param("order_id")), "order's captured"
)
_outcomes = given(
    ("return_id", UUIDS), ("order_id", UUIDS), ("given", BIGINTS), ("unrefunded", BIGINTS), ("reason", TEXTS)
)
RETURNS_SETTLED = statement(
    update(order_returns)
    .where(
        _r.return_id == _outcomes.c.return_id,
        _r.order_id == _outcomes.c.order_id,
        # What was given back stays so, though news of an attempt that failed comes late.
        _r.refunded_minor_units <= _outcomes.c.given,
    )
    .values(
        refunded_minor_units=_outcomes.c.given,
        unrefunded_minor_units=_outcomes.c.unrefunded,
        unrefunded_reason=_outcomes.c.reason,
    ),
    "returns settled",
)


class MoneyTold:
    """Tells orders what became of their money; those of a batch of events together."""

    def __init__(self, transitions: Transitions) -> None:
        self._transitions = transitions

    async def captured(self, event: PaymentCaptured, work: Work) -> None:
        """Note what was taken."""
        self._gather(work, event, captured=event.captured.minor_units)

    async def refunded(self, event: PaymentRefunded, work: Work) -> None:
        """Note what went back, and what of a return did not."""
        self._gather(
            work,
            event,
            refunded=event.refunded.minor_units,
            request_id=event.request_id,
            given=max(event.refund.minor_units, event.given_back.minor_units),
            unrefunded=event.unrefunded.minor_units,
            unrefunded_reason=event.unrefunded_reason,
        )

    async def failed(self, event: PaymentOperationFailed, work: Work) -> None:
        """Mark an order whose money could not be taken; tell of a return that gives nothing back."""
        if event.kind == "capture":
            self._gather(work, event, unpaid_reason=event.reason or "capture_failed")
            return
        self._gather(
            work,
            event,
            request_id=event.request_id,
            unrefunded=event.amount.minor_units if event.request_id else 0,
            unrefunded_reason=event.reason,
        )

    async def voided(self, event: PaymentVoided, work: Work) -> None:
        """Mark an order whose rest is promised no longer. Who takes by hand may have taken all that they want."""
        by_hand = event.capture_mode == CaptureMode.CAPTURE_MODE_MANUAL and event.captured.minor_units
        reason = "expired" if event.expired else "" if by_hand else "voided"
        self._gather(work, event, captured=event.captured.minor_units, unpaid_reason=reason)

    async def disputed(self, event: PaymentDisputed, work: Work) -> None:
        """Tell the store that the customer's bank holds money back."""
        self._gather(work, event, note="dispute", reason=event.dispute.reason)

    async def dispute_closed(self, event: PaymentDisputeClosed, work: Work) -> None:
        """Tell the store how it was decided."""
        won = event.dispute.status == DisputeStatus.DISPUTE_STATUS_WON
        self._gather(work, event, note="win_dispute" if won else "lose_dispute", reason=event.dispute.reason)

    def _gather(self, work: Work, event: Any, **news: Any) -> None:
        work.gather(self._learn, News(order_id=event.payment.order_id, **news))

    async def _learn(self, work: Work, gathered: list[News]) -> None:
        rows = await work.rows(queries.ORDERS_LOCKED, order_ids=[news.order_id for news in gathered])
        # Whoever asks for a payment of no order of ours is told so when that is authorized.
        captured = {str(row["order_id"]): row["captured_minor_units"] for row in rows}
        known = {each.order_id: Known(each, captured[each.order_id]) for each in queries.orders_of(rows)}
        gathered = [news for news in gathered if news.order_id in known]
        notes: dict[str, list[tuple[Note, News]]] = defaultdict(list)
        spent: list[tuple[Order, Bought]] = []
        for news in gathered:
            bought, told = learn(known[news.order_id], news)
            spent.append((known[news.order_id].order, bought))
            notes[news.order_id] += [(note, news) for note in told]
        await self._write(work, list(known.values()), gathered)
        await statistics.change(work, spent)
        await self._note(work, known, notes)

    async def _note(
        self, work: Work, known: Mapping[str, Known], notes: Mapping[str, list[tuple[Note, News]]]
    ) -> None:
        """Tell an order's notes one after the other, each as the one before has left it."""
        while firsts := {order_id: told.pop(0) for order_id, told in notes.items() if told}:
            moves = [_move(known[order_id].order, *first) for order_id, first in firsts.items()]
            await self._transitions.record(work, moves)

    async def _write(self, work: Work, known: Sequence[Known], gathered: Sequence[News]) -> None:
        if known:
            await work.rows(
                MONEY_KNOWN,
                order_id=[each.order.order_id for each in known],
                captured=[each.captured for each in known],
                refunded=[each.order.refunded.minor_units for each in known],
            )
        # Of a return, or of whoever asked by hand: those match nothing. Of several attempts the one that succeeded.
        asked = {
            news.request_id: news
            for news in sorted(gathered, key=lambda news: news.given)
            if is_uuid(news.request_id)
        }.values()
        if asked:
            await work.rows(
                RETURNS_SETTLED,
                return_id=[news.request_id for news in asked],
                order_id=[news.order_id for news in asked],
                given=[news.given for news in asked],
                unrefunded=[news.unrefunded for news in asked],
                reason=[news.unrefunded_reason for news in asked],
            )


def _move(order: Order, note: Note, news: News) -> Move:
    return Move(
        order,
        note.step,
        order.state,
        ACTOR,
        news.trace,
        reason=note.reason,
        unpaid_reason=note.unpaid_reason,
    )
