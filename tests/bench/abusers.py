"""Customers of one store who take what they can get, for so many seconds: `python -m tests.bench.abusers KIND …`.

Prints "ready" when they begin, and at the end how many of their calls were answered and how many refused.
"""

import asyncio
import sys
import time
from collections.abc import Callable

from commerce.catalog.v1.catalog_service_pb2 import ListProductsRequest
from commerce.order.v1.order_service_pb2 import CreateOrderLine, CreateOrderRequest

from tests import hostile
from tests.bench.replay import Connection, head
from tests.shop import new_id

AT_ONCE = {"searches": 100, "slow orders": 48, "silent orders": 8}
METHODS = {"slow orders": "pm_sandbox_slow", "silent orders": "pm_sandbox_silent_before"}
SEARCH = "commerce.catalog.v1.CatalogService/ListProducts"
ORDER = "commerce.order.v1.OrderService/CreateOrder"


async def repeat(address: str, headers: bytes, request: Callable[[], bytes], at_once: int, end: float) -> str:
    """Keep so many calls on their way, each on a connection of its own."""
    answered = refused = 0

    async def one() -> None:
        nonlocal answered, refused
        connection = await Connection.to(address)
        while time.monotonic() < end:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            replies: list[bytes | None] = []

            def answer(
                message: bytes | None,
                replies: list[bytes | None] = replies,
                done: asyncio.Future[None] = done,
            ) -> None:
                replies.append(message)
                if message is None and not done.done():
                    done.set_result(None)

            connection.call(headers, request(), answer)
            await done
            if len(replies) > 1:
                answered += 1
            else:
                refused += 1
                await asyncio.sleep(0.1)  # Far sooner than they were told.
        connection.close()

    await asyncio.gather(*(one() for _ in range(at_once)))
    return f"{answered} answered, {refused} refused"


async def abuse(kind: str, address: str, token: str, seconds: float, *ids: str) -> str:
    """Do it; what came of it."""
    end = time.monotonic() + seconds
    if kind == "searches":
        wanted = ListProductsRequest(store_id=ids[0], query="engine", page_size=100).SerializeToString()
        return await repeat(address, head(address, SEARCH, token), lambda: wanted, AT_ONCE[kind], end)
    if kind in METHODS:
        return await repeat(
            address, head(address, ORDER, token), lambda: _order(METHODS[kind], *ids), AT_ONCE[kind], end
        )
    headers = head(address, SEARCH, token)
    frames = hostile.pings(200_000) if kind == "pings" else hostile.rapid_resets(headers, 30_000)
    return f"{await hostile.flood(address, frames):,} frames sent"


def _order(method: str, store_id: str, customer_id: str, product_id: str) -> bytes:
    lines = [CreateOrderLine(product_id=product_id, quantity=1)]
    order = CreateOrderRequest(
        store_id=store_id, customer_id=customer_id, lines=lines, payment_method=method, request_id=new_id()
    )
    return order.SerializeToString()


if __name__ == "__main__":
    print("ready", flush=True)
    name, where, key, how_long, *whose = sys.argv[1:]
    print(asyncio.run(abuse(name, where, key, float(how_long), *whose)), flush=True)
