"""What an order knows of its money: what really went back, until when it is promised. Nothing goes out unpaid."""

import asyncio
from datetime import UTC, datetime

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.operations_service_pb2 import ExplainOrderRequest, ListStuckOrdersRequest
from commerce.payment.v1.payment_events_pb2 import PaymentOperationFailed
from commerce.payment.v1.payment_pb2 import CaptureMode
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.settings_service_pb2 import PaymentSettings, SetPaymentSettingsRequest

from services.runtime.refusals import reason_of
from tests.order.asks import (
    accept,
    cancel,
    deliver,
    given_back,
    name,
    order_of,
    ship,
    state_of,
    steps_of,
    take_back,
)
from tests.order.test_reactions import applied, telling
from tests.payment.till import Till, said
from tests.shop import eventually, new_id, refused

UNPAID = ErrorReason.ERROR_REASON_ORDER_UNPAID


async def captures(shop, mode):
    settings = PaymentSettings(capture_mode=CaptureMode.Value(f"CAPTURE_MODE_{mode}"))
    request = SetPaymentSettingsRequest(store_id=shop.store_id, settings=settings, request_id=new_id())
    await shop.payment_settings.SetPaymentSettings(request)


async def payment_of(shop, order_id):
    asked = GetPaymentRequest(payment_id=(await order_of(shop, order_id)).payment_id)
    return (await shop.payments.GetPayment(asked)).payment


async def captured(shop, order_id, amount):
    """Wait until the order knows that so much was taken."""
    known = 'SELECT FROM "order".orders WHERE order_id = $1 AND captured_minor_units = $2'
    await eventually(lambda: shop.clients.rows(known, order_id, amount))


async def explained(shop, order_id):
    asked = ExplainOrderRequest(order_id=order_id)
    return (await shop.as_service.operations.ExplainOrder(asked)).situation


# Returns.


async def test_a_return_after_a_cent_by_hand_gives_back_the_rest_and_says_so(shop):
    product = await shop.product(price=1000)
    order_id = await shop.order([(product, 2)], state="DELIVERED")
    await captured(shop, order_id, 2000)
    await Till(shop).refund(await payment_of(shop, order_id), minor_units=1)

    await shop.orders.ReturnOrder(take_back(order_id, (product, 2)))

    order = await given_back(shop, order_id)
    (back,) = order.returns
    assert (back.refund.minor_units, back.refunded.minor_units, back.unrefunded.minor_units) == (
        2000,
        1999,
        1,
    )
    assert back.unrefunded_reason == "refunded_before"
    assert order.refunded.minor_units == (await payment_of(shop, order_id)).refunded.minor_units == 2000
    assert (name(order.state), order.reason) == ("RETURNED", "too large")
    assert (await steps_of(shop, order_id))[-2:] == ["return", "withhold"]
    situation = await explained(shop, order_id)
    assert (situation.unrefunded.minor_units, situation.unrefunded_reason) == (1, "refunded_before")


async def test_a_return_before_a_smaller_capture_gives_back_what_was_taken(shop):
    await captures(shop, "MANUAL")
    product = await shop.product(price=1000)
    order_id = await shop.order([(product, 2)], state="DELIVERED")
    await shop.orders.ReturnOrder(take_back(order_id, (product, 2)))
    assert (await order_of(shop, order_id)).refunded.minor_units == 0

    await Till(shop).capture(await payment_of(shop, order_id), minor_units=1500)

    order = await given_back(shop, order_id)
    (back,) = order.returns
    assert (back.refunded.minor_units, back.unrefunded.minor_units) == (1500, 500)
    assert back.unrefunded_reason == "not_captured"
    assert order.refunded.minor_units == 1500

    await Till(shop).capture(await payment_of(shop, order_id), minor_units=500)
    await eventually(lambda: _has_back(shop, order_id, 2000))
    (back,) = (await order_of(shop, order_id)).returns
    assert (back.unrefunded.minor_units, back.unrefunded_reason) == (0, "")


async def test_a_return_whose_money_never_comes_says_that_nothing_goes_back(shop):
    await captures(shop, "MANUAL")
    product = await shop.product(price=1000)
    order_id = await shop.order([(product, 1)], state="DELIVERED")
    await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))

    await Till(shop).void(await payment_of(shop, order_id))

    (back,) = (await given_back(shop, order_id)).returns
    assert (back.refunded.minor_units, back.unrefunded.minor_units) == (0, 1000)
    assert back.unrefunded_reason == "not_captured"


async def test_what_a_dispute_has_stopped_is_resolved_when_it_is_won_however_late_the_failure_is_told(shop):
    product = await shop.product(price=1000)
    order_id, till = await shop.order([(product, 1)], state="DELIVERED"), Till(shop)
    await captured(shop, order_id, 1000)
    async with till.unheard():
        dispute = await till.disputes(await payment_of(shop, order_id), 1000)
        await shop.orders.ReturnOrder(take_back(order_id, (product, 1)))
        await given_back(shop, order_id)
    assert (await explained(shop, order_id)).unrefunded_reason == "disputed"

    await till.decides(dispute, "won")
    await eventually(lambda: _has_back(shop, order_id, 1000))

    (failure,) = await shop.published(PaymentOperationFailed)
    async with telling(shop) as tell:
        await applied(shop, await tell(failure))
    (back,) = (await order_of(shop, order_id)).returns
    assert (back.unrefunded.minor_units, back.unrefunded_reason) == (0, "")
    assert not (await explained(shop, order_id)).HasField("unrefunded")


async def _has_back(shop, order_id, amount):
    (back,) = (await order_of(shop, order_id)).returns
    return back.refunded.minor_units == amount


