"""Whatever is sent, as any RPC, by gRPC or by REST: a reply, or a refusal that can be read. Never a fault of ours.

Requests are odd all over, or valid but for one thing, which gets further. No connection is torn, no log line
tells of an error, and what was refused left nothing behind.
"""

import asyncio
import json
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

import grpc
import pytest
from commerce.catalog.v1.stock_service_pb2 import SetStockRequest
from commerce.payment.v1.ledger_service_pb2 import GetTrialBalanceRequest, VerifyLedgerRequest
from google.protobuf import json_format
from yarl import URL

from services.runtime.settings import Settings
from tests.edge.answers import of_grpc, of_rest
from tests.edge.contract import request_id, rpcs
from tests.edge.odd import JSON, odd, spoiled, spoiled_json
from tests.shop import WAIT_SECONDS, Shop

# For each RPC, by gRPC and by REST: about 2,400 in all.
EACH = 15
AT_ONCE = 4
FIRST_REPLY_SECONDS = 1
OURS = ("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED")
LARGEST = Settings.model_fields["message_bytes"].default - 1024
RPCS = {f"{rpc.method.containing_service.name}.{rpc.name}": rpc for rpc in rpcs()}


@dataclass
class Store:
    """A store that has one of each thing, so that requests find something."""

    shop: Shop
    ids: dict[str, str]


@pytest.fixture(scope="module")
async def store(clients):
    shop = Shop(clients)
    customer, product = await shop.customer(), await shop.product(stock=1000)
    order = await shop.order([(product, 1)], customer=customer, until="CONFIRMED")
    placed = (await shop.rest("GET", f"/v1/orders/{order}")).body["order"]
    category = await shop.rest(
        "POST", f"/v1/stores/{shop.store_id}/categories", {"name": "Lamps", "requestId": request_id()}
    )
    return Store(
        shop,
        {
            "store_id": shop.store_id,
            "customer_id": customer,
            "product_id": product,
            "order_id": order,
            "payment_id": placed["paymentId"],
            "category_id": category.body["category"]["categoryId"],
        },
    )


@pytest.fixture(scope="module")
async def watch(store):
    """A neighbour's watches through the gateway, which must not notice anything."""
    neighbour = Shop(store.shop.clients)
    product = await neighbour.product()
    url = f"/v1/products/{product}/stock:watch"
    async with neighbour.clients.http.get(
        url, headers={"authorization": f"Bearer {neighbour.token}"}
    ) as told:
        await told.content.readany()
        yield neighbour, product, told


def requests(rpc, store, seed):
    """Odd requests for an RPC; `given` makes the valid part of one that is valid but for one thing."""
    chance = Random(f"{rpc.path} {seed}")
    for number in range(EACH):
        given = {**store.ids, "request_id": request_id()}
        request = rpc.request(**given)
        # What only services ask for is never refused for naming what does not exist: it must not be near to valid.
        all_over = number % 3 == 0 or rpc.allow == {"SERVICE"}
        request = odd(type(request)(), chance) if all_over else spoiled(request, chance)
        if request.ByteSize() < LARGEST:
            yield request, chance


def caller(rpc, store, number):
    """Somebody who may call it."""
    roles = sorted(rpc.allow - {"COURIER", "MERCHANT_OWNER"})
    if rpc.public or not roles:
        return store.shop
    role = roles[number % len(roles)]
    return store.shop.as_(role.lower(), store.ids["customer_id"] if role == "CUSTOMER" else None)


@pytest.mark.parametrize("name", RPCS)
async def test_by_grpc_is_answered(store, name):
    rpc, refused = RPCS[name], []

    async def send(number, request):
        try:
            await call(caller(rpc, store, number), rpc, request.SerializeToString())
        except grpc.aio.AioRpcError as error:
            check(error, request)
            refused.append(getattr(request, "request_id", ""))

    await all_of(send, [(request,) for request, _ in requests(rpc, store, "grpc")])
    assert await left_behind(store, refused) == []


@pytest.mark.parametrize("name", [name for name, rpc in RPCS.items() if rpc.template])
async def test_by_rest_is_answered(store, name):
    rpc = RPCS[name]

    async def send(number, verb, path, body):
        reply = await raw(caller(rpc, store, number), verb, path, body, rpc.method.server_streaming)
        if reply is None or "x-trace-id" not in reply.headers:
            return  # A stream that has begun, or what is no request.
        if reply.status != 503 or "GATEWAY_UNAVAILABLE" not in str(reply.body):
            assert of_rest(reply).reason not in OURS, (path, str(body)[:500])

    await all_of(
        send, [as_rest(rpc, store, request, chance) for request, chance in requests(rpc, store, "rest")]
    )


