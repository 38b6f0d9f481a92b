"""History that our database lost, by a restore or a fail-over, happens again: the provider does everything once."""

import json
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.payment.till import AMOUNT, line_amount
from tests.shop import eventually, new_id

SAVED = ("payments", "operations", "disputes", "ledger_entries")


@asynccontextmanager
async def losing(shop, order_id):
    """What becomes of an order's payment in this block, is forgotten after it; so is that anything was asked for."""
    connection = await asyncpg.connect(shop.clients.cluster.admin_dsn)
    try:
        # As a superuser may: the books refuse everybody else.
        await connection.execute("SET session_replication_role = replica")
        saved = await rows_of(connection, order_id)
        yield
        async with connection.transaction():
            # A sealer that is at it has ended then, and no other begins: it would chain what is about to go.
            await connection.execute("SELECT FROM payment.ledger_seal FOR UPDATE")
            for table in reversed(SAVED):
                await connection.execute(f"DELETE FROM payment.{table} WHERE {BELONGS}", order_id)
            for table in SAVED:
                await connection.execute(
                    f"INSERT INTO payment.{table} OVERRIDING SYSTEM VALUE"
                    f" SELECT * FROM json_populate_recordset(NULL::payment.{table}, $1)",
                    json.dumps([json.loads(row) for row in saved[table]]),
                )
            # The chain, too: the next sealer would find these transactions sealed already, and stop for ever.
            await connection.execute(
                "DELETE FROM payment.ledger_chain links WHERE store_id = $1::uuid AND NOT EXISTS"
                " (SELECT FROM payment.ledger_entries e WHERE e.transaction_id = links.transaction_id)",
                shop.store_id,
            )
            await connection.execute("DELETE FROM payment.first_replies")
            await connection.execute("DELETE FROM payment.inbox")
    finally:
        await connection.close()


BELONGS = "payment_id IN (SELECT payment_id FROM payment.payments WHERE order_id = $1::uuid)"


async def rows_of(connection, order_id):
    async def rows(table):
        sql = f"SELECT to_json(row) AS row FROM payment.{table} row WHERE {BELONGS}"
        return [row["row"] for row in await connection.fetch(sql, order_id)]

    return {table: await rows(table) for table in SAVED}


async def same_keys(till, payment, act, state):
    """Do something, lose it, do it again: how the provider's book stands each time, and the operations' keys."""
    seen = []
    async with losing(till.shop, payment.order_id):
        await act()
        after = await till.until(payment, state)
        seen.append((await till.book(payment), {each.operation_id for each in after.operations}))
    await act()
    after = await till.until(payment, state)
    seen.append((await till.book(payment), {each.operation_id for each in after.operations}))
    assert seen[0] == seen[1]
    (charge,) = seen[0][0]
    return charge


@pytest.mark.parametrize("mode", ["MANUAL", "AT_ONCE"])
async def test_an_authorization_is_the_same_to_the_provider(till, mode):
    await till.sets(mode)
    asking = till.asking()
    async with losing(till.shop, asking.order_id):
        first = await till.until(await till.ask(asking), "CAPTURED" if mode == "AT_ONCE" else "AUTHORIZED")
    asking.request_id = new_id()

    again = await till.until(await till.ask(asking), "CAPTURED" if mode == "AT_ONCE" else "AUTHORIZED")

    assert again.payment_id != first.payment_id
    assert again.provider_reference == first.provider_reference
    assert [each.operation_id for each in again.operations] == [
        each.operation_id for each in first.operations
    ]
    (charge,) = await till.book(again)
    assert charge["captured_minor_units"] == (AMOUNT if mode == "AT_ONCE" else 0)


@pytest.mark.parametrize("state", ["CAPTURED", "PARTIALLY_CAPTURED"])
async def test_a_capture_that_was_asked_for_is_taken_once(till, state):
    await till.sets("MANUAL")
    payment, request_id = await till.authorize(), new_id()
    units = None if state == "CAPTURED" else 700

    charge = await same_keys(till, payment, lambda: till.capture(payment, request_id, units), state)

    assert charge["captured_minor_units"] == (units or AMOUNT)


async def test_an_accepted_order_is_paid_once(till):
    payment = await till.authorize()
    charge = await same_keys(till, payment, lambda: till.accepted(payment), "CAPTURED")
    assert charge["captured_minor_units"] == AMOUNT


async def test_a_parcel_is_paid_once_and_another_parcel_is_another_capture(till):
    await till.sets("ON_SHIPMENT")
    payment, parcel = await till.authorize(), new_id()
    amounts = [line_amount("", 700)]

    charge = await same_keys(
        till,
        payment,
        lambda: till.shipped(payment, *amounts, shipment_id=parcel),
        "PARTIALLY_CAPTURED",
    )

    assert charge["captured_minor_units"] == 700
    await till.shipped(payment, *amounts)
    await eventually(lambda: captured(till, payment, 1400))


async def test_a_return_is_given_back_once(till):
    payment, returned = await taken(till), new_id()
    charge = await same_keys(
        till, payment, lambda: till.returned(payment, 500, return_id=returned), "PARTIALLY_REFUNDED"
    )
    assert charge["refunded_minor_units"] == 500


async def test_a_refund_that_was_asked_for_is_given_once(till):
    payment, request_id = await taken(till), new_id()
    charge = await same_keys(
        till, payment, lambda: till.refund(payment, request_id, 500), "PARTIALLY_REFUNDED"
    )
    assert charge["refunded_minor_units"] == 500


@pytest.mark.parametrize("state", ["VOIDED", "REFUNDED"])
async def test_a_cancelled_order_gives_up_or_back_once(till, state):
    payment = await (till.authorize() if state == "VOIDED" else taken(till))
    charge = await same_keys(till, payment, lambda: till.cancelled(payment), state)
    assert charge["refunded_minor_units"] == (0 if state == "VOIDED" else AMOUNT)


async def test_two_refunds_of_one_sum_are_two(till):
    """Each has a request of its own: what is the same but for its cause is not the same."""
    payment = await taken(till)
    await till.refund(payment, minor_units=500)
    await till.refund(payment, minor_units=500)
    (charge,) = await till.book(payment)
    assert charge["refunded_minor_units"] == 1000


async def captured(till, payment, units):
    (charge,) = await till.book(payment)
    return charge["captured_minor_units"] == units


async def taken(till):
    payment = await till.authorize()
    await till.accepted(payment)
    return await till.until(payment, "CAPTURED")
