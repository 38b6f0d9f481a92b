"""An open loop: so many orders a second are offered, whatever becomes of them, as a crowd does that knows no limit."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from commerce.order.v1.order_service_pb2 import CreateOrderResponse

from tests.bench.buyers import Buyers, News

PATIENCE_SECONDS = 30.0


@dataclass
class Offers:
    """What became of the orders that were offered in `seconds`, once it had gone on for a while; times in seconds."""

    seconds: float
    offered: int = 0
    confirmed: int = 0
    refused: int = 0
    waits: list[float] = field(default_factory=list)  # From when an order was due to be placed to CONFIRMED.
    told: list[float] = field(default_factory=list)  # … to being refused.
    late: list[float] = field(default_factory=list)  # How late the load itself was.

    @property
    def per_second(self) -> float:
        """Confirmed a second."""
        return self.confirmed / self.seconds


async def offer(buyers: Buyers, nats_url: str, rate: float, before: float, seconds: float) -> Offers:
    """Offer so many orders a second at random moments for `before` and `seconds`, and see each to its end.

    Raises when an order that was accepted does not come to CONFIRMED.
    """
    offers = Offers(seconds)
    begin = time.monotonic() + before
    end = begin + seconds
    over = asyncio.Event()
    open_calls = open_orders = 0
    due: dict[str, float] = {}

    def place(moment: float) -> None:
        nonlocal open_calls
        open_calls += 1
        counts = begin <= moment < end
        offers.offered += counts
        accepted = False

        def answer(message: bytes | None) -> None:
            nonlocal accepted, open_calls, open_orders
            if message:
                accepted = True
                open_orders += 1
                due[CreateOrderResponse.FromString(message).order.order_id] = moment
                return
            open_calls -= 1
            if not accepted and counts:
                offers.refused += 1
                offers.told.append(time.monotonic() - moment)
            look()

        buyers.place(answer)

    def look() -> None:
        if time.monotonic() >= end and not open_calls and not open_orders:
            over.set()

    def confirmed(order_id: str, now: float) -> None:
        nonlocal open_orders
        moment = due.pop(order_id)
        open_orders -= 1
        if begin <= now < end:
            offers.confirmed += 1
        if begin <= moment < end:
            offers.waits.append(now - moment)
        look()

    buyers.connection.patient = True
    try:
        async with News.of(nats_url, due, confirmed) as news:
            moment = begin - before
            while (moment := moment + random.expovariate(rate)) < end:
                await asyncio.sleep(max(0.0, moment - time.monotonic()))
                offers.late.append(time.monotonic() - moment)
                place(moment)
            try:
                look()
                await asyncio.wait_for(over.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                buyers.connection.check()
                raise TimeoutError(
                    f"{open_calls} calls are not answered, {open_orders} orders not confirmed"
                ) from None
        if news.others:
            raise RuntimeError(f"{news.others} orders were not confirmed")
    finally:
        buyers.connection.patient = False
    buyers.connection.check()
    return offers
