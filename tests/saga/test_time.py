"""What happens when days pass: months end, money expires, patience does, tokens and coupons grow old."""

import signal
from datetime import UTC, timedelta

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_service_pb2 import (
    GetCustomerOrderStatsRequest,
    MonthlyOrders,
    WatchStoreOrdersRequest,
)

from services.cluster.cluster import Cluster
from tests.order.asks import cancel, create, order_of, state_of, steps_of
from tests.order.deals import money, new_coupon, preview
from tests.order.operations import situation_of
from tests.payment.till import Till, said
from tests.saga.checkouts import book, no_dead_letters, stock
from tests.saga.clock import Clock
from tests.shop import Clients, Shop, eventually, refused

DAY = timedelta(days=1)
UNITS = 5
# The provider keeps the machine's time: for it to wait as long as days pass here, it has to wait longer than it does.
PATIENT = {
    "COMMERCE_SANDBOX_AUTHORIZATION_SECONDS": str(366 * 86_400),
    "COMMERCE_SANDBOX_CHALLENGE_SECONDS": str(366 * 86_400),
}


@pytest.fixture(scope="module")
async def timed(tmp_path_factory):
    """A cluster of their own, and its clock."""
    home = tmp_path_factory.mktemp("time")
    clock = Clock(home / "clock")
    async with Cluster(home / "home", environment=clock.environment | PATIENT) as cluster:
        clients = Clients(cluster)
        await clock.install(cluster, clients)
        yield clients, clock
        await clients.close()


@pytest.fixture
def clock(timed):
    return timed[1]


@pytest.fixture
def shop(timed):
    return Shop(timed[0])


def first_of_next_month(time):
    return (time.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + 32 * DAY).replace(day=1)


async def stats_of(shop, customer):
    return await shop.orders.GetCustomerOrderStats(GetCustomerOrderStatsRequest(customer_id=customer))


async def test_an_order_of_the_last_day_that_is_paid_on_the_first_counts_where_it_was_placed(shop, clock):
    """So does what becomes of it later: months are of orders placed. The provider tells of the payment after 3 s."""
    customer, product = await shop.customer(), await shop.product(stock=UNITS)
    midnight = first_of_next_month(clock.now() + DAY)
    await clock.set(midnight - timedelta(minutes=1))
    placed = [
        await shop.order([(product, 1)], "pm_sandbox_late_webhook", customer, until="PAYMENT_UNKNOWN")
        for _ in range(2)
    ]
    await clock.set(midnight + timedelta(minutes=1))

    for order_id in placed:
        await shop.until(order_id, "CONFIRMED")
    await shop.orders.CancelOrder(cancel(placed[0]))
    await shop.order([(product, 1)], customer=customer, until="CONFIRMED")

    stats = await stats_of(shop, customer)
    assert stats.months == [
        MonthlyOrders(month=f"{midnight - DAY:%Y-%m}", orders=2),
        MonthlyOrders(month=f"{midnight:%Y-%m}", orders=1),
    ]
    assert (stats.total_orders, stats.cancelled_orders) == (3, 1)
    assert [(each.paid_orders, each.total_spent.minor_units) for each in stats.spending] == [(2, 2 * 1999)]


async def test_an_order_that_is_not_paid_for_in_its_time_expires_then_and_not_before(shop, clock):
    product, cluster = await shop.product(stock=UNITS), shop.clients.cluster
    cluster.kill("sandbox", signal.SIGSTOP)
    try:
        order_id = await shop.order([(product, 1)], until="PAYMENT_UNKNOWN")
        ends = (await order_of(shop, order_id)).expire_time.ToDatetime(UTC)
        await clock.set(ends - timedelta(seconds=30))
        assert await state_of(shop, order_id) == "PAYMENT_UNKNOWN"
        await clock.set(ends)
        await shop.until(order_id, "EXPIRED")
    finally:
        cluster.kill("sandbox", signal.SIGCONT)

    assert (await steps_of(shop, order_id))[-1] == "expire"
    await eventually(lambda: _is(stock(shop, product), (UNITS, 0)))
    await eventually(lambda: _let_go(shop, order_id))


