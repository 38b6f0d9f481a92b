"""What commands print: whole at any width, in words or as JSON, and what they say to a wrong value."""

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_service_pb2 import CancelOrderRequest
from typer.testing import CliRunner

from services.cluster import cli
from services.cluster.output import print_json, print_lines
from services.cluster.screen import Screen
from tests.cluster.toys import command
from tests.order.operations import parked
from tests.payment import parking
from tests.payment.till import Till
from tests.shop import new_id

COMMERCE = (sys.executable, "-m", "services.cluster")
INTERRUPTED_AS_IT_LOADS = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from services.cluster.__main__ import main
main()
"""
GROUPS = ("", "orders", "payments", "settlements", "webhooks")


def every_command(app: Any = cli.app) -> Iterator[list[str]]:
    for group in app.registered_groups:
        yield from ([group.name, *words] for words in every_command(group.typer_instance))
    for each in app.registered_commands:
        yield [each.name or each.callback.__name__.replace("_", "-")]


@pytest.fixture
def typed(shop):
    """Types a command, on a narrow terminal."""

    async def run(*arguments, columns=40):
        home = str(shop.clients.cluster.home.path)
        return await command(*arguments, "--home", home, COLUMNS=str(columns))

    return run


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("group", GROUPS)
async def test_help_is_whole(group, columns):
    _, out, _ = await command(*filter(None, [group]), "--help", COLUMNS=str(columns))
    assert "..." not in out.replace("[ARGS]...", "")
    # Fewer columns than 50 are not laid out for.
    assert max(len(line) for line in out.splitlines()) <= max(columns, 50)


@pytest.mark.parametrize("typed", [["--help"], ["orders", "--help"]], ids=" ".join)
def test_a_full_disk_is_told_in_a_line(typed):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*COMMERCE, *typed], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "commerce: No space left on device\n")


@pytest.mark.parametrize(
    "typed",
    [["token", "--role", "platform_admin", "--store", ""], ["discrepancies", "--store="], ["watch", ""]],
)
async def test_what_is_typed_as_empty_is_not_taken_as_left_out(typed):
    code, out, complaint = await command(*typed)
    assert (code, out) == (2, "")
    assert "an argument is empty" in complaint


def test_an_interrupt_while_a_command_still_loads_is_quiet():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_AS_IT_LOADS], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_every_command_that_shows_data_has_json():
    shows_none = ("up", "down", "reset", "demo", "psql")
    for words in every_command():
        help = CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": "200"})
        assert ("--output" in help.output) == (words[0] not in shows_none), words


@pytest.mark.parametrize("columns", [30, 80, 200])
async def test_no_id_is_cut(shop, typed, columns):
    payment = await Till(shop).authorize("requires_action")
    order_id = await parked(shop)
    event = await parking.parked(shop, payment, amount_minor_units=2500)
    for arguments, ids in (
        (("payments", "unsettled"), [payment.payment_id, payment.order_id, payment.operations[0].trace_id]),
        (("payments", "show", payment.payment_id), [payment.payment_id, payment.operations[0].operation_id]),
        (("orders", "stuck"), [order_id]),
        (("orders", "explain", order_id), [order_id]),
        (("webhooks", "parked"), [event["id"]]),
    ):
        code, out, complaint = await typed(*arguments, columns=columns)
        assert code == 0, complaint
        for each in ids:
            assert each in out


async def test_json_is_what_rest_answers(shop, typed):
    payment = await Till(shop).authorize("requires_action")
    order_id = await parked(shop)

    def read(answer):
        return json.loads(answer[1])

    unsettled = read(await typed("payments", "unsettled", "-o", "json"))
    assert payment.payment_id in {each["paymentId"] for each in unsettled["operations"]}
    shown = read(await typed("payments", "show", payment.payment_id, "-o", "json"))
    assert shown["amount"] == {"currencyCode": "EUR", "minorUnits": "1999"}
    stuck = read(await typed("orders", "stuck", "-o", "json"))
    assert order_id in {each["orderId"] for each in stuck["orders"]}
    assert read(await typed("orders", "explain", order_id, "-o", "json"))["situation"]["parked"]
    assert "webhooks" in read(await typed("webhooks", "parked", "-o", "json"))
    assert "settlements" in read(await typed("settlements", "list", "-o", "json"))
    assert "discrepancies" in read(await typed("discrepancies", "--store", new_id(), "-o", "json"))
    assert isinstance(read(await typed("dead-letters", "-o", "json")), list)
    assert {"good", "text"} <= read(await typed("doctor", "-o", "json"))[0].keys()
    token = read(await typed("token", "--role", "store_admin", "--store", shop.store_id, "-o", "json"))
    assert token["token"].startswith("ey")


async def test_json_of_an_import_tells_the_counts_and_each_fault(shop, typed, tmp_path):
    file = tmp_path / "products.csv"
    file.write_text("sku,name,price,currency\nT-1,Tea,1999,EUR\nT-2,Tea,abc,EUR\n")
    code, out, _ = await typed("import", shop.store_id, str(file), "-o", "json")
    told = json.loads(out)
    assert code == 1
    assert told["import"]["created"] == 1
    assert [(fault["line"], fault["sku"]) for fault in told["faults"]] == [(3, "T-2")]


async def test_a_failed_refund_is_listed_with_the_providers_words(shop, typed):
    till = Till(shop)
    payment = await till.capture(await till.authorize())
    path = f"/v1/charges/{payment.provider_reference}/refund"
    await till.provider("POST", path, {"amount_minor_units": 1900})
    await till.refund(payment)
    for arguments in (("payments", "unsettled"), ("payments", "show", payment.payment_id)):
        _, out, _ = await typed(*arguments)
        assert "amount_exceeds_captured, more than is left of what was captured" in out


@pytest.mark.parametrize("currency, shown", [("EUR", "19.99 EUR"), ("JPY", "1999 JPY"), ("KWD", "1.999 KWD")])
async def test_money_has_its_currencys_decimals(shop, typed, currency, shown):
    payment = await Till(shop).authorize(amount=Money(currency_code=currency, minor_units=1999))
    _, out, _ = await typed("payments", "show", payment.payment_id)
    assert re.search(f"^amount   {shown}$", out, re.M)
    assert re.search(f"^authorize {shown} ", out, re.M)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["token", "--role", "store_admin", "--store", "abc"], "a store's id is a UUID, as in"),
        (["token", "--role", "store_admin"], "needs --store"),
        (["token", "--role", "courier", "--store", ""], "an argument is empty after --store"),
        (["token", "--role", "customer"], "needs --store and --customer"),
        (["token", "--role", "customer", "--store", new_id()], "needs --customer"),
        (["token", "--role", "king"], "no role is called king; there are"),
        (["token", "--role", "store_admin", "--lifetime", "0"], "greater than or equal to 1"),
        (["token", "--role", "store_admin", "--lifetime", "nan"], "a valid integer"),
        (["status", "-o", "yaml"], "'text', 'json'"),
        (["doctor", "-o", "xml"], "'text', 'json'"),
        (["payments", "unsettled", "--gateway", "nosuch"], "there are sandbox"),
        (["settlements", "fetch", "nosuch"], "there are sandbox"),
        (["settlements", "fetch", "sandbox", "--day", "2136-01-01"], "a day that has begun"),
        (["settlements", "fetch", "sandbox", "--day", "2026-13-01"], "a day is written as"),
        (["watch", "abc"], "an order's id is a UUID, as in"),
        (["watch", new_id(), "--after-sequence", "-1"], "greater than or equal to 0"),
        (["watch", new_id(), "--after-sequence", str(10**30)], "less than or equal to 9223372036854775807"),
        (["dead-letters", "--replay", "abc"], "an event's id is a UUID, as in"),
    ],
)
async def test_a_wrong_value_is_an_error_that_names_the_right_ones(typed, arguments, said):
    code, out, complaint = await typed(*arguments, columns=200)
    assert code in (1, 2)
    assert out == ""
    assert said in complaint
    assert "Traceback" not in complaint
    assert "Value error" not in complaint


# What other people have written, and how it is shown: neither by the terminal's own signs nor by ours.
SHOWN = {
    "colour and size of a terminal": ("\x1b[31mred\x1b[2J", "\\x1b[31mred\\x1b[2J"),
    "what a terminal of eight bits takes for the same": ("\x9b31mred", "\\x9b31mred"),
    "a line that overwrites itself": ("paid\runpaid", "paid\\runpaid"),
    "a bell and a step back": ("\a\b", "\\x07\\x08"),
    "letters that turn the others round": ("\u202eevil", "\\u202eevil"),
    "a name of a file that is no text": ("\udcff.csv", "\\udcff.csv"),
    "our marks of style": ("[red]x[/red] [/] [link=http://x]y", "[red]x[/red] [/] [link=http://x]y"),
    "our names of pictures": ("TEA:car:1", "TEA:car:1"),
    "any language": ("Größe 杯子 👍 שלום", "Größe 杯子 👍 שלום"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_others_wrote_is_shown_and_not_obeyed(name):
    text, shown = SHOWN[name]
    out = io.StringIO()
    screen = Screen(file=out, force_terminal=True, color_system="truecolor", width=200)

    screen.print(text)
    print_lines(screen, {"reason": text})

    assert out.getvalue().splitlines() == [shown, f"reason   {shown}"]


@pytest.mark.parametrize("name", SHOWN)
def test_json_holds_what_others_wrote_and_no_sign_that_a_terminal_obeys(name, capsys):
    text, _ = SHOWN[name]

    print_json({"reason": text})

    out = capsys.readouterr().out
    assert json.loads(out) == {"reason": text}
    assert all(character.isprintable() for character in out.replace("\n", ""))


async def test_a_reason_that_looks_like_our_marks_does_not_end_the_watch(shop, typed):
    order_id = await parked(shop)
    reason = "[/] [red]too dear :car:"
    await shop.orders.CancelOrder(CancelOrderRequest(order_id=order_id, reason=reason, request_id=new_id()))

    code, out, complaint = await typed("watch", order_id)

    assert (code, complaint) == (0, "")
    assert out.rstrip().endswith(reason)


async def test_a_terminal_without_our_letters_is_shown_their_numbers(tmp_path):
    code, out, complaint = await command("doctor", "--home", str(tmp_path), PYTHONIOENCODING="ascii")

    assert (code, complaint) == (1, "")
    assert "\\u2717 no cluster runs in" in out


async def test_what_was_typed_is_quoted_without_its_signs(tmp_path):
    code, out, complaint = await command("status", "--home", str(tmp_path / "\x1b[31m"))

    assert (code, out) == (1, "")
    assert f"no cluster runs in {tmp_path}/\\x1b[31m; start one" in complaint
