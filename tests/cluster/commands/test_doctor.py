"""`commerce doctor` finds what is wrong, and says what to type: each trouble here really happens."""

import asyncio
import os
import shutil
import signal
import sys
import sysconfig

import nats
import pytest
from commerce.order.v1.order_service_pb2 import CancelOrderRequest
from commerce.payment.v1.payment_events_pb2 import PaymentAuthorized

from services.cluster.commands import doctor, symptoms
from services.cluster.home import Home
from tests.cluster.toys import REPOSITORY, command, supervisor
from tests.order.asks import cancel
from tests.order.operations import parked, stopped
from tests.order.test_money_told import payment_of
from tests.payment import parking
from tests.payment.till import Till
from tests.saga.test_dead_letters import bury
from tests.shop import eventually, new_id


async def wrong(home):
    """The lines of what is wrong; the exit code must say so."""
    code, out, complaint = await command("doctor", "--home", str(home))
    assert complaint == ""
    lines = [line for line in out.splitlines() if line.startswith("✗")]
    assert code == (1 if lines else 0)
    return lines


@pytest.fixture
def home(shop):
    return shop.clients.cluster.home.path


def line_of(lines, *words):
    """The one line that holds all these words."""
    found = [line for line in lines if all(word in line for word in words)]
    assert len(found) == 1, lines
    return found[0]


async def test_a_provider_that_hangs_and_the_order_that_waits_for_it(shop, home):
    async with Till(shop).frozen():
        order_id = await shop.order(until="PAYMENT_UNKNOWN")
        lines = await wrong(home)
    line = line_of(lines, "sandbox at", "hangs")
    assert "kill -CONT" in line and "its log is" in line
    line = line_of(lines, "orders whose provider has not said what became of the payment")
    assert "commerce orders explain " in line
    await shop.until(order_id, "CONFIRMED")


@pytest.mark.parametrize("name", ["order", "nats", "envoy", "postgres"])
async def test_a_process_that_hangs(shop, home, name):
    with stopped(shop, name):
        lines = await wrong(home)
    assert "kill -CONT" in line_of(lines, f"{name} at", "hangs")
    await shop.clients.cluster.wait_ready(name)


async def test_orders_that_were_given_up_and_that_wait_for_nobody(shop, home):
    await parked(shop)
    forgotten = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER")
    forget = """UPDATE "order".orders SET due_time = NULL, update_time = '2020-02-02' WHERE order_id = $1"""
    await shop.clients.rows(forget, forgotten)

    lines = await wrong(home)

    assert "commerce orders explain " in line_of(lines, "given up until somebody looks: ")
    assert f"commerce orders retry {forgotten}" in line_of(lines, "wait for nobody", forgotten, " days")
    await command("orders", "retry", forgotten, "--home", str(home))
    assert not [line for line in await wrong(home) if forgotten in line]


async def test_an_order_that_is_not_paid_for(shop, home):
    order_id = await shop.order(until="CONFIRMED")
    await Till(shop).void(await payment_of(shop, order_id))

    async def found():
        return [line for line in await wrong(home) if "under way and not paid for (voided)" in line]

    (line,) = await eventually(found, seconds=60)
    assert "commerce orders explain " in line
    await shop.orders.CancelOrder(cancel(order_id))


async def test_payments_whose_provider_is_silent_by_age(shop, home):
    till = Till(shop)
    async with till.frozen():
        payment = await till.authorize("ok")
        age = "UPDATE payment.operations SET create_time = now() - interval '3 hours' WHERE payment_id = $1"
        await shop.clients.rows(age, payment.payment_id)
        line = line_of(await wrong(home), "payments whose provider does not answer (sandbox)")
    assert (
        f"{payment.payment_id} for 3 hours; go on with: commerce payments settle {payment.payment_id}" in line
    )


async def test_a_customer_who_has_to_confirm_is_no_silent_provider(shop, home):
    payment = await Till(shop).authorize("requires_action")
    age = "UPDATE payment.operations SET create_time = now() - interval '3 hours' WHERE payment_id = $1"
    await shop.clients.rows(age, payment.payment_id)
    assert not [line for line in await wrong(home) if payment.payment_id in line]


