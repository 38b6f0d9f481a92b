"""ListCustomerPayments."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import PaymentState
from commerce.payment.v1.payment_service_pb2 import ListCustomerPaymentsRequest

from tests.payment.till import Till
from tests.shop import new_id, refused


async def listed(shop, customer_id, **given):
    request = ListCustomerPaymentsRequest(customer_id=customer_id, **given)
    page = await shop.payments.ListCustomerPayments(request)
    return [payment.payment_id for payment in page.payments], page.next_page_token


@pytest.fixture
async def paid(till):
    """A customer, and their three payments, the newest first, among others'."""
    customer_id, own = new_id(), []
    for _ in range(3):
        own.append((await till.authorize(customer_id=customer_id)).payment_id)
        await till.authorize()
    return customer_id, own[::-1]


async def test_lists_a_customers_payments_the_newest_first_page_by_page(shop, paid):
    customer_id, own = paid
    assert await listed(shop, customer_id) == (own, "")
    first, token = await listed(shop, customer_id, page_size=2)
    assert first == own[:2]
    assert await listed(shop, customer_id, page_token=token) == (own[2:], "")


async def test_whoever_may_see_the_store_or_is_the_customer_sees_the_same(shop, paid):
    customer_id, own = paid
    customer = shop.as_("customer", customer_id=customer_id)
    for by in (customer, shop.as_("store_manager"), shop.as_("platform_admin"), shop.as_service):
        assert await listed(by, customer_id) == (own, "")
        assert await listed(by, customer_id.upper()) == (own, "")


async def test_lists_one_state_only_when_asked(shop, till):
    customer_id = new_id()
    failed = await till.authorize("declined", customer_id=customer_id)
    await till.authorize(customer_id=customer_id)
    for by in (shop, shop.as_service, shop.as_("customer", customer_id=customer_id)):
        state = PaymentState.PAYMENT_STATE_FAILED
        assert await listed(by, customer_id, state=state) == ([failed.payment_id], "")


async def test_a_store_sees_its_own_payments_and_those_without_one_see_all(shop, paid):
    customer_id, own = paid
    elsewhere = shop.another()
    other = (await Till(elsewhere).authorize(customer_id=customer_id)).payment_id
    assert await listed(shop, customer_id) == (own, "")
    assert await listed(elsewhere, customer_id) == ([other], "")
    assert await listed(elsewhere.as_("customer", customer_id=customer_id), customer_id) == ([other], "")
    assert await listed(shop.as_service, customer_id) == ([other, *own], "")


async def test_one_who_never_paid_has_none(shop):
    assert await listed(shop, new_id()) == ([], "")


async def test_refuses_a_customer_who_asks_for_anothers_whether_there_is_one_or_not(shop, paid):
    customer_id, _ = paid
    other = shop.as_("customer", customer_id=new_id())
    for asked in (customer_id, new_id()):
        with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=asked):
            await listed(other, asked)


async def test_refuses_a_courier_and_nobody(shop, paid):
    customer_id, _ = paid
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="COURIER"):
        await listed(shop.as_("courier"), customer_id)
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await listed(shop.as_nobody, customer_id)


async def test_refuses_a_page_token_of_another_query_or_a_forged_one(shop, paid):
    customer_id, _ = paid
    _, token = await listed(shop, customer_id, page_size=1)
    for asked, given in (
        (new_id(), {"page_token": token}),
        (customer_id, {"page_token": token, "state": PaymentState.PAYMENT_STATE_PENDING}),
        (customer_id, {"page_token": token[:-4] + "AAAA"}),
    ):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
            await listed(shop, asked, **given)


@pytest.mark.parametrize(
    ("field", "given"),
    [("customer_id", {"customer_id": "me"}), ("state", {"state": 99}), ("page_size", {"page_size": 501})],
)
async def test_refuses_what_cannot_be_and_names_it(shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await listed(shop, **({"customer_id": new_id()} | given))
    assert set(told.violations) == {field}
