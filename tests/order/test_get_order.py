import asyncio
import uuid

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.postal_address_pb2 import Location, PostalAddress
from commerce.order.v1.order_service_pb2 import ListOrdersRequest

from services.cluster.traces.spans import Spans
from tests.order.asks import cancel, courier, deliver, get, given_back, name, order_of, ship, take_back, watch
from tests.shop import WAIT_SECONDS, eventually, new_id, refused

ADDRESS = PostalAddress(
    recipient="Ada Lovelace",
    lines=["12 St James's Square"],
    city="London",
    postal_code="SW1Y 4JH",
    country_code="GB",
    location=Location(latitude=51.50731234567891, longitude=-0.13456789012345678),
)


async def test_its_customer_sees_it(shop):
    customer = await shop.customer()
    order_id = await shop.order(customer=customer)
    found = await shop.as_("customer", customer_id=customer).orders.GetOrder(get(order_id))
    assert found.order.customer_id == customer


async def test_holds_its_parcels_and_returns_where_lists_and_watches_do_not(shop):
    product = await shop.product(stock=9)
    order_id = await shop.order([(product, 4)], state="ACCEPTED")
    await shop.orders.ShipOrder(ship(order_id, (product, 3)))
    await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
    await shop.orders.ReturnOrder(take_back(order_id, (product, 1), reason="broken", restock=False))
    await given_back(shop, order_id)
    reply = await shop.orders.ShipOrder(ship(order_id, (product, 1)))

    order = await order_of(shop, order_id)

    assert order == reply.order
    assert [[line.quantity for line in parcel.lines] for parcel in order.shipments] == [[3], [1]]
    assert [(each.reason, each.lines[0].restock) for each in order.returns] == [
        ("too large", True),
        ("broken", False),
    ]
    (listed,) = (await shop.orders.ListOrders(ListOrdersRequest(store_id=shop.store_id))).orders
    async for update in shop.orders.WatchOrder(watch(order_id), timeout=WAIT_SECONDS):
        snapshot = update.order
        break
    for field in ("shipments", "returns"):
        order.ClearField(field)
    assert listed == snapshot == order


async def test_where_it_goes_is_kept_to_the_last_digit(shop):
    order_id = await shop.order(delivery_address=ADDRESS)
    assert (await order_of(shop, order_id)).delivery_address == ADDRESS


async def test_a_courier_sees_where_to_bring_a_parcel_but_not_how_it_is_paid(shop):
    order_id = await shop.order(delivery_address=ADDRESS, state="ACCEPTED")
    await shop.orders.ShipOrder(ship(order_id, courier_id="kim"))

    seen = await order_of(courier(shop, "kim"), order_id)

    assert seen.delivery_address == ADDRESS
    assert seen.payment_method == seen.payment_id == seen.next_action_url == ""
    order = await order_of(shop, order_id)
    order.ClearField("payment_method")
    order.ClearField("payment_id")
    order.ClearField("payment_expire_time")
    assert seen == order
    await shop.orders.DeliverOrder(deliver(order_id))
    assert name((await order_of(courier(shop, "kim"), order_id)).state) == "DELIVERED"


async def test_a_courier_sees_no_order_without_a_parcel_of_theirs(shop):
    accepted, sent, cancelled = [await shop.order(state="ACCEPTED") for _ in range(3)]
    await shop.orders.ShipOrder(ship(sent, courier_id="sam"))
    await shop.orders.CancelOrder(cancel(cancelled))
    missing = new_id()
    answers = []
    for by, asked in (
        *((courier(shop, "kim"), order_id) for order_id in (accepted, sent, cancelled, missing)),
        (courier(shop.another(), "sam"), sent),
    ):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked) as said:
            await by.orders.GetOrder(get(asked))
        answers.append(said.message.replace(asked, "ID"))
    assert len(set(answers)) == 1


async def test_read_while_it_moves_is_always_of_one_piece(shop):
    product = await shop.product(stock=20)
    order_id = await shop.order([(product, 20)], state="ACCEPTED")
    done = asyncio.Event()

    async def read():
        while not done.is_set():
            order = await order_of(shop, order_id)
            (line,) = order.lines
            assert sum(parcel.lines[0].quantity for parcel in order.shipments) == line.shipped_quantity
            assert sum(each.lines[0].quantity for each in order.returns) == line.returned_quantity
            assert sum(each.refunded.minor_units for each in order.returns) == order.refunded.minor_units
            assert order.sequence == 4 + len(order.shipments) + len(order.returns)

    async with asyncio.TaskGroup() as readers:
        for _ in range(4):
            readers.create_task(read())
        for _ in range(20):
            await shop.orders.ShipOrder(ship(order_id, (product, 1)))
            await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
        done.set()


async def test_one_that_was_not_sent_is_one_look_into_the_database(shop):
    order_id, trace_id = await shop.order(state="ACCEPTED"), uuid.uuid4().hex
    spans = Spans(shop.clients.cluster.spans_file)
    await shop.orders.GetOrder(get(order_id), metadata=(("traceparent", f"00-{trace_id}-{'a' * 16}-01"),))

    async def traced():
        found = [span.name for span in spans.trace(trace_id)]
        return found if any(each.endswith("/GetOrder") for each in found) else None

    assert [each for each in await eventually(traced) if each.startswith("SQL")] == ["SQL order"]


async def test_answers_a_foreign_order_exactly_like_a_missing_one(shop):
    order_id, missing = await shop.order(), new_id()
    answers = []
    for asked, by in (
        (order_id, shop.another()),
        (order_id, shop.as_("customer", customer_id=new_id())),
        (missing, shop),
    ):
        with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=asked) as said:
            await by.orders.GetOrder(get(asked))
        answers.append(said.message.replace(asked, "ID"))
    assert len(set(answers)) == 1


async def test_a_service_and_a_platform_administrator_see_any_order(shop):
    order_id = await shop.order()
    for by in (shop.as_service, shop.as_("platform_admin")):
        assert (await by.orders.GetOrder(get(order_id))).order.order_id == order_id


async def test_names_an_id_that_is_no_uuid(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.GetOrder(get("no uuid"))
    assert set(said.violations) == {"order_id"}
