"""No card number enters a message, a row, an event, a log line or a span, wherever a client writes it."""

import json
import re
import sqlite3
from typing import Any

import grpc
import nats
import pytest
from commerce.catalog.v1.catalog_service_pb2 import (
    ImportProductsRequest,
    ImportRow,
    ListImportErrorsRequest,
)
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_service_pb2 import CreateOrderLine, CreateOrderRequest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from yarl import URL

from services.runtime.cards import MUST_NOT, masked
from tests.edge.answers import ask, of_rest
from tests.edge.contract import rpcs
from tests.edge.numbers import Numbers, places
from tests.shop import WAIT_SECONDS, Shop, eventually, new_id

RPCS = {f"{rpc.method.containing_service.name}.{rpc.name}": rpc for rpc in rpcs()}
ROLES = ("PLATFORM_ADMIN", "SERVICE", "STORE_ADMIN", "CUSTOMER", "COURIER")
# What a provider sends is the payment service's own to read and to mask.
FOREIGN = "google.api.HttpBody.data"
FED = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_INT64)


@pytest.fixture(scope="module")
def store(clients):
    return Shop(clients)


@pytest.fixture(scope="module")
def numbers():
    return Numbers()


@pytest.mark.parametrize("name", RPCS)
async def test_refuses_a_card_number_in_any_field_of(store, numbers, name):
    rpc, wrong = RPCS[name], []
    for path, request in _fed(rpc, store, numbers):
        row_of_import = rpc.method.client_streaming and path.startswith("rows[")
        for answer in await _answers(store, rpc, request):
            refused = answer.reason == "INVALID_ARGUMENT" and answer.names(path)
            if refused is row_of_import or numbers.among(str(answer).encode()):
                wrong += [f"{path}: {answer}"]
    assert not wrong, "\n".join(wrong)


async def test_says_the_field_and_no_more(store, numbers):
    rpc = RPCS["OrderService.CancelOrder"]
    request = rpc.request(reason=f"my card is {numbers.of('Visa', ' ')}, thanks")
    answer = await ask(store, rpc, request.SerializeToString())
    assert (answer.reason, answer.violations) == ("INVALID_ARGUMENT", {"reason": MUST_NOT})
    assert answer.message == f"reason: {MUST_NOT}"


async def test_a_row_of_an_import_fails_alone_and_its_error_does_not_repeat_the_number(store, numbers):
    price = Money(currency_code="EUR", minor_units=100)
    sku, import_id = numbers.of("Visa"), new_id()
    rows = [ImportRow(sku=sku, name="A lamp", price=price), ImportRow(sku=new_id(), name="Two", price=price)]
    batch = ImportProductsRequest(store_id=store.store_id, request_id=import_id, batch=1, rows=rows)
    reply = await store.imports.ImportProducts(iter([batch]))
    assert (reply.product_import.created, reply.product_import.failed) == (1, 1)
    listed = await store.imports.ListImportErrors(
        ListImportErrorsRequest(store_id=store.store_id, import_id=import_id)
    )
    (error,) = listed.errors
    assert (error.row, error.field, error.reason) == (1, "sku", MUST_NOT)
    assert error.sku == "*" * 12 + sku[-4:]


async def test_what_the_contract_does_not_know_is_not_carried_along(store, numbers):
    """An order's address goes into a row and into events, with whatever a newer client has written in it."""
    number = numbers.of("Mastercard").encode()
    request = CreateOrderRequest(
        store_id=store.store_id,
        customer_id=await store.customer(),
        lines=[CreateOrderLine(product_id=await store.product(), quantity=1)],
        payment_method="pm_sandbox_ok",
        request_id=new_id(),
    )
    unknown = b"\xfa\x3f" + bytes([len(number)]) + number
    request.delivery_address.MergeFromString(request.delivery_address.SerializeToString() + unknown)
    request.delivery_address.country_code = "DE"
    assert number in request.SerializeToString()
    reply = await store.orders.CreateOrder(request)
    assert number not in reply.SerializeToString()
    await store.until(reply.order.order_id, "CONFIRMED")


