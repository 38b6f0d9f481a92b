"""Server-sent events as browsers want them (WHATWG HTML, section 9.2): read here as the standard says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from commerce.catalog.v1.stock_service_pb2 import StockUpdate
from commerce.order.v1.order_pb2 import Order, OrderLine, OrderUpdate
from google.protobuf import json_format
from google.protobuf.message import Message
from yarl import URL

from tests.gateway.backend import Context
from tests.gateway.conftest import STORE, Gateway

ID = "018f0000-0000-7000-8000-000000000009"
ORDER, STOCK, ORDERS = (
    f"/v1/orders/{ID}:watch",
    f"/v1/products/{ID}/stock:watch",
    f"/v1/stores/{STORE}/orders:watch",
)
LARGE = Order(lines=[OrderLine(product_id=ID, name=f'{number} {{"sequence":9,[}}]') for number in range(900)])


@dataclass
class Event:
    """One event as EventSource gives it to its listeners."""

    name: str
    data: Any
    last_id: str


def parsed(text: str) -> tuple[list[Event], str]:
    """The events of a stream, and the time until a reconnect that it asked for last."""
    events, last_id, retry = [], "", ""
    for block in text.split("\n\n")[:-1]:
        name, data = "", []
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id" and "\0" not in value:
                last_id = value
            elif field == "retry" and value.isdigit():
                retry = value
        if data:
            events.append(Event(name or "message", json.loads("\n".join(data)), last_id))
    return events, retry


def say(gateway: Gateway, rpc: str, messages: Sequence[Message]) -> None:
    async def stream(request: Any, context: Context) -> AsyncIterator[Message]:
        for message in messages:
            yield message

    gateway.script.streams[rpc] = stream


async def heard(http: aiohttp.ClientSession, path: str | URL, **headers: str) -> str:
    async with http.get(path, headers=headers) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream"), await reply.text()
        return (await reply.read()).decode()


def of_order(sequence: int, **given: Any) -> OrderUpdate:
    return OrderUpdate(order_id=ID, sequence=sequence, step="create", **given)


async def test_each_event_has_its_sequence_for_an_id_and_a_bookmark_has_a_name(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    said = [of_order(1, order=LARGE), of_order(2), of_order(2, bookmark=True), of_order(3)]
    say(gateway, "WatchOrder", said)

    events, retry = parsed(await heard(http, ORDER))

    assert [(event.name, event.last_id) for event in events] == [
        ("message", "1"),
        ("message", "2"),
        ("bookmark", "2"),
        ("message", "3"),
    ]
    assert [json_format.ParseDict(event.data, OrderUpdate()) for event in events] == said
    assert int(retry) >= 1000


async def test_a_stores_event_has_its_resume_token_for_an_id(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    tokens = ["AAECAwQ_-x", "b" * 500]
    say(gateway, "WatchStoreOrders", [of_order(7, resume_token=token) for token in tokens])

    events, _ = parsed(await heard(http, ORDERS))

    assert [event.last_id for event in events] == tokens


async def test_an_event_of_stock_has_its_version_for_an_id(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    say(gateway, "WatchStock", [StockUpdate(version=4), StockUpdate(version=4, bookmark=True)])

    events, _ = parsed(await heard(http, STOCK))

    assert [(event.name, event.last_id) for event in events] == [("message", "4"), ("bookmark", "4")]


HOSTILE = [
    'a "quoted" {brace} [list] \\',
    '","sequence":"99","bookmark":true,"x":"',
    "sequence",
    "\\",
    '\\"',
    "a\nb\n\nid: 66\nevent: x\n\ndata: {}",
    "data: \r\n\r\n",
    "Zoë 😀\u2028\u2029",
    "]}]}",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_text_within_an_event_makes_no_id_and_no_name(
    gateway: Gateway, http: aiohttp.ClientSession, text: str
) -> None:
    said = [
        of_order(5, reason=text, order=Order(lines=[OrderLine(name=text)])),
        of_order(6, reason=text, trace_id=text[:32], bookmark=True),
    ]
    say(gateway, "WatchOrder", said)

    events, _ = parsed(await heard(http, ORDER))

    assert [(event.name, event.last_id) for event in events] == [("message", "5"), ("bookmark", "6")]
    assert [json_format.ParseDict(event.data, OrderUpdate()) for event in events] == said


async def test_thousands_at_once_and_large_ones_between_keep_their_bounds(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    said = [of_order(number, order=LARGE if number % 500 == 0 else None) for number in range(1, 3001)]
    say(gateway, "WatchOrder", said)

    events, _ = parsed(await heard(http, ORDER))

    assert [event.last_id for event in events] == [str(number) for number in range(1, 3001)]
    assert [json_format.ParseDict(event.data, OrderUpdate()) for event in events] == said


async def test_a_stream_by_grpc_is_as_it_was(gateway: Gateway) -> None:
    import services.runtime  # noqa: F401  (before grpc)

    import grpc.aio  # isort: skip
    from commerce.order.v1.order_service_pb2 import WatchOrderRequest
    from commerce.order.v1.order_service_pb2_grpc import OrderServiceStub

    say(gateway, "WatchOrder", [of_order(1), of_order(2)])
    metadata = (("authorization", f"Bearer {gateway.keys.token()}"), ("last-event-id", "5"))
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        call = OrderServiceStub(channel).WatchOrder(WatchOrderRequest(order_id=ID), metadata=metadata)
        assert [update.sequence async for update in call] == [1, 2]
    (arrival,) = gateway.script.arrivals
    assert arrival.request.after_sequence == 0


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?afterSequence=1",
        "?after_sequence=1",
        "?after%53equence=1",
        "?afterSequence=1&afterSequence=2",
        "?",
    ],
)
async def test_a_browser_that_comes_back_goes_on_after_the_last_id(
    gateway: Gateway, http: aiohttp.ClientSession, query: str
) -> None:
    say(gateway, "WatchOrder", [of_order(4)])

    await heard(http, URL(f"{gateway.url}{ORDER}{query}", encoded=True), **{"last-event-id": "3"})

    (arrival,) = gateway.script.arrivals
    assert (arrival.request.order_id, arrival.request.after_sequence) == (ID, 3)


async def test_a_token_goes_on_as_it_is(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    token = "AAEC-_=+/&?# %41"
    say(gateway, "WatchStoreOrders", [of_order(4, resume_token="next")])

    await heard(http, f"{ORDERS}?resumeToken=old", **{"Last-Event-ID": token})

    (arrival,) = gateway.script.arrivals
    assert (arrival.request.store_id, arrival.request.resume_token) == (STORE, token)


async def test_no_id_is_no_id(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    say(gateway, "WatchOrder", [of_order(4)])

    await heard(http, f"{ORDER}?afterSequence=2", **{"last-event-id": ""})

    assert gateway.script.arrivals[0].request.after_sequence == 2


@pytest.mark.parametrize("last", ["x", "1&orderId=2", "-", "9" * 30, "3;4"])
async def test_an_id_that_is_none_of_ours_is_refused(
    gateway: Gateway, http: aiohttp.ClientSession, last: str
) -> None:
    async with http.get(ORDER, headers={"last-event-id": last}) as reply:
        assert reply.status == 400, await reply.text()
    assert gateway.script.arrivals == []


async def test_the_header_means_nothing_to_another_call(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"/v1/orders/{ID}", headers={"last-event-id": "3"}) as reply:
        assert reply.status == 200, await reply.text()


async def test_a_browser_is_told_to_stay_away_when_there_is_nothing_more(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    """A stream that ends without a word would be opened again and again; 204 ends that (section 9.2.3)."""
    say(gateway, "WatchOrder", [])

    async with http.get(ORDER, headers={"last-event-id": "4"}) as reply:
        assert (reply.status, await reply.read()) == (204, b"")
        assert "content-type" not in reply.headers
