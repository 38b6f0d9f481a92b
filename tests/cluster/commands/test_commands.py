"""The commands, as a person types them."""

import asyncio
import json
import os
import re
import signal
import sys
import time
import urllib.request

from services.cluster.home import Home
from tests.cluster.toys import REPOSITORY, TOYS, command, processes_of, supervisor

STORE = "0191f3a2-0000-7000-8000-000000000001"


async def test_help_names_every_command():
    code, out, _ = await command("--help")
    assert code == 0
    for name in (
        "up",
        "down",
        "status",
        "token",
        "watch",
        "trace",
        "orders",
        "import",
        "settlements",
        "discrepancies",
        "doctor",
        "reset",
        "demo",
    ):
        assert name in out


async def test_status_tells_where_everything_is(tmp_path):
    async with supervisor(tmp_path):
        code, out, _ = await command("status", "-o", "json", COMMERCE_HOME=str(tmp_path))
        status = json.loads(out)
        assert code == 0
        assert status["gateway"].startswith("http://127.0.0.1:")
        assert status["services"].keys() == {toy.code for toy in TOYS}
        assert all(address.startswith("127.0.0.1:") for address in status["services"].values())
        assert status["database"].startswith("postgresql://")
        assert status["nats"].startswith("nats://")
        answer = await asyncio.to_thread(lambda: urllib.request.urlopen(status["gateway"]).read())
        assert answer == b"toy"

        code, out, _ = await command("down", "--home", str(tmp_path))
        assert code == 0
        assert processes_of(tmp_path) == {}


async def test_without_a_cluster_status_and_token_say_what_to_do(tmp_path):
    for arguments in (["status", "-o", "json"], ["token", "--role", "store_admin", "--store", STORE]):
        code, out, complaint = await command(*arguments, "--home", str(tmp_path / "nothing"))
        assert (code, out) == (1, "")
        assert "commerce up" in complaint


async def test_token_is_printed_on_a_development_cluster_and_only_there(tmp_path):
    arguments = ["token", "--role", "store_admin", "--store", STORE, "--home", str(tmp_path)]
    async with supervisor(tmp_path):
        code, out, _ = await command(*arguments)
        assert code == 0
        assert out.count(".") == 2
    async with supervisor(tmp_path, COMMERCE_ENVIRONMENT="production"):
        code, out, complaint = await command(*arguments)
        assert (code, out) == (1, "")
        assert "production" in complaint


async def test_reset_deletes_a_stopped_home_and_refuses_a_running_one(tmp_path):
    home = tmp_path / "home"
    async with supervisor(home):
        code, _, complaint = await command("reset", "--yes", "--home", str(home))
        assert code == 1
        assert "commerce down" in complaint
        assert (home / "postgres").exists()
    code, _, _ = await command("reset", "--yes", "--home", str(home))
    assert code == 0
    assert not home.exists()


async def test_reset_leaves_a_directory_alone_that_is_no_home(tmp_path):
    (tmp_path / "letters").mkdir()
    code, _, complaint = await command("reset", "--yes", "--home", str(tmp_path))
    assert code == 1
    assert "no home" in complaint
    assert (tmp_path / "letters").exists()


async def test_doctor_finds_nothing_wrong_with_a_running_cluster_and_then_a_process_that_hangs(tmp_path):
    async with supervisor(tmp_path):
        _, out, _ = await command("doctor", "--home", str(tmp_path))
        assert [line for line in out.splitlines() if "✗" in line and "repository" not in line] == []
        assert "✓ gamma at" in out

        gamma = Home(tmp_path).state()["processes"]["gamma"]["pid"]
        os.kill(gamma, signal.SIGSTOP)
        code, out, _ = await command("doctor", "--home", str(tmp_path))
        os.kill(gamma, signal.SIGCONT)
        assert code == 1
        assert "✗ gamma at" in out and " hangs, process " in out


async def test_doctor_looks_at_a_machine_without_a_cluster(tmp_path):
    code, out, _ = await command("doctor", "--home", str(tmp_path / "nothing"))
    assert code == 1
    assert "✗ no cluster runs" in out
    assert "commerce up" in out
    assert "✓ Python" in out


async def test_up_shows_each_process_and_a_card_in_plain_lines_and_an_interrupt_stops_it_all(tmp_path):
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "services.cluster", "up", "--home", str(tmp_path)],
        env=os.environ | {"NO_COLOR": "1"},
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    shown = ""
    while "Ctrl-C stops everything" not in shown:
        line = await asyncio.wait_for(child.stdout.readline(), 60)
        assert line, f"it ended: {shown}"
        shown += line.decode()
    status = Home(tmp_path).state()
    child.send_signal(signal.SIGINT)
    rest = await asyncio.wait_for(child.stdout.read(), 60)

    assert "\x1b" not in shown
    for name, process in status["processes"].items():
        assert re.search(rf" s  {name} +ready +{re.escape(process['address'])}\n", shown)
    assert f"COMMERCE_HOME={tmp_path}\nexport GATEWAY={status['gateway']}" in shown
    assert "export TOKEN=ey" in shown
    assert b"stopped" in rest
    assert await child.wait() == 0
    assert processes_of(tmp_path) == {}


async def test_up_refuses_what_cannot_run_together():
    code, _, complaint = await command("up", "--services", "nobody")
    assert code == 1
    assert "no service is called nobody" in complaint
    code, _, complaint = await command("up", "--replicas", "order:2")
    assert code == 1
    assert "order=2" in complaint


async def test_help_answers_at_once():
    began = time.monotonic()
    await command("--help")
    assert time.monotonic() - began < 5