# Whatever a client may write beside the fields: {} is the number.
PATHS = (
    "/v1/orders/{}",
    "/v1/payments/{}:capture",
    "/v1/{}",
    "/{}/v1/orders",
    "/v1//orders/{}",
    "/v1/orders/..%2f{}",
    "/v1/orders/a%00{}",
    "/v1/orders/%34{}",
    "/v1/orders/{}?state={}",
    "/v1/products/x;card={}",
    "/commerce.order.v1.OrderService/{}",
    "/{}.OrderService/GetOrder",
    "/healthz/{}",
    "/v1/stores/{}/orders",
    "/v1/webhooks/{}",
    "/v1/webhooks/sandbox?card={}",
)
QUERIES = ("card={}", "{}=1", "state={}", "pageSize={}", "pageToken={}", "orderBy={}", "state.{}=1", "a=1&{}")
HEADERS = {
    "x-request-id": "{}",
    "x-trace-id": "{}",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-{:0>16.16}-01",
    "tracestate": "card={}",
    "baggage": "card={}",
    "user-agent": "{}",
    "referer": "https://shop.example/{}",
    "origin": "https://{}.example",
    "cookie": "card={}",
    "host": "{}",
    "x-forwarded-for": "{}",
    "x-forwarded-host": "{}",
    "x-envoy-downstream-service-cluster": "{}",
    "x-envoy-original-path": "/{}",
    "content-type": "application/{}",
    "content-encoding": "{}",
    "accept-language": "{}",
    "grpc-timeout": "{}",
    "authorization": "Bearer {}",
    "card": "{}",
    "{}": "card",
}
BODIES = (
    '{{"{}": 1}}',
    '{{"deliveryAddress": {{"{}": 1}}}}',
    '{{"lines": [{{"{}": 1}}]}}',
    '{{"lines": [{{"quantity": {}}}]}}',
    '{{"lines": [{{"quantity": "{}"}}]}}',
    '{{"lines": "{}"}}',
    '{{"customerId": {}}}',
    '{{"deliveryAddress": "{}"}}',
    '{{"card": {{"number": "{}", "{}": "{}"}}}}',
    '{{"a": "{}", "a": "{}"}}',
    '{{"storeId": "{}"}}',
    '{{"{}": ',
    '"{}"',
    "{}",
    '{{"reason": "{}", }}',
    '{{"requestId": "\\u0034{}"}}',
)


async def test_what_the_gateway_refuses_is_not_repeated(store, numbers):
    base = f"/v1/stores/{store.store_id}/orders"
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", _filled(path, numbers, in_url=True), {}) for path in PATHS for _ in range(3)
    ]
    calls += [
        ("GET", f"{base}?{_filled(query, numbers, in_url=True)}", {}) for query in QUERIES for _ in range(3)
    ]
    calls += [("POST", base, {"data": _filled(body, numbers).encode()}) for body in BODIES for _ in range(3)]
    for path in ("sandbox", _filled("{}", numbers, in_url=True)):
        body = json.dumps({"card": numbers(), "number": numbers.integer()})
        calls += [("POST", f"/v1/webhooks/{path}", {"data": body.encode(), "token": ""})]
    calls += [(numbers.of("Visa"), base, {})]
    for name, value in HEADERS.items():
        plain = numbers.of("Visa"), numbers.of("JCB")
        headers = {name.format(plain[0]): value.format(plain[1])}
        calls += [("GET", base, {"headers": headers}), ("GET", "/nowhere", {"headers": headers})]
    grpc_like = {"content-type": f"application/grpc+{numbers.of('JCB')}"}
    calls += [("POST", "/commerce.order.v1.OrderService/GetOrder", {"headers": grpc_like})]
    for verb, path, more in calls:
        url = URL(store.clients.cluster.gateway_url + path, encoded=True)
        reply = await store.rest(verb, url, **more)
        assert not numbers.among(f"{reply.body} {dict(reply.headers)}".encode()), (
            verb,
            path,
            more,
            reply.body,
        )


