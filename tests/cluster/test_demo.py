"""The demo, as a person types it: its last screen, what it says when something breaks, and its end."""

import asyncio
import contextlib
import os
import re
import signal
import sys

from services.cluster.home import Home
from tests.cluster.toys import REPOSITORY, gone, processes_of


class Telling:
    """A demo that runs; what it has said so far."""

    def __init__(self, child):
        self.child, self.said = child, ""

    async def until(self, words):
        """Read on until these words come."""
        while words not in self.said:
            line = await asyncio.wait_for(self.child.stdout.readline(), 90)
            assert line, f"it ended without {words!r}:\n{self.said}"
            self.said += line.decode()

    async def end(self):
        """Its exit code, once it has ended."""
        self.said += (await asyncio.wait_for(self.child.stdout.read(), 90)).decode()
        return await self.child.wait()


@contextlib.asynccontextmanager
async def telling(home, columns=160):
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "services.cluster", "demo", "--home", str(home)],
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": str(columns)},
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Telling(child)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_ends_with_the_delivered_order_the_refused_ones_a_zero_balance_and_the_waterfall(tmp_path):
    async with telling(tmp_path) as demo:
        assert await demo.end() == 0, demo.said
    steps, screen = demo.said.split("\nDelivered: ")
    assert "✗" not in steps
    assert re.search(r"6 +DELIVERED .* deliver +COURIER", screen)
    for refused in (
        "PAYMENT_FAILED +card_declined",
        "REJECTED +STOCK_INSUFFICIENT",
        "409 +REQUEST_ID_REUSED",
    ):
        assert re.search(refused, screen)
    assert "debits − credits = 0.00 EUR" in screen
    for line in (
        "gateway +POST /v1/stores/…/orders +━",
        "order .* OrderService/CreateOrder +━",
        "catalog .* StockService/ReserveStock +━",
        "catalog .* SQL ",
        "payment .* POST sandbox /v1/charges ",
        "payment .* publish PaymentAuthorized ",
        "order .* react PaymentAuthorized ",
        "gateway +POST /v1/orders/…:accept +━",
        "catalog .* react OrderAccepted ",
    ):
        assert re.search(f"\n{line}", screen), line
    assert "\x1b" not in demo.said
    assert processes_of(tmp_path) == {}


async def test_fits_a_narrow_terminal(tmp_path):
    async with telling(tmp_path, columns=72) as demo:
        assert await demo.end() == 0, demo.said
    story = demo.said[demo.said.index("The story") : demo.said.rindex("✓")]
    assert max(len(line) for line in story.splitlines()) <= 72


async def test_names_the_step_that_does_not_hold_whom_to_suspect_and_where_the_log_is(tmp_path):
    async with telling(tmp_path) as demo:
        await demo.until("The story")
        frozen = Home(tmp_path).state()["processes"]["payment"]["pid"]
        os.kill(frozen, signal.SIGSTOP)
        await demo.until("the logs are in")
        os.kill(frozen, signal.SIGCONT)
        assert await demo.end() == 1
    assert "✗ An order, watched twice: not within 20 s" in demo.said
    assert f"payment does not answer: {tmp_path / 'logs' / 'payment.log'}" in demo.said
    assert f"the logs are in {tmp_path / 'logs'}" in demo.said
    assert "Delivered: " not in demo.said
    assert processes_of(tmp_path) == {}


async def test_an_interrupt_leaves_nothing_running(tmp_path):
    async with telling(tmp_path / "early") as demo:
        await demo.until("postgres     ready")
        demo.child.send_signal(signal.SIGINT)
        assert await demo.end() == 130
    assert await gone(tmp_path / "early")

    async with telling(tmp_path / "late") as demo:
        await demo.until("Every way to pay")
        demo.child.send_signal(signal.SIGINT)
        assert await demo.end() == 130
    assert "interrupted; everything is stopped" in demo.said
    assert await gone(tmp_path / "late")


async def test_leaves_a_cluster_alone_that_runs_in_the_same_place(tmp_path):
    home = Home(tmp_path)
    home.prepare()
    home.lock()
    async with telling(tmp_path) as demo:
        assert await demo.end() == 1
    assert "a cluster already runs in" in demo.said
    home.unlock()
