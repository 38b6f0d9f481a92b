"""What Order does on others' events: it keeps its copy of the products, and moves on news of payments and stock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated, ReservationExpired
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import Order
from commerce.payment.v1.payment_events_pb2 import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDisputeClosed,
    PaymentDisputed,
    PaymentExpired,
    PaymentFailed,
    PaymentOperationFailed,
    PaymentReference,
    PaymentRefunded,
    PaymentVoided,
)
from google.protobuf.message import Message

from services.order import baskets, driving_rules, life, queries
from services.order.payment_news import MoneyTold
from services.order.transitions import Move, Transitions
from services.runtime import telemetry, times
from services.runtime.refusals import Refusal
from services.runtime.work import Reaction, Work


@dataclass(slots=True)
class News:
    """Something that happened to an order elsewhere: the step that it takes, why, and in which trace."""

    order_id: str
    actor: str
    # Tells the step, an empty one for none, and the reason.
    step: Callable[[Order, datetime], tuple[str, str]]
    # What the driver may have done before it came: then it is late, for good.
    asked: str = ""
    payment_id: str = ""
    payment_expire_time: datetime | None = None
    trace: telemetry.Trace | None = field(default_factory=telemetry.current)


async def on_product(event: ProductCreated | ProductUpdated, work: Work) -> None:
    """Keep the product as it is now; an older version than ours changes nothing."""
    await work.rows(baskets.PRODUCT_KNOWN, **baskets.copy_of(event.product))


class Moves:
    """Moves orders whose payments were decided or whose reservations are gone; those of a batch of events together."""

    def __init__(self, transitions: Transitions) -> None:
        self._transitions = transitions

    async def authorized(self, event: PaymentAuthorized, work: Work) -> None:
        """Confirm an order whose payment was in doubt or up to its customer, if its time is not over."""
        expires = event.expire_time.ToDatetime(UTC) if event.HasField("expire_time") else None
        self._gather(event.payment, work, "authorize", expires=expires)

    async def failed(self, event: PaymentFailed, work: Work) -> None:
        """Fail an order whose payment was in doubt or up to its customer."""
        self._gather(event.payment, work, "decline", event.decline_code)

    async def expired(self, event: PaymentExpired, work: Work) -> None:
        """Fail an order that waits to be paid for; call off one whose money was still to be taken.

        One of which something was sent is marked, and told to its store: goods went out, and no money comes.
        """

        def decided(order: Order, _: datetime) -> tuple[str, str]:
            if order.state in life.SENT:
                return ("", "") if order.unpaid_reason else ("uncover", "expired")
            return driving_rules.lapsed(order.state), driving_rules.LAPSED

        payment = event.payment
        news = News(
            payment.order_id, "SERVICE payment", decided, asked="decline", payment_id=payment.payment_id
        )
        work.gather(self._move_all, news)

    async def unreserved(self, event: ReservationExpired, work: Work) -> None:
        """Let an order expire that is not paid for; call off one that is, for there is nothing to send."""
        news = News(event.order_id, "SERVICE catalog", lambda order, _: driving_rules.unreserved(order.state))
        work.gather(self._move_all, news)

    def _gather(
        self,
        payment: PaymentReference,
        work: Work,
        step: str,
        reason: str = "",
        expires: datetime | None = None,
    ) -> None:
        def decided(order: Order, now: datetime) -> tuple[str, str]:
            if driving_rules.outlived(order, payment.payment_id):
                return "", ""
            taken = driving_rules.news(step, order, now)
            return taken, reason if taken == step else driving_rules.OVERDUE

        news = News(
            payment.order_id,
            "SERVICE payment",
            decided,
            asked=step,
            payment_id=payment.payment_id,
            payment_expire_time=expires,
        )
        work.gather(self._move_all, news)

    async def _move_all(self, work: Work, gathered: list[News]) -> None:
        # Almost all of it comes late: a look, before any order is locked and read with all that belongs to it.
        rows = await work.rows(queries.STATES, order_ids=[news.order_id for news in gathered])
        states = {str(row["order_id"]): row["state"] for row in rows}
        gathered = [news for news in gathered if (news.asked, states.get(news.order_id)) not in life.LATE]
        if gathered:
            await self._move_locked(work, gathered)

    async def _move_locked(self, work: Work, gathered: list[News]) -> None:
        rows = await work.rows(queries.ORDERS_LOCKED, order_ids=[news.order_id for news in gathered])
        found = {order.order_id: order for order in queries.orders_of(rows)}
        now = times.now()
        while gathered:
            # An order's news one after the other, each as the one before has left it.
            firsts = {news.order_id: news for news in reversed(gathered)}
            moves = [_move(news, found.get(news.order_id), now) for news in firsts.values()]
            if taken := [move for move in moves if move is not None]:
                await self._transitions.record(work, taken)
            gathered = [news for news in gathered if firsts[news.order_id] is not news]


def _move(news: News, order: Order | None, now: datetime) -> Move | None:
    if order is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_NOT_FOUND,
            "Something happened to an order that does not exist",
            order_id=news.order_id,
        )
    step, reason = news.step(order, now)
    if step in life.NOTES:
        return Move(order, step, order.state, news.actor, news.trace, reason=reason, unpaid_reason=reason)
    state = life.step(step, order.state) if step else None
    if state is None:
        return None
    return Move(
        order,
        step,
        state,
        news.actor,
        news.trace,
        reason=reason,
        payment_id=news.payment_id,
        payment_expire_time=news.payment_expire_time if step == "authorize" else None,
    )


def reactions(transitions: Transitions) -> Mapping[type[Message], Reaction]:
    """The table of reactions."""
    moves, money = Moves(transitions), MoneyTold(transitions)
    return {
        ProductCreated: on_product,
        ProductUpdated: on_product,
        PaymentAuthorized: moves.authorized,
        PaymentFailed: moves.failed,
        PaymentExpired: moves.expired,
        ReservationExpired: moves.unreserved,
        PaymentCaptured: money.captured,
        PaymentRefunded: money.refunded,
        PaymentOperationFailed: money.failed,
        PaymentVoided: money.voided,
        PaymentDisputed: money.disputed,
        PaymentDisputeClosed: money.dispute_closed,
    }
