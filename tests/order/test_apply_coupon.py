import asyncio

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.order.asks import create, name, order_of, state_of, steps_of, watch
from tests.order.deals import apply, held_back, money, new_coupon, paid, set_up, ships, sums, tax, to, used
from tests.shop import WAIT_SECONDS, eventually, new_id, refused


async def test_changes_the_total_of_an_order_that_is_not_reserved_yet_and_that_is_what_is_paid(shop):
    await set_up(shop, tax_rates=[tax(190_000)], shipping_rates=[ships(490, free_from=5000)])
    coupon, product, customer = await new_coupon(shop), await shop.product(price=5000), await shop.customer()

    async with held_back(shop, product):
        request = create(shop, customer, (product, 1), delivery_address=to("DE"))
        placed = (await shop.orders.CreateOrder(request)).order
        order = (await shop.orders.ApplyCoupon(apply(placed.order_id, "ten"))).order

    assert sums(placed) == {"subtotal": 5000, "discount": 0, "tax": 950, "shipping": 0, "total": 5950}
    assert sums(order) == {"subtotal": 5000, "discount": 500, "tax": 855, "shipping": 490, "total": 5845}
    assert (name(order.state), order.sequence, order.coupon_code) == ("PENDING", 2, "TEN")
    await shop.until(order.order_id, "CONFIRMED")
    assert await paid(shop, order.order_id) == 5845
    found = await order_of(shop, order.order_id)
    assert (found.lines, sums(found)) == (order.lines, sums(order))
    assert await used(shop, coupon) == 1


async def test_is_a_transition_on_the_timeline_and_in_the_stream(shop):
    await new_coupon(shop)
    product, customer = await shop.product(), await shop.customer()
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], customer=customer)
        await shop.orders.ApplyCoupon(apply(order_id))

    steps = [(update.sequence, update.step) async for update in watched(shop, order_id, "CONFIRMED")]

    assert steps == [(2, "apply_coupon"), (3, "reserve"), (4, "authorize")]
    assert await steps_of(shop, order_id) == ["create", "apply_coupon", "reserve", "authorize"]


async def test_adding_it_to_an_order_that_is_being_paid_is_in_time_or_refused_and_what_is_paid_is_the_total(
    shop,
):
    """Both outcomes are seen, again and again; money and order never differ."""
    await new_coupon(shop)
    product, customer = await shop.product(stock=10_000, price=1000), await shop.customer()

    async def race(delay_seconds):
        order = (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order
        await asyncio.sleep(delay_seconds)
        try:
            order = (await shop.orders.ApplyCoupon(apply(order.order_id))).order
        except grpc.aio.AioRpcError as error:
            assert "apply_coupon" in (error.details() or "")
            outcome = "late"
        else:
            outcome = "in time"
        await shop.until(order.order_id, "CONFIRMED")
        total = (await order_of(shop, order.order_id)).total.minor_units
        assert total == order.total.minor_units == (900 if outcome == "in time" else 1000)
        assert await paid(shop, order.order_id) == total
        return outcome

    outcomes = []
    for _ in range(30):
        outcomes += await asyncio.gather(*(race(n * 0.002) for n in range(10)))
        if len(outcomes) >= 50 and {"late", "in time"} <= set(outcomes):
            break

    assert set(outcomes) == {"late", "in time"}


@pytest.mark.parametrize("state", ["CONFIRMED", "REJECTED", "CANCELLED", "DELIVERED"])
async def test_refuses_an_order_that_went_to_be_paid_and_changes_nothing(shop, state):
    coupon, order_id = await new_coupon(shop), await shop.order(state=state)
    before = await order_of(shop, order_id)
    with refused(ErrorReason.ERROR_REASON_ORDER_STEP_NOT_ALLOWED, step="apply_coupon", state=state):
        await shop.orders.ApplyCoupon(apply(order_id))
    assert await order_of(shop, order_id) == before
    assert await used(shop, coupon) == 0


async def test_refuses_a_second_coupon(shop):
    first, second = await new_coupon(shop, "ONE"), await new_coupon(shop, "TWO")
    product, customer = await shop.product(), await shop.customer()
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], customer=customer)
        outcomes = await asyncio.gather(
            *(shop.orders.ApplyCoupon(apply(order_id, code)) for code in ("ONE", "TWO")),
            return_exceptions=True,
        )
        (won,) = [outcome.order for outcome in outcomes if not isinstance(outcome, BaseException)]
        with refused(ErrorReason.ERROR_REASON_ORDER_HAS_COUPON, code=won.coupon_code):
            await shop.orders.ApplyCoupon(apply(order_id, "ONE"))
    assert await used(shop, first) + await used(shop, second) == 1


