from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import OrderState

from tests.shop import refused


def ask(shop, **given):
    return rpc.ListOrdersRequest(store_id=shop.store_id, **given)


async def several(shop, count, **given):
    product = await shop.product(stock=100)
    return [await shop.order([(product, 1)], **given) for _ in range(count)]


async def test_lists_the_newest_first_page_by_page_each_once(shop):
    placed = await several(shop, 5)
    seen, token = [], ""
    while True:
        page = await shop.orders.ListOrders(ask(shop, page_size=2, page_token=token))
        assert len(page.orders) <= 2
        seen += [order.order_id for order in page.orders]
        token = page.next_page_token
        if not token:
            break
    assert seen == placed[::-1]


async def test_lists_orders_with_all_their_lines(shop):
    one, two = await shop.product(), await shop.product()
    order_id = await shop.order([(one, 1), (two, 2)])
    (order,) = (await shop.orders.ListOrders(ask(shop))).orders
    assert order.order_id == order_id
    assert [(line.product_id, line.quantity) for line in order.lines] == [(one, 1), (two, 2)]


async def test_a_customer_sees_only_their_own(shop):
    customer = await shop.customer()
    own = await several(shop, 2, customer=customer)
    await several(shop, 2)
    page = await shop.as_("customer", customer_id=customer).orders.ListOrders(ask(shop))
    assert [order.order_id for order in page.orders] == own[::-1]


async def test_lists_one_state_only_when_asked(shop):
    failed = await shop.order(state="PAYMENT_FAILED")
    await shop.order(until="CONFIRMED")
    page = await shop.orders.ListOrders(ask(shop, state=OrderState.ORDER_STATE_PAYMENT_FAILED))
    assert [order.order_id for order in page.orders] == [failed]


async def test_another_store_sees_nothing_of_it(shop):
    await shop.order()
    other = shop.another()
    assert not (await other.orders.ListOrders(ask(other))).orders
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await other.orders.ListOrders(ask(shop))


async def test_refuses_a_page_token_of_another_query_or_a_forged_one(shop):
    await several(shop, 2)
    token = (await shop.orders.ListOrders(ask(shop, page_size=1))).next_page_token
    state = OrderState.ORDER_STATE_PENDING
    for request in (
        ask(shop, page_token=token, state=state),
        ask(shop, page_token=token[:-4] + "AAAA"),
        ask(shop, page_token="x"),
    ):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID) as said:
            await shop.orders.ListOrders(request)
        assert set(said.violations) == {"page_token"}


async def test_refuses_a_state_that_does_not_exist(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.ListOrders(ask(shop, state=99))
    assert set(said.violations) == {"state"}
