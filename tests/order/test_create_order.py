import asyncio
import uuid

import grpc
import pytest
from commerce.catalog.v1.catalog_service_pb2 import ArchiveProductRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import Location, PostalAddress
from commerce.order.v1.order_events_pb2 import OrderCreated
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.cluster.traces.spans import Spans
from tests.order.asks import create, get, name, order_of, timeline
from tests.order.deals import money, new_coupon, paid, set_up, ships, sums, tax, to, used
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
    assert sums(found) == sums(order)
    assert (found.tax_included, found.expire_time) == (order.tax_included, order.expire_time)


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


async def test_of_many_at_once_each_is_answered_its_own(shop):
    """Amid repetitions, an id that was used for another order, a coupon's last uses, and a caller who leaves."""
    coupon = await new_coupon(shop, limit=2)
    customers, product = [await shop.customer() for _ in range(3)], await shop.product(stock=10_000)
    asking = [create(shop, customers[n % 3], (product, n + 1)) for n in range(20)]
    first = await shop.orders.CreateOrder(asking[6])
    reused = create(shop, customers[0], (product, 99), request_id=asking[6].request_id)
    leaving = create(shop, customers[1], (product, 77))
    traces = [uuid.uuid4().hex for _ in asking]

    leaves = shop.orders.CreateOrder(leaving)
    calls = [
        shop.orders.CreateOrder(each, metadata=(("traceparent", f"00-{trace}-{'a' * 16}-01"),))
        for each, trace in zip(asking, traces, strict=True)
    ]
    repeated = [shop.orders.CreateOrder(each) for each in asking[8:11]]
    wrong = shop.orders.CreateOrder(reused)
    using = [
        shop.orders.CreateOrder(create(shop, each, (product, 50), coupon_code="TEN")) for each in customers
    ]
    replies = await asyncio.gather(*calls)
    leaves.cancel()

    assert [reply.order.lines[0].quantity for reply in replies] == [n + 1 for n in range(20)]
    assert replies[6] == first
    assert await asyncio.gather(*repeated) == replies[8:11]
    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await wrong
    told = await asyncio.gather(*using, return_exceptions=True)
    assert sum(isinstance(each, grpc.aio.AioRpcError) for each in told) == 1
    assert await used(shop, coupon) == 2
    await shop.orders.CreateOrder(leaving)
    bought = [event.lines[0].quantity for event in await shop.published(OrderCreated)]
    assert sorted(bought) == sorted([*range(1, 21), 77, 50, 50])
    # Of two with one request_id either may have come first.
    for reply, trace in [*zip(replies, traces, strict=True)][11:]:
        created, *_ = (await shop.orders.ListOrderEvents(timeline(reply.order.order_id))).events
        assert created.trace_id == trace


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


async def test_refuses_a_product_that_is_archived(shop):
    product = await shop.product()
    await shop.catalog.ArchiveProduct(ArchiveProductRequest(product_id=product, request_id=new_id()))
    customer = await shop.customer()

    async def told():
        request = create(shop, customer, (product, 1))
        try:
            await shop.orders.CreateOrder(request)
        except grpc.aio.AioRpcError:
            return True
        return False

    await eventually(told)  # The order service hears of it by an event.
    with refused(ErrorReason.ERROR_REASON_PRODUCT_ARCHIVED, product_id=product):
        await shop.orders.CreateOrder(create(shop, customer, (product, 1)))


async def test_adds_the_tax_of_each_class_in_the_country_of_delivery(shop):
    rates = [tax(190_000, "DE"), tax(70_000, "DE", "food"), tax(200_000, "FR")]
    await set_up(shop, tax_rates=rates)
    tea, pot = await shop.product(price=1000, tax_class="food"), await shop.product(price=5000)
    lines = [(tea, 1), (pot, 2)]

    order_id = await shop.order(lines, delivery_address=to("DE"), until="CONFIRMED")

    order = await order_of(shop, order_id)
    assert [(line.tax_rate_ppm, line.tax.minor_units) for line in order.lines] == [
        (70_000, 70),
        (190_000, 1900),
    ]
    assert sums(order) == {"subtotal": 11000, "discount": 0, "tax": 1970, "shipping": 0, "total": 12970}
    french = await order_of(shop, await shop.order(lines, delivery_address=to("FR")))
    assert french.tax.minor_units == 2200
    assert (await order_of(shop, await shop.order(lines))).tax.minor_units == 0


async def test_shows_a_tax_that_the_prices_include_and_adds_nothing(shop):
    await set_up(shop, tax_included=True, tax_rates=[tax(190_000)])
    order_id = await shop.order([(await shop.product(price=11900), 1)])
    order = await order_of(shop, order_id)
    assert order.tax_included
    assert (order.tax.minor_units, order.total.minor_units) == (1900, 11900)