async def test_a_refund_that_failed(shop, home):
    till = Till(shop)
    payment = await till.capture(await till.authorize())
    path = f"/v1/charges/{payment.provider_reference}/refund"
    await till.provider("POST", path, {"amount_minor_units": 1900})
    await till.refund(payment)
    line = line_of(await wrong(home), "payments with a failed operation (refund)")
    assert "commerce payments show " in line


async def test_messages_of_a_provider_that_could_not_be_applied(shop, home):
    till = Till(shop)
    await parking.parked(shop, await till.authorize("requires_action"), amount_minor_units=2500)
    line = line_of(await wrong(home), "messages that could not be applied (sandbox)")
    assert line.endswith("commerce webhooks parked")


async def test_events_that_could_not_be_taken_in(shop, home):
    event_id = await bury(shop, PaymentAuthorized())
    # Older than those that other tests leave, whose payments are of no orders.
    age = 'UPDATE "order".dead_letters SET create_time = now() - make_interval(hours => 3) WHERE event_id = $1::uuid'
    await shop.clients.rows(age, event_id)
    line = line_of(await wrong(home), "events that order could not take in")
    assert line.endswith(f"the oldest {event_id} for 3 hours; go on with: commerce dead-letters")
    await shop.clients.rows('DELETE FROM "order".dead_letters WHERE event_id = $1::uuid', event_id)
    assert not [line for line in await wrong(home) if event_id in line]


async def test_events_that_are_not_published(shop, home):
    with stopped(shop, "nats"):
        await shop.clients.rows(
            'INSERT INTO "order".outbox (event_id, type, payload, traceparent, create_time)'
            " VALUES ($1::uuid, 'commerce.order.v1.OrderExpired', '', '', now() - interval '5 minutes')",
            new_id(),
        )
        line = line_of(await wrong(home), "events of order that were not published")
    assert "for 5 minutes" in line


async def test_a_service_that_is_behind_the_events(shop, monkeypatch):
    monkeypatch.setattr(symptoms, "LATE_SECONDS", 0)
    order_id = await shop.order(state="CONFIRMED")
    with stopped(shop, "payment"):
        await shop.orders.CancelOrder(CancelOrderRequest(order_id=order_id, request_id=new_id(), reason="x"))
        client = await nats.connect(shop.clients.cluster.nats_url)

        async def behind():
            found = [said async for good, said in symptoms.of_stream(client.jetstream()) if not good]
            return [said for said in found if said.startswith("payment is ")]

        (line,) = await eventually(behind)
        await client.close()
    assert " behind the events, " in line


async def test_a_supervisor_that_hangs(tmp_path):
    async with supervisor(tmp_path) as child:
        child.send_signal(signal.SIGSTOP)
        try:
            os.utime(Home(tmp_path).beat, (0, 0))
            line = line_of(await wrong(tmp_path), "the cluster runs as process", "but hangs")
        finally:
            child.send_signal(signal.SIGCONT)
    assert f"kill -9 {child.pid}" in line


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root makes a small disk")
async def test_a_disk_that_is_nearly_full(tmp_path):
    small = f"mount -t tmpfs -o size=100m none {tmp_path} && exec {sys.executable} -m services.cluster doctor"
    child = await asyncio.create_subprocess_exec(
        *["unshare", "--mount", "bash", "-c", f"{small} --home {tmp_path}"],
        cwd=REPOSITORY,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 1
    assert "du -sh" in line_of(out.decode().splitlines(), "✗ 0.1 GiB free in")


@pytest.mark.parametrize(
    ("configured", "is_told"),
    [("'--enable-shared'", True), ("'--enable-optimizations'", False), (None, False)],
)
async def test_a_python_that_is_slower_than_it_could_be_is_a_remark(
    tmp_path, monkeypatch, configured, is_told
):
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": configured}.get)
    found = [each async for each in doctor.examine(Home(tmp_path)) if "--enable-optimizations" in each.text]
    assert [each.good for each in found] == [None] * is_told
