"""The store's feed, which was read over the whole story: nothing is missing, nothing came twice."""

from __future__ import annotations

import asyncio
from typing import Any

from services.cluster.demo.clients import short
from services.cluster.demo.shop import Shop
from services.cluster.demo.teller import expect

Transitions = list[tuple[int, str]]


async def compare(shop: Shop) -> None:
    """Every order's timeline, beside what the feed told of it."""
    async with shop.teller.step("The store's feed") as step:
        feed = shop.feed
        assert feed is not None
        listed = await shop.admin.rest("GET", shop.path("orders?pageSize=500"))
        order_ids = [order["orderId"] for order in listed.body["orders"]]
        expect("orders", sorted(order_ids), sorted(shop.orders))
        timelines = await asyncio.gather(*(_timeline(shop, order_id) for order_id in order_ids))
        wanted = dict(zip(order_ids, timelines, strict=True))

        async def different() -> dict[str, Any]:
            feed.check()
            told = {order_id: feed.seen[order_id] for order_id in wanted.keys() | feed.seen.keys()}
            return {each: told[each] for each in told if told[each] != wanted.get(each)}

        await step.until("what was told amiss", different, {})
        transitions = sum(map(len, timelines))
        step.says(
            f"{transitions} transitions of {len(order_ids)} orders, each once and in order by SSE;",
            f"its reader hung up {feed.hung_up} times and went on with its token",
        )


async def _timeline(shop: Shop, order_id: str) -> Transitions:
    reply = await shop.admin.rest("GET", f"/v1/orders/{order_id}/events")
    return [(int(event["sequence"]), short(event["state"])) for event in reply.body["events"]]
