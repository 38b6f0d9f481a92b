"""SetDefaultPaymentMethod."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.payment.till import at_once
from tests.payment.wallet import Wallet, preferred
from tests.shop import new_id, refused


@pytest.fixture
def wallet(shop):
    return Wallet(shop)


async def test_prefers_one_and_no_other(wallet):
    one, two = await wallet.save(), await wallet.save()

    told = await wallet.prefer(two.payment_method_id)

    assert (told.payment_method_id, told.default) == (two.payment_method_id, True)
    assert preferred(await wallet.list()) == [two.payment_method_id]
    await wallet.prefer(one.payment_method_id.upper())
    assert preferred(await wallet.list()) == [one.payment_method_id]


async def test_of_many_that_are_preferred_at_once_one_is(wallet):
    saved = [(await wallet.save()).payment_method_id for _ in range(4)]
    await at_once(*(wallet.prefer(each) for each in saved * 3))
    assert len(preferred(await wallet.list())) == 1


async def test_the_default_of_another_store_stays(wallet, shop):
    elsewhere = Wallet(shop.another(), wallet.customer_id)
    theirs = await elsewhere.save()
    await wallet.save()
    await wallet.prefer((await wallet.save()).payment_method_id)
    assert preferred(await elsewhere.list()) == [theirs.payment_method_id]


async def test_twice_with_one_request_id_is_one_change(wallet):
    one, two = await wallet.save(), await wallet.save()
    asking = wallet.preferring(two.payment_method_id)
    stub = wallet.customer.payment_methods
    first = await stub.SetDefaultPaymentMethod(asking)
    await wallet.prefer(one.payment_method_id)

    assert await stub.SetDefaultPaymentMethod(asking) == first

    assert preferred(await wallet.list()) == [one.payment_method_id]


async def test_refuses_anothers_another_stores_and_one_that_was_removed_like_a_missing_one(wallet, shop):
    other, elsewhere = Wallet(shop), Wallet(shop.another(), wallet.customer_id)
    removed = (await wallet.save()).payment_method_id
    await wallet.remove(removed)
    foreign = [(await each.save()).payment_method_id for each in (other, elsewhere)]
    for method_id in (*foreign, removed, new_id()):
        with refused(ErrorReason.ERROR_REASON_PAYMENT_METHOD_NOT_FOUND, payment_method_id=method_id):
            await wallet.prefer(method_id)
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND):
        await wallet.prefer(foreign[0], customer_id=other.customer_id)


async def test_refuses_whoever_may_not_and_what_cannot_be(wallet, shop):
    asking = wallet.preferring((await wallet.save()).payment_method_id)
    for role in ("store_manager", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role).payment_methods.SetDefaultPaymentMethod(asking)
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await wallet.prefer("visa")
    assert set(said.violations) == {"payment_method_id"}
    await shop.payment_methods.SetDefaultPaymentMethod(asking)
