"""What is recorded together: each payment is as it would be by itself, and who is at fault is so alone.

A lock on a table keeps whoever comes first; those who come meanwhile then go together.
"""

import asyncio
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized
from commerce.payment.v1.payment_pb2 import Payment
from commerce.payment.v1.payment_service_pb2 import ListGatewaysRequest

from tests.payment.till import done, said
from tests.shop import eventually, new_id, refused

WAITING = "SELECT FROM pg_stat_activity WHERE usename = 'payment' AND wait_event_type = 'Lock'"
RECORDED = "SELECT count(DISTINCT xmin::text) AS times FROM payment.payments WHERE order_id = ANY($1)"
BOOKED = "SELECT count(DISTINCT xid) AS times FROM payment.ledger_entries WHERE order_id = ANY($1)"


@pytest.fixture
async def keeper(payment_cluster):
    connection = await asyncpg.connect(payment_cluster.admin_dsn)
    yield connection
    await connection.close()


@asynccontextmanager
async def kept(keeper, table):
    """Nobody writes to a table in this block."""
    async with keeper.transaction():
        await keeper.execute(f"LOCK TABLE payment.{table} IN SHARE MODE")
        yield


async def asked(till, *asking):
    """Ask for payments; the first stands at a lock, the others behind it."""
    calls = [asyncio.create_task(till.ask(asking[0]))]
    await eventually(lambda: till.shop.clients.rows(WAITING))
    calls += [asyncio.create_task(till.ask(each)) for each in asking[1:]]
    # What is asked later on the same connection comes later.
    await till.service.payments.ListGateways(ListGatewaysRequest())
    return calls


async def times(till, sql, asking):
    (row,) = await till.shop.clients.rows(sql, [UUID(each.order_id) for each in asking])
    return row["times"]


@pytest.fixture
async def asking(till):
    """Ten orders of a store that the service knows."""
    await till.authorize()
    return [till.asking() for _ in range(10)]


async def test_those_that_come_meanwhile_are_recorded_together_and_each_is_told_its_own(
    till, keeper, asking, shop
):
    async with kept(keeper, "payments"):
        calls = await asked(till, *asking)
        assert not any(call.done() for call in calls)

    payments = await asyncio.gather(*calls)

    assert await times(till, RECORDED, asking[1:]) < 9
    assert [payment.order_id for payment in payments] == [each.order_id for each in asking]
    for payment in payments:
        assert said(payment) == "AUTHORIZED"
        await till.agrees(payment)
    told = [event.payment.payment_id for event in await shop.published(PaymentAuthorized)]
    assert {payment.payment_id for payment in payments} < set(told)
    assert len(told) == len(set(told)) == 11


async def test_an_order_that_is_paid_and_one_that_is_asked_for_twice_are_charged_once(till, keeper, asking):
    paid = await till.ask(asking[3])
    twice = till.asking(order_id=asking[5].order_id, customer_id=asking[5].customer_id)
    async with kept(keeper, "payments"):
        calls = await asked(till, *asking, twice)

    payments = await asyncio.gather(*calls)

    assert payments[3].payment_id == paid.payment_id
    assert payments[5].payment_id == payments[10].payment_id
    assert len({payment.payment_id for payment in payments}) == 10
    for payment in payments:
        await till.agrees(await till.until(payment, "AUTHORIZED"))


async def test_one_that_cannot_be_recorded_fails_alone(till, keeper, asking):
    """Its operation is on record, but of another order."""
    await till.ask(asking[4])
    await keeper.execute(
        "UPDATE payment.payments SET order_id = $2 WHERE order_id = $1",
        UUID(asking[4].order_id),
        UUID(new_id()),
    )
    asking[4] = till.asking(order_id=asking[4].order_id)
    async with kept(keeper, "payments"):
        calls = await asked(till, *asking)

    bad = calls.pop(4)
    payments = await asyncio.gather(*calls)
    with refused(ErrorReason.ERROR_REASON_INTERNAL):
        await bad
    assert [said(payment) for payment in payments] == ["AUTHORIZED"] * 9


async def test_one_whose_request_id_is_anothers_is_refused_alone(till, keeper, asking):
    asking[7].request_id = asking[4].request_id
    async with kept(keeper, "ledger_entries"):
        calls = await asked(till, *asking)
        await _answered(till, asking)

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await asyncio.gather(calls[4], calls[7])
    payments = await asyncio.gather(*(call for number, call in enumerate(calls) if number not in (4, 7)))
    assert [said(payment) for payment in payments] == ["AUTHORIZED"] * 8


async def test_one_that_has_moved_meanwhile_is_worked_out_anew_and_told_once(till, keeper, asking, shop):
    async with kept(keeper, "ledger_entries"):
        calls = await asked(till, *asking)
        await _answered(till, asking)
        await keeper.execute(
            "UPDATE payment.payments SET version = version + 1 WHERE order_id = $1", UUID(asking[6].order_id)
        )

    payments = await asyncio.gather(*calls)

    assert await times(till, BOOKED, asking[1:]) < 9
    assert [said(payment) for payment in payments] == ["AUTHORIZED"] * 10
    assert [done(payment) for payment in payments] == [[("authorize", "SUCCEEDED")]] * 10
    told = [event.payment.payment_id for event in await shop.published(PaymentAuthorized)]
    assert len(told) == len(set(told)) == 11


async def test_one_that_waits_for_whoever_holds_it_keeps_nobody_waiting(till, keeper, asking, shop):
    held, *others = asking
    async with keeper.transaction():
        async with till.frozen():
            call = asyncio.create_task(till.ask(held))
            sql = "SELECT FROM payment.payments WHERE order_id = $1"
            await eventually(lambda: shop.clients.rows(sql, UUID(held.order_id)))
            await keeper.execute(f"{sql} FOR UPDATE", UUID(held.order_id))
        await eventually(lambda: shop.clients.rows(WAITING))
        payments = await asyncio.gather(*(till.ask(each) for each in others))
        assert not call.done()

    assert {said(payment) for payment in [*payments, await call]} == {"AUTHORIZED"}


async def test_what_several_find_out_at_once_happens_once(till, asking, shop):
    ids = [UUID(each.order_id) for each in asking[:4]]
    sql = "SELECT payment_id, attempts FROM payment.operations JOIN payment.payments USING (payment_id)"
    attempts = f"{sql} WHERE order_id = ANY($1) AND attempts >= $2"

    async def known(number):
        rows = await shop.clients.rows(attempts, ids, number)
        return rows if len(rows) == len(ids) else []

    async with till.frozen():
        calls = [asyncio.create_task(till.ask(each)) for each in asking[:4]]
        for row in await eventually(lambda: known(1)):
            payment = Payment(payment_id=str(row["payment_id"]))
            calls += [asyncio.create_task(till.confirm(payment)) for _ in range(3)]
        await eventually(lambda: known(4))

    # On a slow machine the provider was silent for longer than it is waited for.
    payments = await asyncio.gather(*calls)
    for payment in payments[:4]:
        await till.agrees(await till.until(payment, "AUTHORIZED"))
    told = [event.payment.payment_id for event in await shop.published(PaymentAuthorized)]
    assert len(told) == len(set(told)) == 5


async def _answered(till, asking):
    """The provider has charged for all of them, and our service has heard of it."""

    async def charged():
        return all([await till.book(each) for each in asking])

    await eventually(charged)
    await till.service.payments.ListGateways(ListGatewaysRequest())
