import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.times import timestamp
from tests.order.deals import coupon, disable, get_coupon, money, new_coupon
from tests.shop import new_id, refused

TODAY = datetime(2026, 11, 5, tzinfo=UTC)


async def test_keeps_the_code_in_capital_letters(shop):
    created = await new_coupon(shop, "summer-10_x")
    assert created.code == "SUMMER-10_X"


async def test_takes_a_code_that_was_pasted_with_blanks(shop):
    assert (await new_coupon(shop, "\u00a0spring-10 ")).code == "SPRING-10"
    with refused(ErrorReason.ERROR_REASON_COUPON_CODE_TAKEN, code="SPRING-10"):
        await new_coupon(shop, "Spring-10\t")


async def test_keeps_everything_as_it_was_asked_for(shop):
    asked = coupon(
        shop,
        amount=money(500),
        begin_time=TODAY,
        end_time=TODAY + timedelta(days=30),
        minimum=money(2000),
        limit=100,
        customer_limit=2,
    )
    created = (await shop.coupons.CreateCoupon(asked)).coupon
    for field in (
        "store_id",
        "code",
        "amount",
        "begin_time",
        "end_time",
        "minimum",
        "limit",
        "customer_limit",
    ):
        assert getattr(created, field) == getattr(asked, field)
    assert (created.used, created.disabled) == (0, False)
    assert (await shop.coupons.GetCoupon(get_coupon(created.coupon_id))).coupon == created


async def test_one_that_lasts_from_the_calendars_beginning_to_its_end_can_be_read(shop):
    """What programs write for "always" is infinite to PostgreSQL's driver, and no time any more."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    created = await new_coupon(shop, begin_time=timestamp(first), end_time=timestamp(last))

    found = (await shop.coupons.GetCoupon(get_coupon(created.coupon_id))).coupon
    assert found == created
    moment = timedelta(microseconds=1)
    assert (found.begin_time, found.end_time) == (timestamp(first + moment), timestamp(last - moment))


async def test_one_that_is_limited_by_nothing_says_so(shop):
    created = await new_coupon(shop, percentage_ppm=250_000)
    assert created.percentage_ppm == 250_000
    assert (created.limit, created.customer_limit) == (0, 0)
    unset = ("begin_time", "end_time", "minimum")
    assert not any(created.HasField(field) for field in unset)


async def test_a_minimum_without_a_sum_is_kept_with_its_currency(shop):
    assert (await new_coupon(shop, minimum=money(0, "USD"))).minimum == money(0, "USD")


async def test_refuses_a_code_that_is_taken_in_whatever_letters_but_not_in_another_store(shop):
    await new_coupon(shop, "ten")
    with refused(ErrorReason.ERROR_REASON_COUPON_CODE_TAKEN, code="TEN"):
        await new_coupon(shop, "Ten")
    await new_coupon(shop.another(), "TEN")


async def test_says_that_a_disabled_coupon_has_the_code(shop):
    held = await new_coupon(shop, "TEN")
    await shop.coupons.DisableCoupon(disable(held.coupon_id))

    with refused(
        ErrorReason.ERROR_REASON_COUPON_CODE_TAKEN, code="TEN", coupon_id=held.coupon_id, status="DISABLED"
    ) as said:
        await new_coupon(shop, "ten ")
    assert f"disabled coupon {held.coupon_id}" in said.message


async def test_many_at_once_with_one_code_are_one_coupon(shop):
    outcomes = await asyncio.gather(*(new_coupon(shop) for _ in range(10)), return_exceptions=True)
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1


async def test_sent_ten_times_at_once_with_one_request_id_is_one_coupon(shop):
    request = coupon(shop)
    replies = await asyncio.gather(*(shop.coupons.CreateCoupon(request) for _ in range(10)))
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("code", {"code": ""}),
        ("code", {"code": "10 %"}),
        ("code", {"code": "A" * 41}),
        ("kind", {"percentage_ppm": None}),
        ("percentage_ppm", {"percentage_ppm": 1_000_001}),
        ("amount", {"amount": money(0)}),
        ("minimum", {"minimum": money(-1)}),
        ("amount.currency_code", {"amount": money(500, "ZZZ")}),
        ("minimum.currency_code", {"minimum": money(500, "XAU")}),
        ("minimum", {"amount": money(5), "minimum": money(10, "USD")}),
        ("limit", {"limit": -1}),
        ("customer_limit", {"customer_limit": -1}),
        ("request_id", {"request_id": ""}),
        ("begin_time", {"begin_time": Timestamp(seconds=10**15)}),
        ("end_time", {"end_time": Timestamp(nanos=-1)}),
    ],
)
async def test_names_the_field_that_is_wrong(shop, field, change):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.coupons.CreateCoupon(coupon(shop, **change))
    assert field in said.violations


async def test_refuses_an_end_that_is_not_after_the_beginning(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await new_coupon(shop, begin_time=TODAY, end_time=TODAY)
    assert said.violations == {"end_time": "must be after begin_time"}


@pytest.mark.parametrize("role", ["customer", "courier"])
async def test_refuses_a_role_that_the_contract_does_not_name(shop, role):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role=role.upper()):
        await new_coupon(shop.as_(role, customer_id=new_id()))


async def test_refuses_to_create_it_in_another_store(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.coupons.CreateCoupon(coupon(shop.another()))
