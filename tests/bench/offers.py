"""An open loop: so many orders a second are offered, whatever becomes of them, as a crowd does that knows no limit."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from commerce.order.v1.order_pb2 import OrderState
from commerce.order.v1.order_service_pb2 import CreateOrderResponse

from tests.bench.buyers import Buyers, News

PATIENCE_SECONDS = 30.0


@dataclass
class Offers:
    """What became of the orders that were offered in `seconds`, once it had gone on for a while; times in seconds."""

    seconds: float
    offered: int = 0
    confirmed: int = 0
    others: int = 0
    waits: list[float] = field(default_factory=list)  # From when an order was due to be placed to CONFIRMED.
    told: list[float] = field(default_factory=list)  # … to being refused.
    late: list[float] = field(default_factory=list)  # How late the load itself was.

    @property
    def per_second(self) -> float:
        """Confirmed a second."""
        return self.confirmed / self.seconds


class _Crowd:
    """Places orders, each with the moment at which it was due, and counts what becomes of those that count."""

    def __init__(self, buyers: Buyers, offers: Offers, begin: float) -> None:
        self._buyers, self._offers = buyers, offers
        self._begin, self._end = begin, begin + offers.seconds
        self._due: dict[str, float] = {}
        self.open = 0
        self.over = asyncio.Event()

    def place(self, moment: float, news: News) -> None:
        """Place an order that was due at a moment."""
        self.open += 1
        self._offers.offered += self._counts(moment)
        accepted = False

        def answer(message: bytes | None) -> None:
            nonlocal accepted
            if message:
                accepted = True
                order_id = CreateOrderResponse.FromString(message).order.order_id
                self._due[order_id] = moment
                news.expect(order_id)
            elif not accepted:
                self._refused(moment)

        self._buyers.place(answer)

    def ended(self, order_id: str, state: OrderState.ValueType) -> None:
        """Count an order that has ended."""
        now, moment = time.monotonic(), self._due.pop(order_id)
        if state != OrderState.ORDER_STATE_CONFIRMED:
            self._offers.others += 1
        elif self._counts(now):
            self._offers.confirmed += 1
        if self._counts(moment):
            self._offers.waits.append(now - moment)
        self._done()

    def _refused(self, moment: float) -> None:
        if self._counts(moment):
            self._offers.told.append(time.monotonic() - moment)
        self._done()

    def _counts(self, moment: float) -> bool:
        return self._begin <= moment < self._end

    def _done(self) -> None:
        self.open -= 1
        if not self.open:
            self.over.set()


async def offer(buyers: Buyers, nats_url: str, rate: float, before: float, seconds: float) -> Offers:
    """Offer so many orders a second at random moments for `before` and `seconds`; see each of them to its end.

    Raises TimeoutError when an order that was accepted does not end.
    """
    offers = Offers(seconds)
    moment = time.monotonic()
    end = moment + before + seconds
    crowd = _Crowd(buyers, offers, moment + before)
    buyers.connection.patient = True
    async with News(nats_url, crowd.ended) as news:
        while (moment := moment + random.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            offers.late.append(time.monotonic() - moment)
            crowd.place(moment, news)
        crowd.over.clear()
        if crowd.open:
            await asyncio.wait_for(crowd.over.wait(), PATIENCE_SECONDS)
    buyers.connection.patient = False
    buyers.connection.check()
    return offers
