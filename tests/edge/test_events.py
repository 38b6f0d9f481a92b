"""A browser's EventSource on each watch: what it missed is told once when it comes back; bookmarks are no messages."""

import asyncio
import json

import pytest
from commerce.catalog.v1.stock_service_pb2 import SetStockRequest
from commerce.order.v1.order_service_pb2 import CancelOrderRequest

from tests.shop import WAIT_SECONDS, new_id


class Source:
    """An EventSource of one URL, as the standard has it: it keeps the last id, and comes back when asked to."""

    def __init__(self, shop, path):
        self._shop, self._path = shop, path
        self.last_id = ""

    async def until(self, enough):
        """Open the URL, and return the events up to the first that is enough; None where it is told to stay away."""
        headers = {"authorization": f"Bearer {self._shop.token}", "accept": "text/event-stream"}
        headers |= {"last-event-id": self.last_id} if self.last_id else {}
        events = []
        async with (
            asyncio.timeout(WAIT_SECONDS),
            self._shop.clients.http.get(self._path, headers=headers) as answer,
        ):
            if answer.status == 204:
                return None
            assert answer.status == 200, await answer.text()
            async for event in self._read(answer.content):
                events.append(event)
                if enough(*event):
                    break
        return events

    async def _read(self, lines):
        fields = {}
        async for line in lines:
            text = line.decode().removesuffix("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                yield fields.get("event", "message"), json.loads(fields["data"])
                fields = {}


def messages(events):
    return [said for name, said in events if name == "message"]


def is_message(name, _):
    return name == "message"


async def cancel(shop, order_id):
    request = CancelOrderRequest(order_id=order_id, reason="changed my mind", request_id=new_id())
    await shop.orders.CancelOrder(request)


async def test_an_order_goes_on_where_the_browser_was(shop):
    order_id = await shop.order(until="CONFIRMED")
    source = Source(shop, f"/v1/orders/{order_id}:watch")
    (snapshot,) = messages(await source.until(is_message))
    assert source.last_id == snapshot["sequence"] == "3"

    await cancel(shop, order_id)

    told = messages(await source.until(lambda _, said: said["state"] == "ORDER_STATE_CANCELLED"))
    assert [said["sequence"] for said in told] == ["4"]
    assert await source.until(is_message) is None, "an order that has ended is not asked for again and again"


@pytest.mark.parametrize("start", ["", "?resumeToken="])
async def test_a_stores_orders_go_on_where_the_browser_was(shop, start):
    source = Source(shop, f"/v1/stores/{shop.store_id}/orders:watch{start}")
    ((name, first),) = await source.until(lambda *_: True)
    assert (name, source.last_id) == ("bookmark", first["resumeToken"])

    order_id = await shop.order(until="CONFIRMED")

    def is_confirmed(_, said):
        return said["state"] == "ORDER_STATE_CONFIRMED"

    told = messages(await source.until(is_confirmed))
    assert [(said["orderId"], said["sequence"]) for said in told] == [(order_id, each) for each in "123"]
    await cancel(shop, order_id)
    (last,) = messages(await source.until(is_message))
    assert last["sequence"] == "4"


async def test_stock_that_did_not_change_meanwhile_is_not_told_again(shop):
    product_id = await shop.product(stock=5)
    source = Source(shop, f"/v1/products/{product_id}/stock:watch")
    (first,) = messages(await source.until(is_message))
    assert (first["onHand"], source.last_id) == (5, first["version"])
    back = asyncio.create_task(source.until(is_message))
    await asyncio.sleep(0.5)
    assert not back.done()

    await shop.stock.SetStock(SetStockRequest(product_id=product_id, quantity=8, request_id=new_id()))

    assert [said["onHand"] for said in messages(await back)] == [8]


async def test_stock_that_changed_meanwhile_is_told_as_it_is(shop):
    product_id = await shop.product(stock=5)
    source = Source(shop, f"/v1/products/{product_id}/stock:watch")
    await source.until(is_message)
    for quantity in (6, 7):
        await shop.stock.SetStock(
            SetStockRequest(product_id=product_id, quantity=quantity, request_id=new_id())
        )

    (told,) = messages(await source.until(is_message))

    assert told["onHand"] == 7
