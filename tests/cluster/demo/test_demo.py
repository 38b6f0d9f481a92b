"""The demo, as a person types it: its last screen, what it says when something breaks, and its end."""

import asyncio
import contextlib
import os
import re
import signal
import sys

import pytest
from rich.console import Console

from services.cluster.demo.teller import Teller
from services.cluster.home import Home
from tests.cluster.toys import REPOSITORY, gone, processes_of

STEPS = [
    "A store with products",
    "Customers",
    "An order, watched twice",
    "Accepted, shipped, delivered",
    "Every way to pay",
    "A customer who never pays",
    "A declined card",
    "Two buyers, one last unit",
    "A retry is no second order",
    "A refund",
    "3-D Secure",
    "A saved payment method",
    "How money is taken",
    "Taxes, shipping, categories",
    "A coupon, to the cent",
    "Two parcels, two captures",
    "A partial return",
    "A thousand products at once",
    "A cancel in flight",
    "A dispute, lost",
    "The unpaid order expires",
    "A silent provider",
    "How each payment ended",
    "What each has bought",
    "The day's settlement",
    "The trial balance",
    "The store's feed",
    "One trace, every hop",
]


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
async def telling(home, columns=160, before=None):
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "services.cluster", "demo", "--home", str(home)],
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": str(columns)},
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=before,
    )
    try:
        yield Telling(child)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_every_step_holds_and_the_last_screen_shows_what_came_of_it(tmp_path):
    async with telling(tmp_path) as demo:
        assert await demo.end() == 0, demo.said
    steps, screen = demo.said.split("\nDelivered: ")
    assert [title.strip() for title in re.findall("^✓ (.{28}) ", steps, re.M)] == STEPS
    assert "✗" not in steps
    for said in (
        r"87.97 − 8.80 coupon \+ 10.83 tax \+ 4.90 shipping = 94.90 EUR",
        "Grace brings the pot: 52.48 EUR; the post the books, with shipping: 42.42 EUR",
        "one book of 3: 12.51 EUR refunded",
        "RESERVED → AWAITING_CUSTOMER → CONFIRMED: Charles is back from his bank",
        "Ada's bank takes 39.98 EUR back and asks 15.00 EUR for it: held, then lost",
        "RESERVED → PAYMENT_UNKNOWN → CONFIRMED, as two streams told",
        "7 lines fetched, 6 agree, 21.53 EUR of fees posted",
        "zero; the provider owes 60.86 EUR, as in its own book",
        "183.88 EUR captured − 61.51 EUR refunded − 39.98 EUR disputed − 21.53 EUR fees",
        "row 700: category_id is no category of the store",
        "CANCELLED while the provider was asked",
        "AWAITING_CUSTOMER → EXPIRED",
        "[0-9]+ transitions of 20 orders, each once and in order",
    ):
        assert re.search(said, steps), said
    for line in (
        "3 × Pâtisserie maison +38.97 +-3.90 +2.45 +7 %",
        "= 94.90; 12.51 EUR refunded",
        "7 +SHIPPED .* deliver_parcel +COURIER Grace ",
        "8 +DELIVERED .* deliver +STORE_ADMIN ",
        "9 +DELIVERED .* return_part +STORE_ADMIN ",
        "PAYMENT_FAILED +card_declined",
        "REJECTED +STOCK_INSUFFICIENT",
        "409 +REQUEST_ID_REUSED",
        "400 +COUPON_USED_UP",
        "404 +ORDER_NOT_FOUND",
        "EXPIRED +not paid for in time",
        "PAYMENT_FAILED +authentication_failed",
        "400 +INVALID_ARGUMENT",
        "400 +PAYMENT_OPERATION_NOT_ALLOWED",
        r"provider_clearing +183\.88 EUR +123\.02 EUR",
        r"\nch_\w+ +amount +42\.42 EUR +43\.42 EUR *\n6 of 7 lines agree; net 61\.86 EUR, fees 21\.53 EUR",
    ):
        assert re.search(line, screen), line
    assert "debits − credits = 0.00 EUR" in screen
    for line in (
        "gateway +POST /v1/stores/…/orders +━",
        "order .* OrderService/CreateOrder +━",
        "catalog .* StockService/ReserveStock +━",
        "catalog .* SQL ",
        "payment .* POST sandbox /v1/charges ",
        "payment .* publish PaymentAuthorized ",
        "order .* react PaymentAuthorized ",
        "Trace of ship: .*\n.*gateway, order, payment.*, no errors",
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


def in_the_background():
    """As a script's shell starts what has an `&` behind it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


async def test_an_interrupt_leaves_nothing_running(tmp_path):
    async with telling(tmp_path / "early", before=in_the_background) as demo:
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


async def test_no_step_begins_once_the_story_was_interrupted():
    teller = Teller(Console(quiet=True), is_wanted=lambda: False)

    with pytest.raises(asyncio.CancelledError):
        async with teller.step("Another step"):
            pytest.fail("it began")


async def test_leaves_a_cluster_alone_that_runs_in_the_same_place(tmp_path):
    home = Home(tmp_path)
    home.prepare()
    home.lock()
    async with telling(tmp_path) as demo:
        assert await demo.end() == 1
    assert "a cluster already runs in" in demo.said
    home.unlock()
