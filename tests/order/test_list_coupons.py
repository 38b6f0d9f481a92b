import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.coupon_service_pb2 import ListCouponsRequest

from tests.order.deals import new_coupon
from tests.shop import new_id, refused


def ask(shop, **given):
    return ListCouponsRequest(store_id=shop.store_id, **given)


async def test_lists_the_newest_first_page_by_page_each_once(shop):
    created = [await new_coupon(shop, f"C{n}") for n in range(5)]
    seen, token = [], ""
    while True:
        page = await shop.coupons.ListCoupons(ask(shop, page_size=2, page_token=token))
        assert len(page.coupons) <= 2
        seen += page.coupons
        token = page.next_page_token
        if not token:
            break
    assert seen == created[::-1]


async def test_another_store_sees_nothing_of_it(shop):
    await new_coupon(shop)
    other = shop.another()
    assert not (await other.coupons.ListCoupons(ask(other))).coupons
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await other.coupons.ListCoupons(ask(shop))


async def test_refuses_a_page_token_of_another_query_or_a_forged_one(shop):
    for n in range(2):
        await new_coupon(shop, f"C{n}")
    token = (await shop.coupons.ListCoupons(ask(shop, page_size=1))).next_page_token
    other = shop.another()
    for asking, forged in ((shop, "x"), (shop, token[:-4] + "AAAA"), (other, token)):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID) as said:
            await asking.coupons.ListCoupons(ask(asking, page_token=forged))
        assert set(said.violations) == {"page_token"}


@pytest.mark.parametrize(
    ("field", "change"), [("page_size", {"page_size": 501}), ("page_size", {"page_size": -1})]
)
async def test_names_the_field_that_is_wrong(shop, field, change):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.coupons.ListCoupons(ask(shop, **change))
    assert set(said.violations) == {field}


async def test_refuses_a_customer(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.as_("customer", customer_id=new_id()).coupons.ListCoupons(ask(shop))
