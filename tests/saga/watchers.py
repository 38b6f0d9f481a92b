"""Clients that watch and write down what they are told: steady ones, slow ones, and ones that keep coming back."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import OrderUpdate

from tests.order.histories import Session
from tests.saga.checkouts import BROKEN
from tests.shop import Shop


@dataclass
class Watcher:
    """One client. It goes to one replica after the other, each time with where it stood."""

    shops: Sequence[Shop]
    order_id: str = ""
    # How long it stays with one stream at most, and how often, and for how long, it looks away.
    stays_seconds: float = 3600.0
    pause_every: int = 0
    pause_seconds: float = 0.0
    after: Any = 0
    history: list[Session] = field(default_factory=list)
    count: int = 0  # Transitions that it was told.
    last: OrderUpdate | None = None

    @property
    def told(self) -> list[OrderUpdate]:
        return [update for session in self.history for update in session.told]

    async def watch(self, until: Callable[["Watcher"], bool]) -> "Watcher":
        """Watch until it has seen enough."""
        shops = itertools.cycle(self.shops)
        while not until(self):
            try:
                async with asyncio.timeout(self.stays_seconds):
                    await self._stay(next(shops), until)
            except TimeoutError:
                continue
            except grpc.aio.AioRpcError as error:
                assert error.code() in BROKEN, (error.code(), error.details())
                await asyncio.sleep(0.05)
        return self

    async def _stay(self, shop: Shop, until: Callable[["Watcher"], bool]) -> None:
        session = Session(self.after)
        self.history.append(session)
        stream = self._open(shop)
        try:
            async for update in stream:
                session.told.append(update)
                self.last = update
                self.after = update.sequence if self.order_id else update.resume_token
                self.count += not update.bookmark
                if until(self):
                    return
                if self.pause_every and len(session.told) % self.pause_every == 0:
                    await asyncio.sleep(self.pause_seconds)
        finally:
            stream.cancel()

    def _open(self, shop: Shop) -> Any:
        if self.order_id:
            return shop.orders.WatchOrder(
                rpc.WatchOrderRequest(order_id=self.order_id, after_sequence=self.after)
            )
        return shop.orders.WatchStoreOrders(
            rpc.WatchStoreOrdersRequest(store_id=shop.store_id, resume_token=self.after)
        )