async def test_asks_for_shipping_to_the_country_unless_enough_is_bought(shop):
    await set_up(shop, shipping_rates=[ships(490, "DE", free_from=5000), ships(1990)])
    product, customer = await shop.product(price=1000), await shop.customer()

    async def fee(quantity, **given):
        order_id = await shop.order([(product, quantity)], customer=customer, **given)
        return (await order_of(shop, order_id)).shipping.minor_units

    assert await fee(1, delivery_address=to("DE")) == 490
    assert await fee(5, delivery_address=to("DE")) == 0
    assert await fee(5, delivery_address=to("FR")) == await fee(5) == 1990


async def test_refuses_a_country_that_the_store_does_not_ship_to(shop):
    await set_up(shop, shipping_rates=[ships(490, "DE")])
    request = create(shop, await shop.customer(), (await shop.product(), 1), delivery_address=to("FR"))
    with refused(ErrorReason.ERROR_REASON_SHIPPING_UNAVAILABLE, country_code="FR"):
        await shop.orders.CreateOrder(request)
    assert await shop.published(OrderCreated) == []


async def test_waits_for_its_payment_as_long_as_the_store_says_else_an_hour(shop):
    request = create(shop, await shop.customer(), (await shop.product(), 1))
    order = (await shop.orders.CreateOrder(request)).order
    assert waits(order) == 3600
    await set_up(shop, payment_wait=Duration(seconds=86_400))
    order = await order_of(shop, await shop.order())
    assert waits(order) == 86_400


async def test_a_coupon_takes_its_share_off_each_line_before_tax(shop):
    await set_up(shop, tax_rates=[tax(190_000)])
    coupon = await new_coupon(shop, percentage_ppm=100_000)
    one, other = await shop.product(price=999), await shop.product(price=1)
    request = create(shop, await shop.customer(), (one, 1), (other, 1), coupon_code="ten")

    order = (await shop.orders.CreateOrder(request)).order

    assert order.coupon_code == "TEN"
    assert [line.discount.minor_units for line in order.lines] == [100, 0]
    assert sums(order) == {"subtotal": 1000, "discount": 100, "tax": 171, "shipping": 0, "total": 1071}
    assert (await order_of(shop, order.order_id)).lines == order.lines
    assert await used(shop, coupon) == 1
    await shop.until(order.order_id, "CONFIRMED")
    assert await paid(shop, order.order_id) == 1071


async def test_a_coupon_for_more_than_everything_makes_an_order_that_costs_nothing(shop):
    await new_coupon(shop, amount=money(10_000))
    order_id = await shop.order([(await shop.product(price=1999), 1)], coupon_code="TEN", until="CONFIRMED")
    order = await order_of(shop, order_id)
    assert (order.discount.minor_units, order.total.minor_units) == (1999, 0)


async def test_refuses_a_coupon_that_does_not_exist_and_another_stores_alike(shop):
    await new_coupon(shop.another(), "THEIRS")
    request = create(shop, await shop.customer(), (await shop.product(), 1))
    for code in ("NOSUCH", "THEIRS"):
        request.coupon_code = code
        with refused(ErrorReason.ERROR_REASON_COUPON_NOT_FOUND, code=code):
            await shop.orders.CreateOrder(request)
    assert await shop.published(OrderCreated) == []


@pytest.mark.parametrize(
    ("cause", "given"),
    [
        ("not_begun", {"begin_time": Timestamp(seconds=10**10)}),
        ("ended", {"end_time": Timestamp(seconds=1)}),
        ("minimum", {"minimum": money(2000)}),
        ("currency", {"minimum": money(0, "USD")}),
        ("currency", {"amount": money(1, "USD")}),
    ],
)
async def test_refuses_a_coupon_that_does_not_apply_and_places_nothing(shop, cause, given):
    coupon = await new_coupon(shop, **given)
    request = create(shop, await shop.customer(), (await shop.product(price=1999), 1), coupon_code="TEN")
    with refused(ErrorReason.ERROR_REASON_COUPON_NOT_APPLICABLE, code="TEN", cause=cause):
        await shop.orders.CreateOrder(request)
    assert await shop.published(OrderCreated) == []
    assert await used(shop, coupon) == 0


async def test_sent_again_with_one_request_id_it_uses_its_coupon_once(shop):
    coupon = await new_coupon(shop, limit=1)
    request = create(shop, await shop.customer(), (await shop.product(), 1), coupon_code="TEN")
    replies = await asyncio.gather(*(shop.orders.CreateOrder(request) for _ in range(20)))
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert await used(shop, coupon) == 1


async def test_refuses_a_product_named_twice_in_whatever_letters(shop):
    product = await shop.product()
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.CreateOrder(
            create(shop, await shop.customer(), (product.upper(), 1), (product.lower(), 1))
        )
    assert set(said.violations) == {"lines"}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("lines", {"lines": []}),
        ("coupon_code", {"coupon_code": "A" * 41}),
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

    logs = list(home.logs.iterdir())
    assert len(logs) > 5
    assert [log.name for log in logs if mark.encode() in log.read_bytes()] == []
    assert mark.encode() not in shop.clients.spans_kept()


def waits(order):
    return order.expire_time.ToSeconds() - order.create_time.ToSeconds()


async def _paid(spans, trace_id):
    return [span for span in spans.trace(trace_id) if "sandbox" in span.name]
