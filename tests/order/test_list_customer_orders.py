import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import OrderState

from tests.shop import new_id, refused


def ask(customer, **given):
    return rpc.ListCustomerOrdersRequest(customer_id=customer, **given)


async def listed(shop, customer, **given):
    page = await shop.orders.ListCustomerOrders(ask(customer, **given))
    return [order.order_id for order in page.orders], page.next_page_token


@pytest.fixture
async def bought(shop):
    """A customer, and their three orders, the newest first, among others'."""
    customer, product = await shop.customer(), await shop.product(stock=50)
    own = []
    for _ in range(3):
        own.append(await shop.order([(product, 1)], customer=customer))
        await shop.order([(product, 1)])
    return customer, own[::-1]


async def test_lists_a_customers_orders_the_newest_first_page_by_page(shop, bought):
    customer, own = bought
    assert await listed(shop, customer) == (own, "")
    first, token = await listed(shop, customer, page_size=2)
    assert first == own[:2]
    assert await listed(shop, customer, page_token=token) == (own[2:], "")


async def test_whoever_may_see_the_store_or_is_the_customer_sees_the_same(shop, bought):
    customer, own = bought
    for by in (
        shop.as_("customer", customer_id=customer),
        shop.as_("store_manager"),
        shop.as_("platform_admin"),
        shop.as_service,
    ):
        assert await listed(by, customer) == (own, "")
        assert await listed(by, customer.upper()) == (own, "")


async def test_lists_one_state_only_when_asked(shop):
    customer, product = await shop.customer(), await shop.product()
    failed = await shop.order([(product, 1)], customer=customer, state="PAYMENT_FAILED")
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")
    for by in (shop, shop.as_service):
        state = OrderState.ORDER_STATE_PAYMENT_FAILED
        assert await listed(by, customer, state=state) == ([failed], "")


async def test_a_customer_of_another_store_is_answered_like_one_who_never_bought(shop, bought):
    customer, _ = bought
    for by, asked in ((shop.another(), customer), (shop, new_id())):
        assert await listed(by, asked) == ([], "")


async def test_refuses_a_customer_who_asks_for_anothers_whether_there_is_one_or_not(shop, bought):
    customer, _ = bought
    other = shop.as_("customer", customer_id=new_id())
    for asked in (customer, new_id()):
        with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=asked):
            await listed(other, asked)


async def test_refuses_a_courier_and_nobody(shop, bought):
    customer, _ = bought
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="COURIER"):
        await listed(shop.as_("courier"), customer)
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await listed(shop.as_nobody, customer)


async def test_refuses_a_page_token_of_another_query_or_a_forged_one(shop, bought):
    customer, _ = bought
    _, token = await listed(shop, customer, page_size=1)
    store = rpc.ListOrdersRequest(store_id=shop.store_id, customer_id=customer, page_size=1)
    of_the_store = (await shop.orders.ListOrders(store)).next_page_token
    for asked in (
        ask(new_id(), page_token=token),
        ask(customer, page_token=token, state=OrderState.ORDER_STATE_PENDING),
        ask(customer, page_token=of_the_store),
        ask(customer, page_token="x"),
    ):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID) as said:
            await shop.orders.ListCustomerOrders(asked)
        assert set(said.violations) == {"page_token"}


@pytest.mark.parametrize(
    "given", [{"customer_id": "Ada"}, {"state": 99}, {"page_size": 501}, {"page_size": -1}], ids=str
)
async def test_refuses_what_cannot_be_and_names_it(shop, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.ListCustomerOrders(
            rpc.ListCustomerOrdersRequest(**({"customer_id": new_id()} | given))
        )
    assert set(said.violations) == set(given)
