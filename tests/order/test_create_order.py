import asyncio
import uuid

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import Location, PostalAddress
from commerce.order.v1.order_events_pb2 import OrderCreated

from services.cluster.spans import Spans
from tests.order.asks import create, get, name
from tests.shop import eventually, new_id, refused


async def test_is_durable_and_pending_when_it_answers(shop):
    customer, product = await shop.customer(), await shop.product(stock=5, price=1999)

    order = (await shop.orders.CreateOrder(create(shop, customer, (product, 2)))).order

    assert name(order.state) == "PENDING"
    assert order.sequence == 1
    assert order.total == Money(currency_code="EUR", minor_units=3998)
    found = (await shop.orders.GetOrder(get(order.order_id))).order
    assert found.lines == order.lines
    assert found.create_time == order.create_time


async def test_takes_name_sku_and_price_from_the_catalog(shop):
    product = await shop.product(price=250, sku="TEA-1", name="Tea")
    order = (await shop.orders.CreateOrder(create(shop, await shop.customer(), (product, 3)))).order
    (line,) = order.lines
    assert (line.sku, line.name, line.quantity, line.unit_price.minor_units) == ("TEA-1", "Tea", 3, 250)


async def test_keeps_the_delivery_address_to_the_letter(shop):
    address = PostalAddress(
        recipient="Ada Lovelace",
        lines=["St James's Square 12"],
        city="London",
        postal_code="SW1Y 4JH",
        country_code="GB",
        location=Location(latitude=51.507, longitude=-0.135),
    )
    product, customer = await shop.product(), await shop.customer()
    order = await shop.orders.CreateOrder(create(shop, customer, (product, 1), delivery_address=address))
    found = await shop.orders.GetOrder(get(order.order.order_id))
    assert found.order.delivery_address == address


async def test_publishes_one_order_created(shop):
    order_id = await shop.order()
    product, customer = await shop.product(), await shop.customer()
    order = (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order
    (event,) = await shop.published(OrderCreated)
    assert event.order.order_id == order.order_id != order_id
    assert event.lines == order.lines


async def test_sent_fifty_times_at_once_with_one_request_id_is_one_order(shop):
    customer, product = await shop.customer(), await shop.product(stock=100)
    request = create(shop, customer, (product, 1))

    replies = await asyncio.gather(*(shop.orders.CreateOrder(request) for _ in range(50)))

    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert len(await shop.published(OrderCreated)) == 1


async def test_refuses_another_order_under_the_same_request_id(shop):
    customer, product = await shop.customer(), await shop.product(stock=100)
    request = create(shop, customer, (product, 1))
    await shop.orders.CreateOrder(request)
    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED, request_id=request.request_id):
        await shop.orders.CreateOrder(create(shop, customer, (product, 2), request_id=request.request_id))
    assert len(await shop.published(OrderCreated)) == 1


async def test_refuses_a_product_that_does_not_exist_and_writes_nothing(shop):
    customer, product = await shop.customer(), new_id()
    with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product):
        await shop.orders.CreateOrder(create(shop, customer, (product, 1)))
    assert await shop.published() == []


async def test_refuses_the_product_of_another_store_like_one_that_does_not_exist(shop):
    product = await shop.another().product()
    with refused(ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND, product_id=product):
        await shop.orders.CreateOrder(create(shop, await shop.customer(), (product, 1)))


async def test_refuses_a_customer_of_another_store(shop):
    customer = await shop.another().customer()
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=customer):
        await shop.orders.CreateOrder(create(shop, customer, (await shop.product(), 1)))


async def test_refuses_a_customer_who_orders_for_another(shop):
    one, other = await shop.customer(), await shop.customer()
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND):
        request = create(shop, other, (await shop.product(), 1))
        await shop.as_("customer", customer_id=one).orders.CreateOrder(request)


async def test_refuses_lines_in_two_currencies(shop):
    euro, dollar = await shop.product(currency="EUR"), await shop.product(currency="USD")
    with refused(ErrorReason.ERROR_REASON_ORDER_CURRENCIES_MIXED, currencies="EUR,USD"):
        await shop.orders.CreateOrder(create(shop, await shop.customer(), (euro, 1), (dollar, 1)))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("lines", {"lines": []}),
        ("customer_id", {"customer_id": "nobody"}),
        ("request_id", {"request_id": ""}),
        ("payment_method", {"payment_method": "4242 4242 4242 4242"}),
        ("payment_method", {"payment_method": "p" * 1000}),
    ],
)
async def test_names_the_field_that_is_wrong(shop, field, change):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.CreateOrder(create(shop, new_id(), (new_id(), 1), **change))
    assert field in said.violations


async def test_refuses_a_quantity_below_one_and_a_product_named_twice(shop):
    product = new_id()
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.CreateOrder(create(shop, new_id(), (product, -1), (product, 1)))
    assert set(said.violations) == {"lines[0].quantity", "lines"}


async def test_refuses_a_role_that_the_contract_does_not_name(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="COURIER"):
        request = create(shop, new_id(), (new_id(), 1))
        await shop.as_("courier").orders.CreateOrder(request)


async def test_refuses_a_call_without_a_token(shop):
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.orders.CreateOrder(create(shop, new_id(), (new_id(), 1)))


async def test_a_client_that_gives_up_may_ask_again_with_its_request_id(shop):
    request = create(shop, await shop.customer(), (await shop.product(), 1))
    try:
        await shop.orders.CreateOrder(request, timeout=0.001)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    order = (await shop.orders.CreateOrder(request)).order
    assert len(await shop.published(OrderCreated)) == 1
    assert order.sequence == 1


async def test_leaves_nothing_about_its_buyer_in_logs_or_traces(shop):
    """Neither when all goes well nor when a call is refused."""
    home, spans = shop.clients.cluster.home, Spans(shop.clients.cluster.spans_file)
    mark, trace_id = f"x{uuid.uuid4().hex}", uuid.uuid4().hex
    traced = (("traceparent", f"00-{trace_id}-{'a' * 16}-01"),)
    buyer = {"full_name": mark, "email": f"{mark}@example.org"}
    customer, product = await shop.customer(**buyer), await shop.product()
    address = PostalAddress(recipient=mark, lines=[mark], city=mark, postal_code="1", country_code="GB")
    request = create(shop, customer, (product, 1), delivery_address=address)
    order = (await shop.orders.CreateOrder(request, metadata=traced)).order
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN):
        await shop.customer(**buyer)
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT):
        request.delivery_address.recipient = mark * 100
        await shop.orders.CreateOrder(request, metadata=traced)
    assert (await shop.rest("GET", f"/v1/stores/{shop.store_id}/customers?query={mark}")).status == 200

    await shop.until(order.order_id, "CONFIRMED")
    await eventually(lambda: _paid(spans, trace_id))

    places = [*home.logs.iterdir(), *home.path.glob(f"{shop.clients.cluster.spans_file.name}*")]
    assert len(places) > 5
    assert [place.name for place in places if mark.encode() in place.read_bytes()] == []


async def _paid(spans, trace_id):
    return [span for span in spans.trace(trace_id) if "sandbox" in span.name]