async def test_what_was_refunded_for_a_cancellation_is_known_too(shop):
    await captures(shop, "AT_ONCE")
    order_id = await shop.order(until="CONFIRMED")
    await captured(shop, order_id, 1999)

    await shop.orders.CancelOrder(cancel(order_id))

    async def refunded():
        return (await order_of(shop, order_id)).refunded.minor_units == 1999

    await eventually(refunded)
    assert await state_of(shop, order_id) == "CANCELLED"


# Nothing goes out unpaid.


async def expired(shop, mode, **given):
    """An order of three units whose payment is promised for two seconds."""
    await captures(shop, mode)
    product = await shop.product(price=1000)
    order_id = await shop.order([(product, 3)], method="pm_sandbox_expiring", **given)
    order = await order_of(shop, order_id)
    if given.get("until") != "CONFIRMED":
        await shop.orders.ShipOrder(ship(order_id, (product, 1)))
    return order_id, order.payment_expire_time.ToDatetime()


@pytest.mark.parametrize("mode", ["ON_SHIPMENT", "MANUAL"])
async def test_when_the_promise_ends_nothing_more_is_sent_from_that_moment_on(shop, mode):
    order_id, time = await expired(shop, mode, state="ACCEPTED")

    await asyncio.sleep(max(0, (time - _now()).total_seconds()) + 0.05)
    with refused(UNPAID, cause="expired"):
        await shop.orders.ShipOrder(ship(order_id))

    async def marked():
        return (await order_of(shop, order_id)).unpaid_reason == "expired"

    await eventually(marked)
    with refused(UNPAID, cause="expired"):
        await shop.orders.ShipOrder(ship(order_id))
    assert (await steps_of(shop, order_id))[-1] == "uncover"
    assert "it is not paid for: expired" in (await explained(shop, order_id)).waits_for
    stuck = await shop.as_service.operations.ListStuckOrders(ListStuckOrdersRequest(page_size=500))
    assert order_id in {each.order_id for each in stuck.orders}
    # What is on its way still arrives, and may come back.
    await shop.orders.DeliverOrder(deliver(order_id))


async def test_when_the_promise_ends_the_order_is_not_accepted_either(shop):
    order_id, time = await expired(shop, "ON_SHIPMENT", until="CONFIRMED")
    await asyncio.sleep(max(0, (time - _now()).total_seconds()) + 0.05)
    # Either at once, or because the payment's own news was sooner and has ended the order.
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await shop.orders.AcceptOrder(accept(order_id))
    assert reason_of(told.value) in ("ORDER_UNPAID", "ORDER_STEP_NOT_ALLOWED")
    await shop.until(order_id, "CANCELLED")


async def test_what_is_taken_may_be_sent_after_its_promise_has_ended(shop):
    await captures(shop, "ON_ACCEPTANCE")
    product = await shop.product(price=1000)
    order_id = await shop.order([(product, 3)], method="pm_sandbox_expiring", state="ACCEPTED")
    await captured(shop, order_id, 3000)
    time = (await order_of(shop, order_id)).payment_expire_time.ToDatetime()

    await asyncio.sleep(max(0, (time - _now()).total_seconds()) + 0.05)

    await shop.orders.ShipOrder(ship(order_id))


async def test_a_capture_that_failed_stops_the_rest_until_it_is_taken(shop):
    await captures(shop, "ON_SHIPMENT")
    product, till = await shop.product(price=1000), Till(shop)
    order_id = await shop.order([(product, 3)], state="ACCEPTED")
    payment = await payment_of(shop, order_id)
    path = f"/v1/charges/{payment.provider_reference}"
    await till.provider("POST", f"{path}/void", {})
    await shop.orders.ShipOrder(ship(order_id, (product, 1)))

    async def marked():
        return (await order_of(shop, order_id)).unpaid_reason

    assert await eventually(marked) in ("step_not_allowed", "voided")
    with refused(UNPAID):
        await shop.orders.ShipOrder(ship(order_id, (product, 1)))


async def test_a_payment_given_up_by_hand_is_no_payment(shop):
    order_id = await shop.order(until="CONFIRMED")
    await Till(shop).void(await payment_of(shop, order_id))

    async def marked():
        return (await order_of(shop, order_id)).unpaid_reason == "voided"

    await eventually(marked)
    with refused(UNPAID, cause="voided"):
        await shop.orders.AcceptOrder(accept(order_id))
    await shop.orders.CancelOrder(cancel(order_id))


async def test_who_takes_less_by_hand_may_send_all_the_same(shop):
    await captures(shop, "MANUAL")
    order_id = await shop.order(state="ACCEPTED")
    await Till(shop).capture(await payment_of(shop, order_id), minor_units=1000, final=True)

    async def over():
        return said(await payment_of(shop, order_id)) == "CAPTURED"

    await eventually(over)
    await captured(shop, order_id, 1000)
    await shop.orders.ShipOrder(ship(order_id))


async def test_a_dispute_is_on_the_timeline(shop):
    order_id, till = await shop.order(state="DELIVERED"), Till(shop)
    await captured(shop, order_id, 1999)
    dispute = await till.disputes(await payment_of(shop, order_id), 1999)

    async def last(step):
        return (await steps_of(shop, order_id))[-1] == step

    await eventually(lambda: last("dispute"))
    await till.decides(dispute, "lost")
    await eventually(lambda: last("lose_dispute"))
    assert await state_of(shop, order_id) == "DELIVERED"


def _now():
    return datetime.now(UTC).replace(tzinfo=None)
