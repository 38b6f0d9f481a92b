"""RemovePaymentMethod."""

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.payment.till import at_once, said
from tests.payment.wallet import Wallet, ids, new_token, preferred
from tests.shop import new_id, refused


@pytest.fixture
def wallet(shop):
    return Wallet(shop)


async def test_it_is_forgotten_here_and_at_the_provider(wallet, till):
    token = new_token()
    saved = await wallet.save(token)

    await wallet.remove(saved.payment_method_id)

    assert await wallet.list() == []
    assert (await till.provider("GET", f"/v1/payment_methods/{token}"))["error"]["code"] == (
        "payment_method_unknown"
    )
    with refused(ErrorReason.ERROR_REASON_PAYMENT_METHOD_REFUSED):
        await wallet.save(token)


async def test_of_the_others_the_newest_becomes_the_default(wallet):
    one, two, three = [(await wallet.save()).payment_method_id for _ in range(3)]

    await wallet.remove(one)
    assert preferred(await wallet.list()) == [three]

    await wallet.remove(two)
    assert preferred(await wallet.list()) == ids(await wallet.list()) == [three]


async def test_payments_that_were_asked_for_with_it_go_on(wallet, till):
    token = new_token()
    saved = await wallet.save(token)
    asking = {"customer_id": wallet.customer_id, "payment_method": saved.payment_method_id}
    payment = await till.authorize(**asking)

    await wallet.remove(saved.payment_method_id)

    assert said(await till.capture(payment)) == "CAPTURED"
    assert said(await till.refund(payment)) == "REFUNDED"
    await till.agrees(payment)


async def test_what_somebody_else_keeps_too_stays_at_the_provider(wallet, shop, till):
    token, other = new_token(), Wallet(shop)
    saved = await wallet.save(token)
    await other.save(token)

    await wallet.remove(saved.payment_method_id)

    assert await wallet.list() == []
    assert (await till.provider("GET", f"/v1/payment_methods/{token}"))["token"] == token


async def test_what_a_payment_is_being_made_with_is_removed_after_it(wallet, till):
    saved = await wallet.save(new_token("late_webhook"))
    asking = {"customer_id": wallet.customer_id, "payment_method": saved.payment_method_id}
    payment = await till.authorize(**asking)
    assert said(payment) == "PENDING"

    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE, gateway="sandbox"):
        await wallet.remove(saved.payment_method_id)

    await till.until(payment, "AUTHORIZED")
    await wallet.remove(saved.payment_method_id)
    assert await wallet.list() == []


async def test_while_the_provider_is_away_nothing_is_removed(wallet, till):
    saved = await wallet.save()
    asking = wallet.removing(saved.payment_method_id)
    async with till.frozen():
        with refused(ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE, gateway="sandbox"):
            await wallet.customer.payment_methods.RemovePaymentMethod(asking)
        assert await wallet.list() == [saved]
    await wallet.customer.payment_methods.RemovePaymentMethod(asking)
    assert await wallet.list() == []


async def test_one_request_sent_many_times_is_one_removal_and_another_finds_nothing(wallet):
    kept, gone = await wallet.save(), await wallet.save()
    asking = wallet.removing(gone.payment_method_id)
    stub = wallet.customer.payment_methods
    await at_once(*(stub.RemovePaymentMethod(asking) for _ in range(10)))
    await stub.RemovePaymentMethod(asking)
    with refused(ErrorReason.ERROR_REASON_PAYMENT_METHOD_NOT_FOUND):
        await wallet.remove(gone.payment_method_id)
    assert await wallet.list() == [kept]


async def test_whatever_is_removed_and_preferred_at_once_one_of_the_rest_is_the_default(wallet):
    saved = [(await wallet.save()).payment_method_id for _ in range(6)]
    await at_once(*(wallet.remove(each) for each in saved[:3]), *(wallet.prefer(each) for each in saved[3:]))
    kept = await wallet.list()
    assert set(ids(kept)) == set(saved[3:])
    assert len(preferred(kept)) == 1


async def test_refuses_anothers_and_another_stores_like_a_missing_one(wallet, shop):
    other, elsewhere = Wallet(shop), Wallet(shop.another(), wallet.customer_id)
    foreign = [(await each.save()).payment_method_id for each in (other, elsewhere)]
    for method_id in (*foreign, new_id()):
        with refused(ErrorReason.ERROR_REASON_PAYMENT_METHOD_NOT_FOUND, payment_method_id=method_id):
            await wallet.remove(method_id)
    assert ids(await other.list()) == foreign[:1]
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND):
        await wallet.remove(foreign[0], customer_id=other.customer_id)


async def test_refuses_whoever_may_not_and_what_cannot_be(wallet, shop):
    asking = wallet.removing((await wallet.save()).payment_method_id)
    for role in ("store_manager", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role).payment_methods.RemovePaymentMethod(asking)
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as told:
        await wallet.remove("visa")
    assert set(told.violations) == {"payment_method_id"}
    await shop.payment_methods.RemovePaymentMethod(asking)
