"""What the spans of a checkout say, in the words of the semantic conventions: any tool understands them."""

import re
import uuid

import aiohttp
import pytest
from google.protobuf.json_format import MessageToDict

from services.cluster.traces.spans import Spans
from tests.cluster.toys import command
from tests.order.asks import create
from tests.shop import eventually

# Of whoever calls: a page that has traces of its own.
TRACE_ID, SPAN_ID = uuid.uuid4().hex, uuid.uuid4().hex[:16]
CREATE = "commerce.order.v1.OrderService/CreateOrder"
AUTHORIZE = "commerce.payment.v1.PaymentService/AuthorizePayment"
RPC = {"rpc.system.name": "grpc", "rpc.response.status_code": "OK"}
EVENT = {"messaging.system": "nats", "messaging.destination.name": "commerce.order.v1.OrderCreated"}
# By service, kind and name; what is not the same every time is a pattern.
SAYS = {
    ("gateway", "server", CREATE): {
        **RPC,
        "rpc.method": CREATE,
        "http.method": "POST",
        "http.route": "/v1/stores/{store_id}/orders",
        "http.response.status_code": "200",
    },
    ("order", "server", CREATE): {**RPC, "rpc.method": CREATE},
    ("order", "client", AUTHORIZE): {
        **RPC,
        "rpc.method": AUTHORIZE,
        "server.address": "127.0.0.1",
        "server.port": r"\d+",
    },
    ("payment", "server", AUTHORIZE): {**RPC, "rpc.method": AUTHORIZE},
    ("order", "client", "SQL order placed"): {
        "db.system.name": "postgresql",
        "db.namespace": r"commerce\|order",
        "db.operation.name": "INSERT",
        "db.query.summary": "INSERT orders INSERT order_lines INSERT order_events .*",
        "db.query.text": r"(?s)WITH .*\$1.*",
        "server.address": "/.+",  # PostgreSQL's socket.
    },
    ("order", "producer", "publish OrderCreated"): {
        **EVENT,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.message.id": "[0-9a-f-]{36}",
    },
    ("payment", "client", "POST sandbox /v1/charges"): {
        "http.request.method": "POST",
        "http.response.status_code": "20[01]",
        "url.full": r"http://127\.0\.0\.1:\d+/v1/charges",
        "url.template": "/v1/charges",
        "server.address": "127.0.0.1",
        "server.port": r"\d+",
    },
}


@pytest.fixture
def checkout(shop):
    """Place an order by REST, as a page does that has traces of its own; its spans, once these are among them."""

    async def place(*names):
        request = create(shop, await shop.customer(), (await shop.product(), 1))
        headers = {
            "authorization": f"Bearer {shop.token}",
            "traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01",
        }
        body = MessageToDict(request)
        url = f"{shop.clients.cluster.gateway_url}/v1/stores/{body.pop('storeId')}/orders"
        async with aiohttp.request("POST", url, json=body, headers=headers) as reply:
            assert reply.status == 200, await reply.text()
            trace_id = reply.headers["x-trace-id"]

        async def complete():
            found = Spans(shop.clients.cluster.spans_file).trace(trace_id)
            spans = {(span.service, span.kind, span.name): span for span in found}
            return spans if spans.keys() >= set(names) else None

        try:
            return await eventually(complete, 30)
        except TimeoutError:
            found = Spans(shop.clients.cluster.spans_file).trace(trace_id)
            raise AssertionError(sorted((s.service, s.kind, s.name) for s in found)) from None

    return place


async def test_each_span_says_what_it_is_of(checkout):
    spans = await checkout(*SAYS)

    for name, expected in SAYS.items():
        said = {key: str(value) for key, value in spans[name].attributes.items()}
        wrong = {
            key: (said.get(key), pattern)
            for key, pattern in expected.items()
            if said.get(key) != pattern and not re.fullmatch(pattern, said.get(key, ""))
        }
        assert not wrong, (name, wrong)


async def test_the_callers_own_trace_is_linked_and_leads_to_ours(checkout, shop):
    spans = await checkout(("order", "server", CREATE))

    assert spans["order", "server", CREATE].links == ((TRACE_ID, SPAN_ID),)
    code, out, complaint = await command("trace", TRACE_ID, "--home", str(shop.clients.cluster.home.path))
    assert code == 0, complaint
    assert "OrderService/CreateOrder" in out