async def _let_go(shop, order_id):
    """Whether the provider, heard again, holds nothing of an order's money."""
    charges = (await book(shop)).get(order_id, [])
    return all(charge["status"] in ("voided", "expired") for charge in charges)


async def test_a_provider_that_stays_silent_is_asked_ever_more_seldom_and_again_in_its_time(shop, clock):
    """The next look at an order whose payment is unknown is twice as far away as the last one, up to five minutes."""
    cluster = shop.clients.cluster
    cluster.kill("sandbox", signal.SIGSTOP)
    try:
        order_id = await shop.order(until="PAYMENT_UNKNOWN")
        waits: list[float] = []
        for _ in range(8):
            waits.append(await eventually(lambda: _due(shop, order_id, clock)))
            await clock.forward(waits[-1])
    finally:
        cluster.kill("sandbox", signal.SIGCONT)

    assert max(waits) > 3 * waits[0], waits
    assert max(waits) <= 300
    await clock.forward(300)
    await shop.until(order_id, "CONFIRMED")


async def _due(shop, order_id, clock):
    """In how many seconds an order is looked at next, if that lies in the future."""
    situation = await situation_of(shop, order_id)
    if not situation.HasField("due_time"):
        return None
    seconds = (situation.due_time.ToDatetime(UTC) - clock.now()).total_seconds()
    return seconds if seconds > 1 else None


async def test_a_coupon_holds_from_its_first_moment_and_no_longer_than_to_its_last(shop, clock):
    customer, product = await shop.customer(), await shop.product(price=1000)
    begin, end = clock.now() + DAY, clock.now() + 2 * DAY
    await new_coupon(shop, "DAY", begin_time=begin, end_time=end)
    cart = preview(shop, customer, (product, 1), coupon_code="DAY")

    with refused(ErrorReason.ERROR_REASON_COUPON_NOT_APPLICABLE, code="DAY", cause="not_begun"):
        await shop.orders.PreviewOrder(cart)
    await clock.set(begin)
    assert (await shop.orders.PreviewOrder(cart)).order.discount == money(100)
    await clock.set(end - timedelta(seconds=30))
    assert (await shop.orders.PreviewOrder(cart)).order.discount == money(100)
    await clock.set(end)
    with refused(ErrorReason.ERROR_REASON_COUPON_NOT_APPLICABLE, code="DAY", cause="ended"):
        await shop.orders.PreviewOrder(cart)


async def test_a_feed_goes_on_after_six_days_and_says_so_when_it_no_longer_can(shop, clock):
    product, customer = await shop.product(), await shop.customer()
    watch = shop.orders.WatchStoreOrders(WatchStoreOrdersRequest(store_id=shop.store_id))
    token = (await watch.read()).resume_token
    watch.cancel()
    order_id = (await shop.orders.CreateOrder(create(shop, customer, (product, 1)))).order.order_id
    await shop.until(order_id, "CONFIRMED")
    after = WatchStoreOrdersRequest(store_id=shop.store_id, resume_token=token)

    await clock.forward((6 * DAY).total_seconds())
    watch = shop.orders.WatchStoreOrders(after)
    assert (await watch.read()).order_id == order_id
    watch.cancel()

    await clock.forward((2 * DAY).total_seconds())
    with refused(ErrorReason.ERROR_REASON_RESUME_TOKEN_EXPIRED):
        await shop.orders.WatchStoreOrders(after).read()


async def test_money_that_nobody_takes_is_let_go_after_its_days_and_the_units_come_back(shop, clock):
    """The last test: afterwards it is another year."""
    product = await shop.product(stock=UNITS)
    order_id = await shop.order([(product, 2)], until="CONFIRMED")
    payment = await Till(shop).get(await order_of(shop, order_id))
    days = payment.expire_time.ToDatetime(UTC) - clock.now()
    assert await stock(shop, product) == (UNITS, 2)

    await clock.forward(days.total_seconds() - 60)
    assert await state_of(shop, order_id) == "CONFIRMED"
    await clock.forward(120)

    await shop.until(order_id, "CANCELLED")
    assert said(await Till(shop).until(payment, "EXPIRED")) == "EXPIRED"
    await eventually(lambda: _is(stock(shop, product), (UNITS, 0)))
    await no_dead_letters(shop)


async def _is(found, expected):
    return await found == expected