async def test_tears_nobodys_connection(store, watch):
    neighbour, product, told = watch
    for rpc in RPCS.values():
        for number, (request, _) in enumerate(list(requests(rpc, store, "burst"))[:3]):
            with_data = request.SerializeToString()
            try:
                await call(caller(rpc, store, number).at(gateway_of(store)), rpc, with_data)
            except grpc.aio.AioRpcError as error:
                check(error, request)

    await neighbour.stock.SetStock(SetStockRequest(product_id=product, quantity=77, request_id=request_id()))
    async with asyncio.timeout(WAIT_SECONDS):
        while b'"onHand":77' not in await told.content.readany():
            pass


async def test_leaves_the_books_balanced(store):
    shop = store.shop
    balance = await shop.ledgers.GetTrialBalance(GetTrialBalanceRequest(store_id=shop.store_id))
    assert [each.minor_units for each in balance.differences if each.minor_units] == []
    chain = await shop.ledgers.VerifyLedger(VerifyLedgerRequest(store_id=shop.store_id))
    assert chain.intact


def check(error, request):
    """A refusal is no fault of ours, and can be read. A provider may refuse, too: to report of the year 9999."""
    trailers = dict(error.trailing_metadata() or ())
    if b"GATEWAY_UNAVAILABLE" not in trailers.get("grpc-status-details-bin", b""):
        assert of_grpc(error).reason not in OURS, request


async def call(shop, rpc, data):
    """Call it; of a stream of replies the first one, if it comes soon."""
    metadata = (("authorization", f"Bearer {shop.token}"),)
    channel = shop.clients.channel(shop.address or shop.clients.cluster.address(rpc.code))
    if rpc.method.client_streaming:
        return await channel.stream_unary(rpc.path)(iter([data]), metadata=metadata, timeout=20)
    if not rpc.method.server_streaming:
        return await channel.unary_unary(rpc.path)(data, metadata=metadata, timeout=20)
    stream = channel.unary_stream(rpc.path)(data, metadata=metadata)
    try:
        return await asyncio.wait_for(stream.read(), FIRST_REPLY_SECONDS)
    except TimeoutError:
        return None
    finally:
        stream.cancel()


async def raw(shop, verb, path, body, streams):
    """Call the gateway with a path as it stands; None for a stream that has begun."""
    headers = {"content-type": "application/json"}
    url = URL(shop.clients.cluster.gateway_url + path, encoded=True)
    if not streams:
        return await shop.rest(verb, url, data=body, headers=headers)
    try:
        async with asyncio.timeout(FIRST_REPLY_SECONDS):
            return await shop.rest(verb, url, data=body, headers=headers)
    except TimeoutError:
        return None


def as_rest(rpc, store, request, chance):
    """The request as REST: verb, path with query, body. What JSON cannot spell is made odd in JSON itself."""
    try:
        values = json_format.MessageToDict(request)
    except (ValueError, TypeError, KeyError, json_format.SerializeToJsonError):
        values = json_format.MessageToDict(rpc.request(**store.ids))
    path = rpc.template
    for field in request.DESCRIPTOR.fields:
        mark = f"{{{field.name}}}"
        if mark in path:
            text = str(values.pop(field.json_name, store.ids.get(field.name, "x")))
            path = path.replace(mark, quote(text[:2_000], safe="") or "x")
    if rpc.body == "*":
        return rpc.verb, path, json.dumps(spoiled_json(values, chance)).encode()
    if rpc.body:
        return rpc.verb, path, json.dumps(chance.choice(JSON)).encode()
    pairs = [
        f"{quote(name)}={quote(json.dumps(each) if isinstance(each, dict) else str(each)[:2_000], safe='')}"
        for name, value in values.items()
        for each in (value[:20] if isinstance(value, list) else [value])
    ]
    return rpc.verb, path + ("?" + "&".join(pairs[:50]) if pairs else ""), None


def gateway_of(store):
    return store.shop.clients.cluster.gateway_url.partition("://")[2]


async def all_of(send, calls):
    """Send some at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number, what):
        async with room:
            await send(number, *what)

    await asyncio.gather(*(one(number, what) for number, what in enumerate(calls)))


async def left_behind(store, refused):
    """First replies to requests that were refused."""
    found = []
    for definition in store.shop.clients.cluster.chosen:
        found += await store.shop.clients.rows(
            f'SELECT request_id FROM "{definition.code}".first_replies WHERE request_id::text = ANY($1)',
            [each.lower() for each in refused if each.isprintable()],
        )
    return [str(row["request_id"]) for row in found]
