"""`commerce trace`, as an operator types it: with whatever id is at hand."""

import json
import re

import aiohttp
import pytest

from tests.cluster.toys import command
from tests.order.asks import get, timeline
from tests.shop import eventually, new_id


@pytest.fixture
def traced(shop):
    """What the command prints of an id; it must succeed."""

    async def run(wanted, *more):
        home = str(shop.clients.cluster.home.path)
        code, out, complaint = await command("trace", wanted, *more, "--home", home)
        assert code == 0, complaint
        return out

    return run


async def test_an_order_its_payment_and_its_events_lead_to_the_same_trace(shop, traced):
    order_id = await shop.order(state="CONFIRMED")
    order = (await shop.orders.GetOrder(get(order_id))).order
    events = (await shop.orders.ListOrderEvents(timeline(order_id))).events
    rows = await shop.clients.rows(
        "SELECT event_id, traceparent FROM payment.outbox WHERE position($1::bytea IN payload) > 0",
        order_id.encode(),
    )

    of_order = await traced(order_id)

    assert f"trace {events[0].trace_id}" in of_order
    assert "OrderService/CreateOrder" in of_order
    assert "create, reserve, authorize" in of_order
    assert f"trace {events[0].trace_id}" in await traced(order.payment_id)
    assert rows[0]["traceparent"].split("-")[1] in await traced(str(rows[0]["event_id"]))


async def test_a_product_a_customer_and_a_request_lead_to_what_made_them(shop, traced):
    url = shop.clients.cluster.gateway_url
    headers = {"authorization": f"Bearer {shop.token}"}
    request_id = new_id()
    body = {
        "sku": new_id(),
        "name": "Tea",
        "price": {"currencyCode": "EUR", "minorUnits": "5"},
        "requestId": request_id,
    }
    async with aiohttp.request(
        "POST", f"{url}/v1/stores/{shop.store_id}/products", json=body, headers=headers
    ) as reply:
        trace_id, product = reply.headers["x-trace-id"], (await reply.json())["product"]
    assert f"trace {trace_id}" in await traced(product["productId"])
    assert f"trace {trace_id}" in await traced(request_id)
    customer = {"fullName": "Ada", "email": f"{new_id()}@example.com", "requestId": new_id()}
    async with aiohttp.request(
        "POST", f"{url}/v1/stores/{shop.store_id}/customers", json=customer, headers=headers
    ) as reply:
        trace_id, made = reply.headers["x-trace-id"], (await reply.json())["customer"]
    assert f"trace {trace_id}" in await traced(made["customerId"])


async def test_the_trace_id_of_a_reply_is_found_in_spans_and_logs(shop, traced):
    url = f"{shop.clients.cluster.gateway_url}/v1/orders/{new_id()}"
    async with aiohttp.request("GET", url, headers={"authorization": f"Bearer {shop.token}"}) as reply:
        assert reply.status == 404
        trace_id = reply.headers["x-trace-id"]

    out = await traced(trace_id)

    assert f"trace {trace_id}" in out
    assert "OrderService/GetOrder" in out
    assert re.search(r"^log 20\S+ order info refused  .*reason=ORDER_NOT_FOUND", out, re.M)

    async def whole():
        (found,) = json.loads(await traced(trace_id, "-o", "json"))
        return found if {span["service"] for span in found["spans"]} >= {"gateway", "order"} else None

    found = await eventually(whole, 60)  # Each process tells of its spans in its own time.
    assert found["trace_id"] == trace_id
    assert any(line["event"] == "refused" for line in found["lines"])


async def test_a_declined_checkout_leaves_one_line_in_the_services_log(shop, traced):
    order_id = await shop.order(method="pm_sandbox_declined", until="PAYMENT_FAILED")
    log = shop.clients.cluster.home.log("order")

    async def lines():
        return [line for line in log.read_text().splitlines() if order_id in line]

    (line,) = await eventually(lines)
    said = json.loads(line)
    assert (said["event"], said["state"], said["reason"]) == (
        "order ended",
        "PAYMENT_FAILED",
        "card_declined",
    )
    out = await traced(order_id)
    assert f"trace {said['trace_id']}" in out
    assert re.search(r"^log 20\S+ order info order ended  .*reason=card_declined", out, re.M)


@pytest.mark.parametrize(
    "wanted, said",
    [
        ("abc", "a reply's x-trace-id has 32 digits, and any other id is a UUID"),
        (new_id(), "neither the database nor spans nor logs know"),
        ("0" * 31 + "1", "neither the database nor spans nor logs know"),
    ],
)
async def test_what_nothing_knows_is_one_line(shop, wanted, said):
    code, out, complaint = await command("trace", wanted, "--home", str(shop.clients.cluster.home.path))
    assert (code, out) == (1, "")
    assert said in complaint
    assert complaint.count("\n") == 1
