from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.deals import get_coupon, new_coupon, used
from tests.shop import new_id, refused


async def test_tells_how_often_it_was_used(shop):
    coupon, customer, product = await new_coupon(shop), await shop.customer(), await shop.product()
    assert await used(shop, coupon) == 0
    await shop.order([(product, 1)], customer=customer, coupon_code="TEN")
    await shop.order([(product, 1)], customer=customer)
    assert await used(shop, coupon) == 1


async def test_refuses_one_that_does_not_exist_and_another_stores_alike(shop):
    coupon = await new_coupon(shop)
    for asking, coupon_id in ((shop, new_id()), (shop.another(), coupon.coupon_id)):
        with refused(ErrorReason.ERROR_REASON_COUPON_NOT_FOUND, coupon_id=coupon_id) as said:
            await asking.coupons.GetCoupon(get_coupon(coupon_id))
        assert said.message == f"There is no coupon {coupon_id}"


async def test_refuses_a_customer(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_("customer", customer_id=new_id()).coupons.GetCoupon(get_coupon(new_id()))


async def test_names_the_field_that_is_wrong(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.coupons.GetCoupon(get_coupon("TEN"))
    assert set(said.violations) == {"coupon_id"}
