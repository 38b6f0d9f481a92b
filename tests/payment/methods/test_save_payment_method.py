"""SavePaymentMethod."""

import asyncio
from signal import SIGCONT, SIGSTOP

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.payment.methods import queries as methods
from tests.payment.till import at_once
from tests.payment.wallet import Wallet, ids, new_token, preferred
from tests.shop import new_id, refused


@pytest.fixture
def wallet(shop):
    return Wallet(shop)


async def test_keeps_what_customers_know_a_card_by_and_never_shows_the_token(wallet, shop):
    token = new_token()

    saved = await wallet.save(token)

    assert (saved.customer_id, saved.store_id) == (wallet.customer_id, shop.store_id)
    assert saved.gateway == "sandbox"
    assert saved.brand in ("visa", "mastercard", "amex")
    assert len(saved.last_four) == 4 and saved.last_four.isdecimal()
    assert 1 <= saved.expiry_month <= 12 and saved.expiry_year > 2030
    assert saved.create_time.seconds
    assert token not in str(saved)
    assert await wallet.list() == [saved]


async def test_the_first_one_is_the_default_and_another_only_when_asked(wallet):
    first = await wallet.save()
    assert first.default

    second = await wallet.save()
    assert not second.default
    assert preferred(await wallet.list()) == [first.payment_method_id]

    third = await wallet.save(make_default=True)
    assert third.default
    assert preferred(await wallet.list()) == [third.payment_method_id]


async def test_a_token_that_is_saved_already_is_that_one(wallet):
    token = new_token()
    first = await wallet.save(token)
    other = await wallet.save(make_default=True)

    assert (await wallet.save(token)).payment_method_id == first.payment_method_id
    assert preferred(await wallet.list()) == [other.payment_method_id]

    again = await wallet.save(token, make_default=True)
    assert (again.payment_method_id, again.default) == (first.payment_method_id, True)
    assert len(await wallet.list()) == 2


async def test_two_customers_and_two_stores_keep_their_own(wallet, shop):
    other, elsewhere = Wallet(shop), Wallet(shop.another(), wallet.customer_id)
    token = new_token()
    saved = [await each.save(token) for each in (wallet, other, elsewhere)]
    assert len(set(ids(saved))) == 3
    assert all(each.default for each in saved)
    assert ids(await wallet.list()) == ids(saved[:1])


async def test_one_token_saved_many_times_at_once_is_one(wallet):
    token = new_token()
    saved = await at_once(*(wallet.save(token, make_default=index % 2 == 0) for index in range(15)))
    assert len(set(ids(saved))) == 1
    assert len(await wallet.list()) == 1


async def test_of_many_that_are_saved_at_once_one_is_the_default(wallet):
    saved = await at_once(*(wallet.save(make_default=index % 2 == 0) for index in range(10)))
    kept = await wallet.list()
    assert set(ids(kept)) == set(ids(saved))
    assert len(preferred(kept)) == 1


async def test_one_request_sent_many_times_at_once_has_one_answer(wallet):
    asking = wallet.saving()
    stub = wallet.customer.payment_methods
    replies = await at_once(*(stub.SavePaymentMethod(asking) for _ in range(10)))
    assert len({reply.SerializeToString() for reply in replies}) == 1

    removed = replies[0].payment_method.payment_method_id
    await wallet.remove(removed)
    assert (await stub.SavePaymentMethod(asking)) == replies[0]
    assert await wallet.list() == []


async def test_refuses_another_request_under_the_same_id(wallet):
    request_id = new_id()
    await wallet.save(request_id=request_id)
    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await wallet.save(request_id=request_id)


