from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import get
from tests.shop import new_id, refused


async def test_its_customer_sees_it(shop):
    customer = await shop.customer()
    order_id = await shop.order(customer=customer)
    found = await shop.as_("customer", customer_id=customer).orders.GetOrder(get(order_id))
    assert found.order.customer_id == customer


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