async def test_refuses_a_coupon_that_does_not_apply_and_changes_nothing(shop):
    await new_coupon(shop, "MUCH", minimum=money(2000))
    await new_coupon(shop.another(), "THEIRS")
    spent, product = await new_coupon(shop, "SPENT", limit=1), await shop.product(price=1999)
    customer = await shop.customer()
    await shop.order([(product, 1)], customer=customer, coupon_code="SPENT")
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], customer=customer)
        before = await order_of(shop, order_id)
        with refused(ErrorReason.ERROR_REASON_COUPON_NOT_APPLICABLE, code="MUCH", cause="minimum"):
            await shop.orders.ApplyCoupon(apply(order_id, "MUCH"))
        with refused(ErrorReason.ERROR_REASON_COUPON_NOT_FOUND, code="THEIRS"):
            await shop.orders.ApplyCoupon(apply(order_id, "THEIRS"))
        with refused(ErrorReason.ERROR_REASON_COUPON_USED_UP, code="SPENT", of="everybody"):
            await shop.orders.ApplyCoupon(apply(order_id, "SPENT"))
        assert await order_of(shop, order_id) == before
    assert await used(shop, spent) == 1


async def test_keeps_the_rates_of_tax_that_the_order_was_placed_with(shop):
    await new_coupon(shop, amount=money(1000))
    await set_up(shop, tax_rates=[tax(100_000)])
    product, customer = await shop.product(price=2000), await shop.customer()
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], customer=customer)
        await set_up(shop, tax_included=True, tax_rates=[tax(500_000)])
        order = (await shop.orders.ApplyCoupon(apply(order_id))).order
    assert (order.tax_included, order.tax.minor_units, order.total.minor_units) == (False, 100, 1100)


async def test_sent_ten_times_at_once_with_one_request_id_it_is_used_once(shop):
    coupon, product, customer = await new_coupon(shop), await shop.product(), await shop.customer()
    async with held_back(shop, product):
        request = apply(await shop.order([(product, 1)], customer=customer))
        replies = await asyncio.gather(*(shop.orders.ApplyCoupon(request) for _ in range(10)))
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert await used(shop, coupon) == 1


async def test_an_order_that_is_called_off_gives_it_back(shop):
    from tests.order.asks import cancel

    coupon, product, customer = await new_coupon(shop), await shop.product(), await shop.customer()
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], customer=customer)
        await shop.orders.ApplyCoupon(apply(order_id))
        await shop.orders.CancelOrder(cancel(order_id))
    assert await used(shop, coupon) == 0
    await eventually(lambda: _is(shop, order_id, "CANCELLED"))


async def test_its_customer_may_add_it_but_no_other_and_no_other_store(shop):
    await new_coupon(shop)
    product, customer = await shop.product(), await shop.customer()
    async with held_back(shop, product):
        order_id = await shop.order([(product, 1)], customer=customer)
        for stranger in (shop.as_("customer", customer_id=new_id()), shop.another()):
            with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id):
                await stranger.orders.ApplyCoupon(apply(order_id))
        reply = await shop.as_("customer", customer_id=customer).orders.ApplyCoupon(apply(order_id))
    assert reply.order.coupon_code == "TEN"


async def test_refuses_an_order_that_does_not_exist(shop):
    order_id = new_id()
    with refused(ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, order_id=order_id):
        await shop.orders.ApplyCoupon(apply(order_id))


async def test_names_a_code_of_blanks(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.ApplyCoupon(apply(new_id(), " \u200b"))
    assert set(said.violations) == {"coupon_code"}


async def test_names_the_field_that_is_wrong(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.ApplyCoupon(apply("it", "", request_id="x"))
    assert set(said.violations) == {"order_id", "coupon_code", "request_id"}


async def test_refuses_a_courier(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="COURIER"):
        await shop.as_("courier").orders.ApplyCoupon(apply(new_id()))


async def watched(shop, order_id, state):
    """The updates of an order after its first transition, until it has come to a state."""
    call = shop.orders.WatchOrder(watch(order_id, after=1), timeout=WAIT_SECONDS)
    async for update in call:
        if not update.bookmark:
            yield update
        if name(update.state) == state:
            call.cancel()
            return


async def _is(shop, order_id, state):
    return await state_of(shop, order_id) == state
