"""What the writer makes of a batch, on the cluster's own database: who is held, and who is left to go alone."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import nats
import pytest
from commerce.payment.v1.payment_events_pb2 import PaymentFailed

from services.payment.definition import DEFINITION
from services.payment.payments import messages, records
from services.payment.payments.driver import started
from services.payment.payments.writer import Writer
from services.payment.rules import transitions
from services.payment.rules.life import PENDING
from services.payment.rules.outcomes import Told
from services.payment.rules.payment import ON_ACCEPTANCE, Kind, Payment
from services.runtime import times
from services.runtime.database import Database
from services.runtime.service import Runtime
from services.runtime.settings import Settings
from services.runtime.work import Work
from tests.payment.till import AMOUNT
from tests.shop import new_id

DUE_SECONDS = 60.0


@pytest.fixture
async def runtime(payment_cluster, monkeypatch):
    for name, value in payment_cluster.process("payment").spec.environment.items():
        monkeypatch.setenv(name, value)
    database = Database(payment_cluster.dsn("payment"), size=4, timeout=10)
    client = await nats.connect(payment_cluster.nats_url)
    yield Runtime(DEFINITION, Settings.load(), database, client)
    await client.close()
    await database.stop()


@pytest.fixture
async def payments(runtime, shop):
    """Three, each with what came of it worked out, and nothing of that written."""
    found = [_payment(shop.store_id) for _ in range(3)]
    for payment in found:
        values = records.values_of(payment) | {
            "operation_id": payment.operations[0].operation_id,
            "traceparent": "",
            "due_seconds": DUE_SECONDS,
        }
        assert await runtime.database.rows(records.PAYMENT_RECORDED, **values)
    return found


async def changed(runtime, *payments, status="authorized"):
    """Write what came of payments at once, behind one that goes alone: what each was told."""
    writer = Writer(runtime)

    async def write(payment):
        told = Told(status=status, reference=new_id(), amount=AMOUNT, currency_code="EUR")
        change = transitions.settled(payment, payment.operations[0], told, times.now())
        assert change is not None
        work = Work(runtime.database)
        for event in messages.told(change):
            work.publish(event)
        await writer.change(records.values_of_change(change, DUE_SECONDS), work)

    async with asyncio.timeout(4):  # Less than anybody waits for a lock.
        return await asyncio.gather(*map(write, payments), return_exceptions=True)


async def test_of_two_changes_of_one_payment_in_a_batch_one_is_written(runtime, payments, shop):
    first, second, third = payments

    # Nothing is booked for it, by which the database would know the second one.
    told = await changed(runtime, first, second, second, third, status="declined")

    assert [type(each) for each in told] == [
        type(None),
        type(None),
        asyncpg.NotNullViolationError,
        type(None),
    ]
    failed = [event.payment.payment_id for event in await shop.published(PaymentFailed)]
    assert sorted(failed) == sorted(payment.payment_id for payment in payments)


async def test_a_batch_leaves_out_a_payment_that_somebody_holds(runtime, payments, payment_cluster, shop):
    first, held, third = payments
    holder = await asyncpg.connect(payment_cluster.admin_dsn)
    async with holder.transaction():
        sql = "SELECT FROM payment.payments WHERE payment_id = $1 FOR UPDATE"
        await holder.execute(sql, UUID(held.payment_id))
        told = await changed(runtime, first, held, third)
    await holder.close()

    assert [type(each) for each in told] == [type(None), asyncpg.NotNullViolationError, type(None)]
    assert [await _entries(shop, each) for each in payments] == [2, 0, 2]


async def _entries(shop, payment):
    sql = "SELECT FROM payment.ledger_entries WHERE payment_id = $1"
    return len(await shop.clients.rows(sql, UUID(payment.payment_id)))


def _payment(store_id):
    now = times.now()
    payment = Payment(
        payment_id=new_id(),
        order_id=new_id(),
        store_id=store_id,
        customer_id=new_id(),
        state=PENDING,
        amount=AMOUNT,
        currency_code="EUR",
        capture_mode=ON_ACCEPTANCE,
        expire_time=now + timedelta(seconds=900),
        gateway="sandbox",
        payment_method="pm_sandbox_ok",
        create_time=now,
        update_time=now,
    )
    return payment.with_operation(started(Kind.AUTHORIZE, payment, payment.amount, attempts=1))
