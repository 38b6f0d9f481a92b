"""AuthorizePayment with a saved payment method's id, or "default"."""

from uuid import UUID

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.payment.till import at_once, said
from tests.payment.wallet import Wallet, new_token
from tests.shop import new_id, refused


@pytest.fixture
def wallet(shop):
    return Wallet(shop)


def again(till, asking):
    """The same order, asked for by another request."""
    return till.asking(
        order_id=asking.order_id, customer_id=asking.customer_id, payment_method=asking.payment_method
    )


async def test_the_provider_is_told_its_own_token(wallet, till):
    token = new_token()
    saved = await wallet.save(token)
    for method in (saved.payment_method_id, saved.payment_method_id.upper(), "default", token):
        payment = await till.authorize(customer_id=wallet.customer_id, payment_method=method)
        assert (said(payment), payment.payment_method) == ("AUTHORIZED", token)
        await till.agrees(payment)


async def test_the_default_is_the_one_that_is_preferred(wallet, till):
    await wallet.save()
    token = new_token("declined")
    await wallet.save(token, make_default=True)

    payment = await till.authorize(customer_id=wallet.customer_id, payment_method="default")

    assert (said(payment), payment.payment_method) == ("FAILED", token)


async def test_an_order_that_is_asked_for_again_keeps_its_method_when_the_default_is_another(wallet, till):
    token = new_token()
    await wallet.save(token)
    asking = till.asking(customer_id=wallet.customer_id, payment_method="default")
    first = await till.ask(asking)
    await wallet.save(make_default=True)

    answered = await till.ask(again(till, asking))

    assert (answered.payment_id, answered.payment_method) == (first.payment_id, token)
    await till.agrees(first)


async def test_an_order_that_is_asked_for_again_is_answered_though_its_method_is_gone(wallet, till):
    saved = await wallet.save()
    for method in (saved.payment_method_id, "default"):
        asking = till.asking(customer_id=wallet.customer_id, payment_method=method)
        first = await till.ask(asking)
        if method == "default":
            await wallet.remove(saved.payment_method_id)
        answered = await till.ask(again(till, asking))
        assert (answered.payment_id, said(answered)) == (first.payment_id, "AUTHORIZED")

    asking.payment_method, asking.request_id = saved.payment_method_id, new_id()
    assert (await till.ask(asking)).payment_id == first.payment_id


async def test_one_order_asked_for_by_default_twenty_times_at_once_is_charged_once(wallet, till):
    await wallet.save()
    asking = till.asking(customer_id=wallet.customer_id, payment_method="default")
    payments = await at_once(*(till.ask(again(till, asking)) for _ in range(20)))
    assert len({payment.payment_id for payment in payments}) == 1
    await till.agrees(await till.until(payments[0], "AUTHORIZED"))


async def test_refuses_another_saved_method_for_an_order_that_is_paid(wallet, till):
    one, two = await wallet.save(), await wallet.save()
    asking = till.asking(customer_id=wallet.customer_id, payment_method=one.payment_method_id)
    await till.ask(asking)
    other = again(till, asking)
    other.payment_method = two.payment_method_id
    with refused(ErrorReason.ERROR_REASON_PAYMENT_MISMATCH, order_id=asking.order_id):
        await till.ask(other)


async def test_refuses_what_is_not_the_customers_and_the_stores_and_records_nothing(wallet, till, shop):
    other, elsewhere = Wallet(shop), Wallet(shop.another(), wallet.customer_id)
    foreign = [(await each.save()).payment_method_id for each in (other, elsewhere)]
    removed = (await wallet.save()).payment_method_id
    await wallet.remove(removed)

    for method in (*foreign, removed, new_id(), "default"):
        asking = till.asking(customer_id=wallet.customer_id, payment_method=method)
        with refused(ErrorReason.ERROR_REASON_PAYMENT_METHOD_NOT_FOUND, payment_method_id=method):
            await till.ask(asking)
        sql = "SELECT FROM payment.payments WHERE order_id = $1"
        assert await shop.clients.rows(sql, UUID(asking.order_id)) == []


async def test_another_customers_order_is_not_answered_by_default(wallet, till):
    await wallet.save()
    asking = till.asking()
    await till.ask(asking)
    with refused(ErrorReason.ERROR_REASON_PAYMENT_MISMATCH):
        await till.ask(
            till.asking(order_id=asking.order_id, customer_id=wallet.customer_id, payment_method="default")
        )


async def test_an_order_that_was_cancelled_before_it_was_asked_for_stays_so(wallet, till):
    await wallet.save()
    asking = till.asking(customer_id=wallet.customer_id, payment_method="default")
    await till.applied(await till.cancelled(asking))
    assert said(await till.ask(asking)) == "VOIDED"