async def test_refuses_more_than_a_customer_may_keep_but_not_one_of_those(wallet):
    token = new_token()
    await wallet.save(token)
    for _ in range(methods.MOST - 2):
        await wallet.save()

    at_last = await asyncio.gather(*(wallet.save() for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(each, grpc.aio.AioRpcError) for each in at_last) == 2
    with refused(ErrorReason.ERROR_REASON_PAYMENT_METHODS_TOO_MANY, limit=str(methods.MOST)):
        await wallet.save()
    assert (await wallet.save(token)).gateway == "sandbox"
    assert len(await wallet.list()) == methods.MOST


async def test_refuses_a_token_that_the_provider_does_not_know_and_keeps_nothing(wallet):
    with refused(ErrorReason.ERROR_REASON_PAYMENT_METHOD_REFUSED, gateway="sandbox"):
        await wallet.save("pm_sandbox_nobodys")
    assert await wallet.list() == []


@pytest.mark.parametrize("token", ["pm_elsewhere_ok", "hosted", "default", "x", "visa"])
async def test_refuses_a_token_of_no_gateway(wallet, token):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await wallet.save(token)
    assert said.violations.keys() == {"token"}


async def test_refuses_while_the_provider_is_away_and_saves_when_it_is_back(wallet, till):
    asking = wallet.saving()
    async with till.frozen():
        with refused(ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE, gateway="sandbox") as said:
            await wallet.customer.payment_methods.SavePaymentMethod(asking)
        assert said.retry_seconds
        assert await wallet.list() == []
    await wallet.customer.payment_methods.SavePaymentMethod(asking)
    assert len(await wallet.list()) == 1


async def test_a_customer_saves_for_themselves_only(wallet, shop):
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND):
        await wallet.save(customer_id=new_id())
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await wallet.save(store_id=new_id())
    assert (await wallet.save(customer_id=wallet.customer_id.upper())).customer_id == wallet.customer_id
    wallet = Wallet(shop, await shop.customer())
    for by in (shop, shop.as_("platform_admin"), shop.as_service):
        await by.payment_methods.SavePaymentMethod(wallet.saving())
    for role in ("store_manager", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role).payment_methods.SavePaymentMethod(wallet.saving())
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await shop.as_nobody.payment_methods.SavePaymentMethod(wallet.saving())


@pytest.mark.parametrize("role", ["store_admin", "platform_admin", "service"])
async def test_a_customer_of_another_store_is_answered_like_one_that_does_not_exist(shop, role):
    """Neither has anything saved, in whatever store, and whoever looks sees the same."""
    by = shop.as_(role)
    missing, foreign = Wallet(shop), Wallet(shop, await shop.another().customer())
    said = []
    for wallet in (missing, foreign):
        for customer_id in (wallet.customer_id, wallet.customer_id.upper()):
            with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=wallet.customer_id) as told:
                await by.payment_methods.SavePaymentMethod(wallet.saving(customer_id=customer_id))
            said.append(told.message.replace(wallet.customer_id, "…"))
        assert await wallet.list() == await wallet.list(by) == []
    assert len(set(said)) == 1


async def test_of_two_stores_only_the_customers_own_keeps_their_method(shop):
    other = shop.another()
    wallet = Wallet(shop, await shop.customer())
    elsewhere = Wallet(other, wallet.customer_id)
    await shop.payment_methods.SavePaymentMethod(wallet.saving())
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND):
        await other.payment_methods.SavePaymentMethod(elsewhere.saving())


async def test_while_nobody_can_say_whose_a_customer_is_nothing_is_kept(shop, payment_cluster):
    wallet = Wallet(shop, await shop.customer())
    asking = wallet.saving()
    payment_cluster.kill("customer", SIGSTOP)
    try:
        with refused(ErrorReason.ERROR_REASON_UNAVAILABLE) as said:
            await shop.payment_methods.SavePaymentMethod(asking)
        assert said.retry_seconds
        assert (await wallet.save()).gateway == "sandbox"  # A customer's own token says whose they are.
    finally:
        payment_cluster.kill("customer", SIGCONT)
    await shop.payment_methods.SavePaymentMethod(asking)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("customer_id", "x"),
        ("store_id", "x"),
        ("token", "x" * 201),
        ("token", "4111 1111 1111 1111"),
        ("request_id", ""),
    ],
)
async def test_refuses_what_cannot_be_and_names_it(wallet, shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.as_service.payment_methods.SavePaymentMethod(wallet.saving(**{field: given}))
    assert set(said.violations) == {field}


async def test_tokens_are_never_in_logs(wallet, payment_cluster):
    token = new_token()
    saved = await wallet.save(token)
    with refused(ErrorReason.ERROR_REASON_PAYMENT_METHOD_REFUSED):
        await wallet.save("pm_sandbox_nobodys_secret")
    await wallet.remove(saved.payment_method_id)

    log = payment_cluster.process("payment").spec.log.read_text()

    assert token.rpartition("_")[2] not in log
    assert "nobodys_secret" not in log


async def test_by_rest(wallet):
    path = f"/v1/customers/{wallet.customer_id}/payment-methods"
    asked = {"storeId": wallet.shop.store_id, "token": new_token(), "requestId": new_id()}
    reply = await wallet.customer.rest("POST", path, asked)
    assert reply.status == 200
    assert reply.body["paymentMethod"]["default"] is True