async def test_neither_is_what_comes_by_grpc(store, numbers):
    cluster = store.clients.cluster
    for address in (cluster.gateway_url.partition("://")[2], cluster.address("order")):
        channel = store.clients.channel(address)
        for path in (
            "/commerce.order.v1.OrderService/{}",
            "/{}/GetOrder",
            "/commerce.{}.v1.OrderService/GetOrder",
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                metadata = (("authorization", f"Bearer {store.token}"), ("card", numbers.of("Visa")))
                call = channel.unary_unary(path.format(numbers.of("Visa")))
                await call(b"\x0a\x10" + numbers.of("Visa").encode(), metadata=metadata, timeout=WAIT_SECONDS)
            assert not numbers.among(str(error.value).encode())


async def test_none_was_kept_anywhere(store, numbers):
    """Comes after all that feed: what they fed is looked for in everything that the cluster keeps."""
    assert len(numbers.made) > 300
    await _come_to_rest(store)
    assert await places(numbers, store.clients) == {}


async def test_the_search_finds_what_is_planted(store):
    cluster, numbers = store.clients.cluster, Numbers(seed=2)
    kinds = ("row", "bytes", "stream", "log", "span")
    planted = {kind: numbers.of("Visa", between) for kind, between in zip(kinds, "  -- ", strict=True)}
    digits = {kind: re.sub("[ -]", "", number).encode() for kind, number in planted.items()}
    log = cluster.process("envoy").spec.log
    with log.open("a") as lines:
        lines.write(json.dumps({"path": f"/v1/orders/{planted['log']}"}) + "\n")
    with sqlite3.connect(cluster.spans_file, timeout=10) as spans:
        text = json.dumps({"http.url": f"http://gateway/{planted['span']}"})
        spans.execute("UPDATE spans SET attributes = ? WHERE row = (SELECT max(row) FROM spans)", (text,))
    await store.clients.rows("CREATE TABLE public.planted (words text, bytes bytea)")
    client = await nats.connect(cluster.nats_url)
    try:
        await store.clients.rows(
            "INSERT INTO public.planted VALUES ($1, $2)", planted["row"], planted["bytes"].encode()
        )
        await client.jetstream().add_stream(name="planted", subjects=["planted"])
        await client.jetstream().publish("planted", planted["stream"].encode())
        found = await places(numbers, store.clients)
    finally:
        await store.clients.rows("DROP TABLE public.planted")
        await client.jetstream().delete_stream("planted")
        await client.close()
    assert found["public.planted"] == {digits["row"], digits["bytes"]}
    assert found[str(log.relative_to(cluster.home.path))] == {digits["log"]}
    assert digits["span"] in found["spans"]
    assert digits["stream"] in {each for place, some in found.items() if "planted" in place for each in some}


def _allowed(store, rpc):
    """The store for somebody who may call an RPC."""
    if rpc.public:
        return store.as_nobody
    role = next(role for role in ROLES if role in rpc.allow)
    return store.as_(role.lower(), new_id() if role == "CUSTOMER" else None)


async def _answers(store, rpc, request):
    """What a request is answered by the service, and through the gateway by gRPC and by REST."""
    at = _allowed(store, rpc)
    gateway = at.at(store.clients.cluster.gateway_url.partition("://")[2])
    answers = [await ask(each, rpc, request.SerializeToString()) for each in (at, gateway)]
    if by_rest := _by_rest(rpc, request):
        verb, path, body = by_rest
        answers.append(of_rest(await at.rest(verb, path, json=body)))
    return answers


def _fed(rpc, store, numbers):
    """For each field that could hold a card number, its path and a request that is sound but for one there."""
    for fields, as_key in _leaves(rpc.method.input_type):
        request = rpc.request(store_id=store.store_id)
        yield _written(request, fields, as_key, numbers), request


def _leaves(kind, above=()):
    for field in kind.fields:
        inner = field.message_type
        if inner is None:
            if field.type in FED and field.full_name != FOREIGN:
                yield (*above, field), False
        elif inner.GetOptions().map_entry:
            yield (*above, field), False
            yield (*above, field), True
        elif inner not in [each.message_type for each in above]:
            yield from _leaves(inner, (*above, field))


def _written(message, fields, as_key, numbers):
    """Write a number into a field, and return its path as refusals name it."""
    path = ""
    for field in fields[:-1]:
        message = getattr(message, field.name)
        if field.is_repeated:
            message = message[0] if message else message.add()
        message.SetInParent()
        path += f"{field.name}[0]." if field.is_repeated else f"{field.name}."
    last = fields[-1]
    if last.message_type:
        key, value = ("colour", numbers()) if not as_key else (numbers(), "red")
        getattr(message, last.name)[key] = value
        return f"{path}{last.name}[{masked(key)}]"
    value = numbers.integer() if last.type == last.TYPE_INT64 else numbers()
    value = value.encode() if last.type == last.TYPE_BYTES else value
    if last.is_repeated:
        getattr(message, last.name)[:] = [value]
        return f"{path}{last.name}[0]"
    setattr(message, last.name, value)
    return f"{path}{last.name}"


def _by_rest(rpc, request):
    """The same as REST; nothing where JSON or a query cannot say it."""
    if not rpc.template or rpc.body not in ("", "*"):
        return None
    try:
        verb, path, body = rpc.rest(request)
    except (json_format.Error, TypeError):
        return None
    values = json_format.MessageToDict(request)
    if not rpc.body and any(isinstance(value, dict) for value in values.values()):
        return None
    return verb, path, body


def _filled(text, numbers, in_url=False):
    """The text with a number for each {}."""
    made = [numbers() for _ in range(text.count("{}"))]
    return text.format(*(each.replace(" ", "%20") if in_url else each for each in made))


async def _come_to_rest(store):
    """Spans and log lines of all calls before this one have arrived when its own have."""
    reply = await store.rest("GET", f"/v1/stores/{store.store_id}/orders")
    trace_id = reply.headers["x-trace-id"]

    async def arrived():
        with sqlite3.connect(store.clients.cluster.spans_file, timeout=10) as spans:
            query = "SELECT DISTINCT service FROM spans WHERE trace_id = ?"
            services = {row[0] for row in spans.execute(query, (trace_id,))}
        logged = trace_id in store.clients.cluster.process("envoy").spec.log.read_text()
        return logged and services >= {"gateway", "order"}

    await eventually(arrived)
