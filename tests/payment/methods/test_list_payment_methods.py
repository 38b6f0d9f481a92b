"""ListPaymentMethods."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_method_service_pb2 import ListPaymentMethodsRequest

from tests.payment.wallet import Wallet, ids
from tests.shop import new_id, refused


@pytest.fixture
def wallet(shop):
    return Wallet(shop)


async def test_lists_the_default_then_the_newest_first(wallet):
    one, two, three = [(await wallet.save()).payment_method_id for _ in range(3)]
    assert ids(await wallet.list()) == [one, three, two]

    await wallet.prefer(two)
    assert ids(await wallet.list()) == [two, three, one]


async def test_whoever_may_see_the_customer_sees_the_same(wallet, shop):
    saved = [await wallet.save()]
    for by in (shop, shop.as_("store_manager"), shop.as_("platform_admin"), shop.as_service):
        assert await wallet.list(by) == saved


async def test_another_store_sees_nothing_and_those_without_one_see_all(wallet, shop):
    elsewhere = Wallet(shop.another(), wallet.customer_id)
    own, theirs = await wallet.save(), await elsewhere.save()
    assert ids(await wallet.list()) == ids([own])
    assert ids(await elsewhere.list()) == ids([theirs])
    assert set(ids(await wallet.list(shop.as_service))) == set(ids([own, theirs]))


async def test_one_who_has_saved_nothing_has_none(shop):
    assert await Wallet(shop).list() == []


async def test_refuses_a_customer_who_asks_for_anothers(wallet, shop):
    await wallet.save()
    for asked in (wallet.customer_id, new_id()):
        with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=asked):
            request = ListPaymentMethodsRequest(customer_id=asked)
            await Wallet(shop).customer.payment_methods.ListPaymentMethods(request)
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="COURIER"):
        await wallet.list(shop.as_("courier"))
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await wallet.list(shop.as_nobody)


async def test_refuses_an_id_that_is_none_and_names_it(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.payment_methods.ListPaymentMethods(ListPaymentMethodsRequest(customer_id="me"))
    assert set(said.violations) == {"customer_id"}
