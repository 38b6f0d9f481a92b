import asyncio

from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import create, order_of
from tests.order.deals import disable, get_coupon, new_coupon
from tests.shop import new_id, refused


async def test_it_is_not_used_any_more_but_orders_that_use_it_keep_it(shop):
    coupon, customer, product = await new_coupon(shop), await shop.customer(), await shop.product(price=1000)
    order_id = await shop.order([(product, 1)], customer=customer, coupon_code="TEN")

    disabled = (await shop.coupons.DisableCoupon(disable(coupon.coupon_id))).coupon

    assert (disabled.disabled, disabled.used) == (True, 1)
    assert (await shop.coupons.GetCoupon(get_coupon(coupon.coupon_id))).coupon == disabled
    with refused(ErrorReason.ERROR_REASON_COUPON_NOT_APPLICABLE, code="TEN", cause="disabled"):
        await shop.orders.CreateOrder(create(shop, customer, (product, 1), coupon_code="TEN"))
    assert (await order_of(shop, order_id)).discount.minor_units == 100


async def test_disabling_it_twice_is_disabling_it_once(shop):
    coupon = await new_coupon(shop)
    first = await shop.coupons.DisableCoupon(disable(coupon.coupon_id))
    assert await shop.coupons.DisableCoupon(disable(coupon.coupon_id)) == first


async def test_sent_ten_times_at_once_with_one_request_id_answers_the_same(shop):
    request = disable((await new_coupon(shop)).coupon_id)
    replies = await asyncio.gather(*(shop.coupons.DisableCoupon(request) for _ in range(10)))
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1


async def test_refuses_one_that_does_not_exist_and_another_stores_alike(shop):
    coupon = await new_coupon(shop)
    for asking, coupon_id in ((shop, new_id()), (shop.another(), coupon.coupon_id)):
        with refused(ErrorReason.ERROR_REASON_COUPON_NOT_FOUND, coupon_id=coupon_id):
            await asking.coupons.DisableCoupon(disable(coupon_id))
    assert not (await shop.coupons.GetCoupon(get_coupon(coupon.coupon_id))).coupon.disabled


async def test_refuses_a_customer(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_("customer", customer_id=new_id()).coupons.DisableCoupon(disable(new_id()))


async def test_names_the_field_that_is_wrong(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.coupons.DisableCoupon(disable("TEN", request_id="x"))
    assert set(said.violations) == {"coupon_id", "request_id"}
